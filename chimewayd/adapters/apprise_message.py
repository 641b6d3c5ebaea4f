"""Read a payload as what Apprise can send: a title, a body in one of three formats, a type."""

from typing import Any, NamedTuple

import orjson

from chimewayd.models import Permanent

FORMATS = ("text", "markdown", "html")
TYPES = ("info", "success", "warning", "failure")


class Message(NamedTuple):
    """What a payload asks to be sent; format and type by Apprise's names for them."""

    title: str
    body: str
    format: str
    type: str


def read(payload_json: str) -> Message | Permanent:
    """Return the message, or say why there is none."""
    try:
        payload = orjson.loads(payload_json)
    except orjson.JSONDecodeError:
        return _refuse("cannot be read as JSON")
    if not isinstance(payload, dict):
        return _refuse("must be a JSON object")
    if unknown := payload.keys() - {*FORMATS, "subject", "type"}:
        return _refuse(f"has a field that cannot be sent: {min(unknown)[:50]}")
    formats = [name for name in FORMATS if name in payload]
    if len(formats) != 1:
        return _refuse(f"must have one of {', '.join(FORMATS)}")
    return _message(payload, formats[0])


def _message(payload: dict[str, Any], chosen: str) -> Message | Permanent:
    body, title, kind = payload[chosen], payload.get("subject", ""), payload.get("type", "info")
    if not isinstance(body, str) or not body.strip():
        return _refuse(f"{chosen} must be a text that is not empty")
    if not isinstance(title, str):
        return _refuse("subject must be a text")
    if kind not in TYPES:
        return _refuse(f"type must be one of {', '.join(TYPES)}")
    return Message(title, body, chosen, kind)


def _refuse(problem: str) -> Permanent:
    return Permanent(detail=f"payload: {problem}")
