"""Reads a JSON document of the user's and refuses it with the field, the place and the limit."""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

import os
import re
import stat
from typing import IO, NoReturn

PAYLOAD_LIMIT_BYTES = 256 * 1024
METADATA_LIMIT_BYTES = 16 * 1024

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def read(field: str, source: IO[bytes], limit_bytes: int) -> bytes:
    """Read a document, but never more of it than could be accepted.

    Raises:
        InvalidArgument: it is larger.
    """
    status = os.fstat(source.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size > limit_bytes:
        _refuse_size(field, f"is {_amount(status.st_size)}", limit_bytes)
    data = source.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        _refuse_size(field, "is longer", limit_bytes)
    return data


def check(field: str, data: bytes, limit_bytes: int) -> str:
    """Return the document as text, once it is known to be one that Postgres can store.

    Raises:
        InvalidArgument: it is too long, no UTF-8, no JSON, or has a NUL character.
    """
    import orjson

    if len(data) > limit_bytes:
        _refuse_size(field, f"is {_amount(len(data))}", limit_bytes)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        _refuse(field, f"is not UTF-8 text, at {_place(data, error.start)}")
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        _refuse(
            field, f"is not valid JSON: {error.msg}, at line {error.lineno}, column {error.colno}"
        )
    if found := _NUL_ESCAPE.search(data):
        place = _place(data, found.end() - len(r"\u0000"))
        _refuse(field, f"has a NUL character (\\u0000), which Postgres cannot store, at {place}")
    return text


def _refuse_size(field: str, how_long: str, limit_bytes: int) -> NoReturn:
    limit = _amount(limit_bytes)
    _refuse(field, f"{how_long}, at most {limit} may be sent; store it elsewhere and send a link")


def _refuse(field: str, problem: str) -> NoReturn:
    from chimewayd.errors import InvalidArgument

    raise InvalidArgument(f"{field}: {problem}")


def _place(data: bytes, offset: int) -> str:
    *above, line = data[:offset].split(b"\n")
    return f"line {len(above) + 1}, column {len(line.decode(errors='replace')) + 1}"


def _amount(size: int) -> str:
    for unit_bytes, unit in _UNITS:
        if size >= unit_bytes:
            return f"{size / unit_bytes:.4g} {unit}"
    return f"{size} bytes"
