"""The settings of a webhook channel, and the signing keys among them."""

import base64
from collections.abc import Mapping
from datetime import timedelta

import pytest

from chimewayd.adapters import make
from chimewayd.errors import ConfigError

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no le").decode()
LONG = timedelta(seconds=10)
LONG_AGO = "2001-02-03T04:05:06Z"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"secret": "c4nary"}, "secret"),
        ({"secret": "whsec_c4nary!"}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, "secret"),
        ({"secret": "whsk_c4nary!"}, "secret"),
        ({"secret": "whsk_" + base64.b64encode(bytes(31)).decode()}, "secret"),
        ({"secret": "whsk_" + base64.b64encode(bytes(64)).decode()}, "secret"),
        ({"secrets": "c4nary"}, "secrets"),
        ({"secrets": ["c4nary"]}, "secrets.0"),
        ({"secrets": [{"secret": "c4nary"}]}, "secrets.0.secret"),
        ({"secrets": [{"secret": SECRET, "expires_at": "c4nary"}]}, "secrets.0.expires_at"),
        ({"secrets": [{"secret": SECRET, "expires_at": LONG_AGO[:-1]}]}, "secrets.0.expires_at"),
        ({"secrets": [{"secret": SECRET, "expires": 1}]}, "secrets.0.expires"),
        ({"secrets": [{"secret": SECRET, "expires_at": LONG_AGO}]}, "secrets"),
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
        ({"first_byte_timeout": "0s"}, "first_byte_timeout"),
        ({"payload_limit_kib": 0}, "payload_limit_kib"),
        ({"payload_limit_kib": True}, "payload_limit_kib"),
        ({"proxy": "c4nary"}, "proxy"),
        ({"proxy": "socks5://c4nary:1080"}, "proxy"),
        ({"proxy": "http://u:c4nary@proxy.example/path"}, "proxy"),
        ({"ca_file": "/c4nary"}, "ca_file"),
        ({"ca_file": __file__}, "ca_file"),
        ({"client_certificate": "/c4nary"}, "client_certificate"),
        ({"client_certificate": __file__}, "client_certificate"),
        ({"client_key": "/c4nary"}, "client_certificate"),
        ({"verify_tls": "c4nary"}, "verify_tls"),
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
