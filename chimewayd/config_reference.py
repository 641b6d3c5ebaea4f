"""The reference of all settings, made from the settings themselves; also the example file."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from chimewayd.config import Settings
from chimewayd.config_errors import allowed, plain_type
from chimewayd.config_types import Rate
from chimewayd.durations import UNITS, render
from chimewayd.http_address import HttpAddress

CHANNEL = "NAME"
"""Stands for a channel's name in the reference."""

_KINDS = {
    bool: "true or false",
    float: "number",
    int: "whole number",
    Path: "path",
    str: "text",
    timedelta: "duration",
    SecretStr: "text, secret",
    Rate: "rate",
    HttpAddress: "address",
}
_HEADER = """\
# The settings of chimewayd. What is commented out shows the default; where the text says
# "unset", an example.
# A duration is a number with its unit (ms, s, m, h, d), as in "1h30m".
# Each setting is also an environment variable, which wins over this file:
# channels.log.retry.base is CHIMEWAYD_CHANNELS__LOG__RETRY__BASE.
"""


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting, or one table of settings."""

    name: str
    """The TOML key, with NAME for a channel's name."""
    kind: str
    default: str | None
    """As written in TOML; None where it is unset, or must be given."""
    example: str | None
    """As written in TOML, where there is no default to show."""
    unit: str | None
    allowed: str | None
    is_required: bool
    meaning: str


def describe() -> list[SettingDoc]:
    """List every setting in the order of a TOML file: each table after its own keys."""
    return list(_describe(Settings, ""))


def example() -> str:
    """Write deploy/config.example.toml: one channel that works, all else commented out."""
    lines = [_HEADER]
    for doc in describe():
        name = doc.name.replace(CHANNEL, "log")
        may = f" Allowed: {doc.allowed}." if doc.allowed else ""
        lines += textwrap.wrap(doc.meaning + may, 98, initial_indent="# ", subsequent_indent="# ")
        if doc.kind == "table":
            lines += [f"[{name}]", ""]
            continue
        key = name.rpartition(".")[2]
        lines += [
            f'{key} = "log"' if doc.is_required else f"# {key} = {doc.default or doc.example}",
            "",
        ]
    return "\n".join(lines)


def _describe(model: type[BaseModel], above: str) -> Iterator[SettingDoc]:
    fields = [
        (above + name, field, plain_type(field.annotation))
        for name, field in model.model_fields.items()
    ]
    yield from (
        _doc(name, _kind(kind), field) for name, field, kind in fields if not _is_table(kind)
    )
    for name, field, kind in fields:
        if not _is_table(kind):
            continue
        inner = get_args(kind)[1] if get_origin(kind) is dict else kind
        has_names = inner is not kind and inner is not Any
        table = f"{name}.{CHANNEL}" if has_names else name
        yield _doc(table, "table", field)
        if inner is not Any:
            yield from _describe(inner, f"{table}.")


def _doc(name: str, kind: str, field: FieldInfo) -> SettingDoc:
    return SettingDoc(
        name=name,
        kind=kind,
        default=None if kind == "table" else _default(field),
        example=_extra(field, "example"),
        unit=UNITS if kind == "duration" else None,
        allowed=allowed(field),
        is_required=field.is_required(),
        meaning=field.description or "",
    )


def _is_table(kind: Any) -> bool:
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))


def _kind(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "list of durations"
    return _KINDS.get(kind, "one of")


def _default(field: FieldInfo) -> str | None:
    if shown := _extra(field, "default"):
        return shown
    match field.default:
        case timedelta():
            return f'"{render(field.default)}"'
        case SecretStr():
            return json.dumps(field.default.get_secret_value())
        case str() | int() | float():
            return json.dumps(field.default)
        case _:
            return None


def _extra(field: FieldInfo, key: str) -> str | None:
    extra = field.json_schema_extra
    return str(extra[key]) if isinstance(extra, dict) and key in extra else None
