"""The settings of a webhook channel, and the signing keys among them."""

import base64
from collections.abc import Mapping
from datetime import timedelta

import pytest

from chimewayd.adapters import make
from chimewayd.adapters.signing import signature, signing_key
from chimewayd.errors import ConfigError

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no le").decode()
LONG = timedelta(seconds=10)


def test_several_keys_give_several_signatures() -> None:
    keys = (signing_key(SECRET), bytes(range(24)))

    both = signature(keys, "id", 1, b"{}")

    assert both.split(" ") == [signature([key], "id", 1, b"{}") for key in keys]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"secret": "c4nary"}, "secret"),
        ({"secret": "whsec_c4nary!"}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, "secret"),
        ({"headers": {"Host": "c4nary"}}, "headers"),
        ({"headers": {"transfer-encoding": "c4nary"}}, "headers"),
        ({"headers": {"Webhook-Id": "c4nary"}}, "headers"),
        ({"headers": {"Content-Length": "c4nary"}}, "headers"),
        ({"headers": {"X-A": "c4nary\r\nX-B: 1"}}, "headers"),
        ({"headers": {"X-A": " c4nary"}}, "headers"),
        ({"headers": {"X-A": ""}}, "headers"),
        ({"headers": {"X A: c4nary": "1"}}, "headers"),
        ({"headers": {"X-A": "c4nary", "x-a": "c4nary"}}, "headers"),
        ({"headers": "c4nary"}, "headers"),
        ({"method": "c4nary"}, "method"),
        ({"connect_timeout": "0s"}, "connect_timeout"),
        ({"allow_networks": ["10.0.0.1/8"]}, "allow_networks.0"),
        ({"allow_networks": ["c4nary"]}, "allow_networks.0"),
        ({"allow_networks": ["0.0.0.0/0"]}, "allow_networks"),
        ({"allow_networks": ["93.184.215.14/32"]}, "allow_networks"),
        ({"allow_networks": ["::/0"]}, "allow_networks"),
        ({"permanent_statuses": [200]}, "permanent_statuses.0"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("hooks", "webhook", settings, LONG)

    assert caught.value.setting == f"channels.hooks.settings.{named}"
    assert caught.value.allowed or named.startswith("permanent")
    assert "c4nary" not in str(caught.value)
