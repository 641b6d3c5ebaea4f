"""The settings in force, each with where it came from; secrets are not shown."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel, SecretStr

from chimewayd import dsn
from chimewayd.adapters.base import Adapter
from chimewayd.config import Settings
from chimewayd.config_errors import setting_name
from chimewayd.config_layers import Place
from chimewayd.config_types import Rate
from chimewayd.durations import render
from chimewayd.redaction import redact_text

DEFAULT = "default"
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting."""

    name: str
    """The TOML key."""
    value: str
    """As TOML, or HIDDEN."""
    source: str


def shown(settings: Settings, adapters: Mapping[str, type[Adapter]]) -> list[Shown]:
    """List every setting, each channel with the settings of its adapter's class."""
    return [
        _show(place, value, settings)
        for place, value in _leaves((), settings, adapters)
        if value is not None
    ]


def _leaves(
    place: Place, model: BaseModel, adapters: Mapping[str, type[Adapter]]
) -> Iterator[tuple[Place, object]]:
    """Walk through the tables, each one's own keys first."""
    tables: list[tuple[Place, BaseModel]] = []
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*place, field.alias or name)
        if here == ("channels",):
            tables += [((*here, channel), table) for channel, table in value.items()]
        elif name == "settings" and len(place) == 2:  # noqa: PLR2004 - channels.NAME.settings
            checked = adapters[str(place[1])].Settings.model_validate(value)
            tables.append((here, checked))
        elif isinstance(value, BaseModel):
            tables.append((here, value))
        elif isinstance(value, Mapping):
            yield from (((*here, key), inner) for key, inner in value.items())
        else:
            yield here, value
    for here, table in tables:
        yield from _leaves(here, table, adapters)


def _show(place: Place, value: object, settings: Settings) -> Shown:
    source = (settings.is_written(place) and settings.source_of(place)) or DEFAULT
    name = setting_name(place).partition(" / ")[0]
    if isinstance(value, SecretStr) and name in {"dsn", "listen_dsn"}:
        return Shown(name, f"{HIDDEN} {dsn.describe(value.get_secret_value())}", source)
    return Shown(name, HIDDEN if _holds_secret(value) else redact_text(_toml(value)), source)


def _holds_secret(value: object) -> bool:
    match value:
        case SecretStr():
            return True
        case BaseModel():
            return any(_holds_secret(getattr(value, name)) for name in type(value).model_fields)
        case list() | tuple() | set() | frozenset():
            return any(map(_holds_secret, value))
        case Mapping():
            return any(map(_holds_secret, value.values()))
        case _:
            return False


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    match value:
        case timedelta():
            return render(value)
        case Rate():
            return f"{value.calls}/{render(value.per)}"
        case BaseModel():
            return {name: getattr(value, name) for name in type(value).model_fields}
        case set() | frozenset():
            return sorted(value, key=str)
        case _:
            return str(value)
