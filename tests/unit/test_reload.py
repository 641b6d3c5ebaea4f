"""What a changed configuration changes, decided without a daemon."""

from typing import Any

import pytest

from chimewayd.config import Settings
from chimewayd.errors import ConfigError
from chimewayd.reload import RELOADABLE, plan


def settings(channels: dict[str, Any], **others: Any) -> Settings:
    return Settings(**({"name": "one", "channels": channels} | others))


def test_channels_are_told_apart_by_what_becomes_of_them() -> None:
    old = settings({"gone": {"adapter": "sink"}, "same": {"adapter": "sink"}})
    new = settings({"new": {"adapter": "sink"}, "same": {"adapter": "sink"}})

    change = plan(old, new)

    assert (change.added, change.removed, change.changed) == (["new"], ["gone"], [])


@pytest.mark.parametrize(
    ("changed", "is_reopened"),
    [
        ({"concurrency": 3}, False),
        ({"on_uncertain": "hold"}, False),
        ({"retry": {"max_attempts": 9}}, False),
        ({"timeout": "3s"}, True),
        ({"settings": {"method": "PUT"}}, True),
        ({"adapter": "sink"}, True),
        ({"templates": "/etc/chimewayd/templates"}, True),
    ],
)
def test_adapter_is_opened_anew_only_for_what_it_sees(
    changed: dict[str, Any], is_reopened: bool
) -> None:
    old = settings({"hooks": {"adapter": "webhook"}})
    new = settings({"hooks": {"adapter": "webhook"} | changed})

    change = plan(old, new)

    assert change.changed == ["hooks"]
    assert change.reopened == (["hooks"] if is_reopened else [])


def test_adapter_whose_settings_name_a_file_is_opened_anew_for_what_may_stand_in_it() -> None:
    channels = {
        "hooks": {"adapter": "webhook", "settings": {"ca_file": "/etc/ssl/ours.pem"}},
        "others": {"adapter": "webhook", "settings": {"method": "PUT"}},
    }

    change = plan(settings(channels), settings(channels))

    assert (change.changed, change.reopened) == ([], ["hooks"])


def test_setting_that_is_read_at_the_start_alone_stays_and_is_named() -> None:
    old = settings({}, name="one", concurrency=10)
    new = settings({}, name="two", concurrency=20)

    change = plan(old, new)

    assert (change.settings.name, change.settings.concurrency) == ("one", 20)
    assert (change.needs_restart, change.applied) == (["name"], ["concurrency"])


def test_calls_too_long_for_the_lease_that_holds_until_the_restart_are_refused() -> None:
    old = settings({}, lease="60s")
    new = settings({"slow": {"adapter": "sink", "timeout": "2m"}}, lease="10m")

    with pytest.raises(ConfigError, match=r"channels\.slow\.timeout"):
        plan(old, new)


def test_reloadable_settings_exist() -> None:
    assert RELOADABLE - Settings.model_fields.keys() == set()
