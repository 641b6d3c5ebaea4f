"""What is wrong with a setting, said so that its owner can put it right.

pydantic's own words name neither the variable nor the file nor what would be allowed. Nothing
here repeats a value, because a value may be a secret.
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from chimewayd.config_layers import PREFIX, Place, source_of
from chimewayd.durations import render
from chimewayd.errors import ConfigError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_VARIABLE_PART = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*", re.ASCII)
_CHANNEL_NAMES = "a channel name: a-z first, then up to 62 of a-z, 0-9, dot, underscore, hyphen"
_WORDS = {
    "Input should be": "must be",
    **dict.fromkeys(("a valid tuple", "a valid frozenset", "a valid list"), "a list"),
    "a valid dictionary": "a table",
    "a valid string": "a text",
}
_TABLE_ERRORS = {"model_type", "model_attributes_type", "dict_type"}


def setting_name(place: Place) -> str:
    """Spell a setting as TOML key and, where one can be set, as environment variable."""
    key = "".join(
        f"[{part}]"
        if isinstance(part, int)
        else f".{part if _BARE_KEY.fullmatch(part) else json.dumps(part)}"
        for part in place
    ).removeprefix(".")
    names = [part for part in place if isinstance(part, str)]
    if all(_VARIABLE_PART.fullmatch(name) for name in names):
        return f"{key} / {PREFIX}{'__'.join(names).upper()}"
    return key


def explain(
    error: ValidationError, model: type[BaseModel], sources: Mapping[Place, str]
) -> list[ConfigError]:
    """Turn pydantic's findings into ours, in its order."""
    return [
        _explain_one(finding["type"], finding["msg"], finding["loc"], model, sources)
        for finding in error.errors(include_url=False, include_context=False, include_input=False)
        # An echo of another finding: the field that this default is made from is wrong.
        if finding["type"] != "default_factory_not_called"
    ]


def unknown_setting(
    model: type[BaseModel], place: Place, sources: Mapping[Place, str]
) -> ConfigError:
    """Say that there is no such setting, and which one was probably meant."""
    around = _type_at(model, place[:-1])
    names = list(around.model_fields) if _is_model(around) else []
    near = get_close_matches(str(place[-1]), names, n=1)
    hint = f"; did you mean {setting_name((*place[:-1], near[0]))}?" if near else ""
    return ConfigError(
        setting_name(place),
        f"is no setting{hint}",
        ", ".join(names),
        source_of(place, sources),
    )


def allowed(field: FieldInfo) -> str | None:
    """Say which values a field takes, as far as its type does not."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "allowed" in extra:
        return str(extra["allowed"])
    kind = plain_type(field.annotation)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(kind)
    least = [limit.ge for limit in field.metadata if isinstance(limit, Ge)]
    most = [limit.le for limit in field.metadata if isinstance(limit, Le)]
    return f"{_written(least[0])} to {_written(most[0])}" if least and most else None


def in_words_of_toml(message: str) -> str:
    """Say what pydantic says, without the names that Python has for a list and a table."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def plain_type(annotation: Any) -> Any:
    """Take the `| None` and the annotations off a type."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    kind = kinds[0] if type(None) in get_args(annotation) else annotation
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _written(limit: object) -> str:
    return render(limit) if isinstance(limit, timedelta) else str(limit)


def _explain_one(
    kind: str, message: str, found_at: Place, model: type[BaseModel], sources: Mapping[Place, str]
) -> ConfigError:
    place = tuple(part for part in found_at if part != "[key]")
    source = source_of(place, sources)
    name = setting_name(place)
    if kind == "extra_forbidden":
        return unknown_setting(model, place, sources)
    if place != found_at:
        return ConfigError(name, "cannot name a channel", _CHANNEL_NAMES, source)
    field = _field_at(model, place)
    may = allowed(field) if field else None
    if kind == "missing":
        return ConfigError(
            name,
            "is missing",
            may or (field and field.description and field.description.rstrip(".")),
            source,
        )
    if kind in _TABLE_ERRORS:
        return ConfigError(name, "must be a table", may, source)
    if kind == "string_pattern_mismatch":
        return ConfigError(name, "has a character or a length that is not allowed", may, source)
    return ConfigError(name, in_words_of_toml(message), may, source)


def _field_at(model: type[BaseModel], place: Place) -> FieldInfo | None:
    for length in range(len(place), 0, -1):
        around = _type_at(model, place[: length - 1])
        if _is_model(around):
            field: FieldInfo | None = around.model_fields.get(str(place[length - 1]))
            return field
    return None


def _type_at(model: type[BaseModel], place: Place) -> Any:
    kind: Any = model
    for part in place:
        if _is_model(kind):
            field = kind.model_fields.get(str(part))
            kind = plain_type(field.annotation) if field else None
        elif get_origin(kind) is dict:
            kind = plain_type(get_args(kind)[1])
        else:
            return None
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
