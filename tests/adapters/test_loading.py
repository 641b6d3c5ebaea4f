"""Finding adapters by name, and telling an operator what is wrong with their settings."""

import sys
from datetime import timedelta
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import chimewayd.adapters
from chimewayd.adapters import BUILT_IN, GROUP, load, make
from chimewayd.adapters.base import AdapterSettings, HoldsNothing
from chimewayd.adapters.sink import SinkAdapter
from chimewayd.adapters.webhook import WebhookSettings
from chimewayd.errors import ConfigError, ConfigErrors
from chimewayd.models import Delivery, Outcome, Succeeded

TIMEOUT = timedelta(seconds=5)


class PigeonAdapter(HoldsNothing):
    Settings = AdapterSettings

    def __init__(self, settings: AdapterSettings, timeout: timedelta) -> None:
        self.given = (settings, timeout)

    async def deliver(self, delivery: Delivery) -> Outcome:
        return Succeeded(provider_message_id=str(delivery.delivery_id))


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a distribution with some entry points is installed."""
    monkeypatch.setitem(sys.modules, "pigeon", sys.modules[__name__])
    points = EntryPoints(
        [
            EntryPoint("pigeon", "pigeon:PigeonAdapter", GROUP),
            EntryPoint("sink", "pigeon:PigeonAdapter", GROUP),
            EntryPoint("absent", "no_such_module:Adapter", GROUP),
            EntryPoint("function", "pigeon:make", GROUP),
            EntryPoint("other", "pigeon:PigeonAdapter", "another.group"),
        ]
    )
    monkeypatch.setattr(chimewayd.adapters, "entry_points", points.select)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_in_adapter_is_found_by_name(kind: str) -> None:
    assert load(kind).__module__ == f"chimewayd.adapters.{kind}"


@pytest.mark.usefixtures("plugins")
def test_plug_in_is_found_by_its_entry_point() -> None:
    adapter = make("loft", "pigeon", {}, TIMEOUT)

    assert isinstance(adapter, PigeonAdapter)
    assert adapter.given == (AdapterSettings(), TIMEOUT)


@pytest.mark.usefixtures("plugins")
def test_plug_in_cannot_take_a_built_in_name() -> None:
    assert load("sink") is SinkAdapter


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("absent", "cannot be imported: ModuleNotFoundError"),
        ("function", "pigeon:make is not an adapter class"),
        ("other", "no adapter is called 'other'"),
    ],
)
def test_broken_plug_in_is_named(kind: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        make("loft", kind, {}, TIMEOUT)

    assert caught.value.setting == "channels.loft.adapter"


def test_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        make("orders", "webhok", {}, TIMEOUT)

    assert caught.value.setting == "channels.orders.adapter"
    assert caught.value.problem == "no adapter is called 'webhok'; did you mean 'webhook'?"
    assert caught.value.allowed is not None
    assert set(BUILT_IN) <= set(caught.value.allowed.split(", "))


def test_misspelt_setting_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        make("orders", "webhook", {"secrte": "c4nary"}, TIMEOUT)

    assert caught.value.setting == "channels.orders.settings.secrte"
    assert caught.value.problem == "is no setting; did you mean 'secret'?"
    assert caught.value.allowed is not None
    assert "permanent_statuses" in caught.value.allowed
    assert "c4nary" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("webhook", "secret", 4711_4711),
        ("webhook", "method", "C4NARY"),
        ("webhook", "connect_timeout", "c4nary"),
        ("webhook", "connect_timeout", 5),
        ("log", "show_payload", "c4nary"),
        ("sink", "delay", "-5s"),
        ("sink", "delay", ["c4nary"]),
    ],
)
def test_wrong_type_is_named_without_its_value(kind: str, setting: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        make("orders", kind, {setting: value}, TIMEOUT)

    assert caught.value.setting == f"channels.orders.settings.{setting}"
    assert caught.value.allowed
    assert caught.value.__cause__ is None
    assert "c4nary" not in str(caught.value).lower()
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "setting", "value", "problem"),
    [
        ("exec", "command", "/bin/true", "must be a list"),
        ("exec", "environment", ["A=1"], "must be a table"),
        ("webhook", "permanent_statuses", 404, "must be a list"),
        ("smtp", "host", 1, "must be a text"),
    ],
)
def test_wrong_type_is_told_in_words_of_the_file(
    kind: str, setting: str, value: object, problem: str
) -> None:
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        make("orders", kind, {setting: value}, TIMEOUT)

    assert f"channels.orders.settings.{setting}: {problem};" in str(caught.value)


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        make("orders", "webhook", {"secret": "x", "methd": "PUT", "headers": 5}, TIMEOUT)

    assert {error.setting.rpartition(".")[2] for error in caught.value.errors} == {
        "secret",
        "methd",
        "headers",
    }


def test_lists_and_tables_may_come_as_json_text_as_from_an_environment_variable() -> None:
    settings = WebhookSettings.model_validate(
        {"allow_networks": '["10.0.0.0/8"]', "headers": '{"X-A": "[1]"}', "secret": None}
    )

    assert [str(network) for network in settings.allow_networks] == ["10.0.0.0/8"]
    assert settings.headers["X-A"].get_secret_value() == "[1]"
