"""Secrets struck out of what is logged or kept: by the name they have, and inside texts."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

STRUCK: Final = "***"

_NAMES = (
    "password|passwd|passphrase|secrets?|token|authorization|cookie|credentials?|dsn"
    "|(?:api|signing|private|access)[_-]?key"
)
_SECRET_NAME = re.compile(rf"(?:.*[_.-])?(?:listen_|ssl|pg)?(?:{_NAMES})", re.IGNORECASE)

_DSN = "postgres(?:ql)?://"

# Each with what must be in a text before the pattern is worth trying.
_IN_TEXT: Final = (
    # scheme://user:password@host; a careless DSN may hold a slash in its password, but not the
    # next DSN: who repeats the beginning of one for pages would have each searched to the end.
    ("@", re.compile(rf"({_DSN}[^\s:@/]*):(?:(?!{_DSN})[^\s\"'])*@"), rf"\1:{STRUCK}@"),
    ("@", re.compile(r"(?<=://)([^\s:@/?#]*):[^\s/]*@"), rf"\1:{STRUCK}@"),
    # password=…, as in a query, a connection string or a repr; 'password': '…', as in JSON.
    (
        "=",
        re.compile(rf"((?:{_NAMES})=)(?:'[^']*'|\"[^\"]*\"|[^\s&;,'\")]+)", re.IGNORECASE),
        rf"\1{STRUCK}",
    ),
    ("'", re.compile(rf"((?:{_NAMES})'\s*:\s*)'[^']*'", re.IGNORECASE), rf"\1'{STRUCK}'"),
    ('"', re.compile(rf"((?:{_NAMES})\"\s*:\s*)\"[^\"]*\"", re.IGNORECASE), rf'\1"{STRUCK}"'),
    ("earer ", re.compile(r"\b([Bb]earer\s+)[\w.~+/=-]{8,}"), rf"\1{STRUCK}"),
    ("whsec_", re.compile(r"whsec_[\w+/=-]+"), f"whsec_{STRUCK}"),
)

_DEEPEST = 8
_BIGGEST_INT = 2**63


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is a secret (`password`, `smtp_token`, `X-Api-Key`)."""
    return _SECRET_NAME.fullmatch(name) is not None


def may_hold_secret(text: bytes) -> bool:
    """Tell quickly, for JSON, whether a text needs to be looked at: rather once too often."""
    return (
        b"=" in text
        or b"'" in text
        or b"\\" in text
        # One byte is found sixty times as fast as three.
        or (b"@" in text and b"://" in text)
        or (b"w" in text and b"whsec_" in text)
        or (b" " in text and b"earer " in text)
    )


def redact_text(text: str) -> str:
    """Strike out passwords in URLs, `password=…` and the like."""
    for needle, pattern, replacement in _IN_TEXT:
        if needle in text:
            text = pattern.sub(replacement, text)
    return text


def redact_fields(fields: Mapping[Any, object], depth: int = 1) -> dict[str, Any]:
    """Copy fields without their secrets, as values that JSON can hold."""
    return {
        _text(str(name)): STRUCK if is_secret_name(str(name)) else _redacted(value, depth)
        for name, value in fields.items()
    }


def plain(value: object) -> str:
    """Write what JSON has no form for."""
    match value:
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def _redacted(value: object, depth: int) -> Any:
    match value:
        case None | bool() | float():
            return value
        case int() if -_BIGGEST_INT <= value < _BIGGEST_INT:
            return value
        case Mapping() | list() | tuple() | set() | frozenset() if depth > _DEEPEST:
            return "…"
        case Mapping():
            return redact_fields(value, depth + 1)
        case list() | tuple() | set() | frozenset():
            return [_redacted(inner, depth + 1) for inner in value]
        case _:
            return _text(plain(value))


def _text(text: str) -> str:
    if not text.isascii():  # a lone surrogate has no UTF-8
        text = text.encode(errors="backslashreplace").decode()
    return redact_text(text)
