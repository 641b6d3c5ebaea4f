"""The trace that a delivery belongs to, as its producer wrote it: `metadata.traceparent`.

Source: W3C Trace Context, section 3.2.
"""

import json
import re
from typing import Final, NamedTuple

_KEY: Final = '"traceparent"'
_FORM: Final = re.compile(
    r"00-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)


class TraceParent(NamedTuple):
    """A valid one, in its parts."""

    trace_id: str
    span_id: str
    flags: str


def traceparent_of(metadata_json: str) -> str | None:
    """Return a delivery's trace; None: it names none, or what it names is no valid one."""
    if _KEY not in metadata_json:
        return None
    try:
        metadata = json.loads(metadata_json)
    except (ValueError, RecursionError):
        return None
    text = metadata.get("traceparent") if isinstance(metadata, dict) else None
    return text if isinstance(text, str) and _FORM.fullmatch(text) else None


def parts(text: str) -> TraceParent:
    """Take a valid one apart.

    Raises:
        ValueError: it is not valid.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("no valid traceparent")
    return TraceParent(**match.groupdict())
