"""Bound, clean and redact what a provider said before it becomes evidence in an outcome."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from chimewayd.models import Outcome
from chimewayd.redaction import redact_text

READ_LIMIT_BYTES = 16 * 1024
"""Read and keep at most this much of what a provider says."""
EXCERPT_LIMIT_BYTES = 2 * 1024
DETAIL_LIMIT_BYTES = 500
MESSAGE_ID_LIMIT_BYTES = 255

# Shorter than this it is no secret, and blotting it out would spoil every other text.
SHORTEST_SECRET = 6
_REDACTED = "[redacted]"
_NOTHING = (None, None)
_ESCAPED_BY_DOTNET = re.compile(r"""["&'+<>`]""")
# C0, DEL and C1 controls, line separators, and the marks that turn the reading direction:
# NUL cannot be stored, and the others can forge a line on an operator's terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def secret_words(values: Iterable[str]) -> tuple[str, ...]:
    """List what to blot out, longest first: each value, and each word of it (`Bearer …`)."""
    words = {word for value in values for word in (value, *value.split())}
    spelt = {one for word in words if len(word) >= SHORTEST_SECRET for one in _spellings(word)}
    return tuple(sorted(spelt, key=_longest))


def clean(
    said: str | bytes,
    secrets: Sequence[str] = (),
    limit_bytes: int = EXCERPT_LIMIT_BYTES,
    *,
    keep_end: bool = False,
) -> str | None:
    """Return one printable line of at most `limit_bytes` of UTF-8, or None if nothing is left."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    # Before the cut: half a secret would no longer be recognised.
    for secret in secrets:
        text = text.replace(secret, _REDACTED)
    text = redact_text(text)
    line = _UNPRINTABLE.sub(" ", text).strip().encode()
    kept = line[-limit_bytes:] if keep_end else line[:limit_bytes]
    return kept.decode(errors="ignore") or None


def without_recipient(returned: object, recipient: str) -> object:
    """Strike the recipient out of what an outcome says; what is none is returned as it is.

    Evidence is shown to readers, and its detail logged; the recipient is for operators alone, and
    providers like to repeat it.
    """
    if not isinstance(returned, Outcome):
        return returned
    said = (returned.detail, returned.response)
    if said == _NOTHING:
        return returned
    detail, response = (_strike(text, recipient) for text in said)
    if (detail, response) == said:
        return returned
    return replace(returned, detail=detail, response=response)


def _strike(text: str | None, recipient: str) -> str | None:
    # An adapter of somebody else may put anything there.
    if not isinstance(text, str) or len(recipient) < SHORTEST_SECRET:
        return text
    for spelt in sorted(set(_spellings(recipient)), key=_longest):
        if spelt.lower() in text.lower():
            text = re.sub(re.escape(spelt), _REDACTED, text, flags=re.IGNORECASE)
    return text


def _spellings(word: str) -> Iterator[str]:
    """Spell a word as it is, and as JSON may hold it where a request is repeated."""
    yield word
    quoted = json.dumps(word, ensure_ascii=False)[1:-1]
    yield quoted
    yield quoted.replace("/", r"\/")  # as PHP does by default
    yield _ESCAPED_BY_DOTNET.sub(lambda found: f"\\u{ord(found[0]):04X}", word)


def _longest(word: str) -> tuple[int, str]:
    return -len(word), word
