"""The settings as a JSON Schema, for editors and for other programs' checks.

Close to the truth, not all of it: what depends on two settings, only `config check` knows.
"""

from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from chimewayd import adapters
from chimewayd.config import Settings
from chimewayd.durations import JSON_PATTERN, UNITS, render

DIALECT = GenerateJsonSchema.schema_dialect

_OURS = {"allowed", "example"}
"""What our reference keeps beside a field, and no schema knows."""

_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""pydantic leaves these names where a validator of ours stands in between."""


class _Generator(GenerateJsonSchema):
    """Writes durations and secrets as people do in the file."""

    def timedelta_schema(
        self,
        schema: core_schema.TimedeltaSchema,  # noqa: ARG002 - pydantic passes it
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": JSON_PATTERN, "description": f"a duration: {UNITS}"}

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return render(dft)
            case SecretStr():
                return dft.get_secret_value()
            case dict() | list() | None | str() | int() | float():
                return dft
            case _:  # a model: its own fields say their defaults
                return {}


def schema() -> dict[str, Any]:
    """Return the schema of the configuration file, with that of each built-in adapter."""
    document = Settings.model_json_schema(schema_generator=_Generator)
    definitions = document.setdefault("$defs", {})
    for kind in adapters.BUILT_IN:
        own = adapters.load(kind).Settings.model_json_schema(schema_generator=_Generator)
        definitions |= own.pop("$defs", {})
        definitions[f"settings-of-{kind}"] = own
    definitions["ChannelConfig"]["allOf"] = [_settings_of(kind) for kind in adapters.BUILT_IN]
    # pydantic says which names fit, and not that others do not.
    document["properties"]["channels"]["additionalProperties"] = False
    return {"$schema": DIALECT, **_tidy(document), "title": "chimewayd"}


def _settings_of(kind: str) -> dict[str, Any]:
    return {
        "if": {"properties": {"adapter": {"const": kind}}},
        "then": {"properties": {"settings": {"$ref": f"#/$defs/settings-of-{kind}"}}},
    }


def _tidy(part: Any) -> Any:
    if isinstance(part, list):
        return [_tidy(each) for each in part]
    if not isinstance(part, dict):
        return part
    tidied = {}
    for key, value in part.items():
        if key in _LIMITS and not isinstance(value, dict):
            if isinstance(value, int | float):
                tidied[_LIMITS[key]] = value
        elif key not in _OURS or isinstance(value, dict):
            tidied[key] = _tidy(value)
    return tidied
