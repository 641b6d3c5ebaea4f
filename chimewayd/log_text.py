"""What keeps a value in its line: nothing that a terminal or a reader of lines would obey."""

import os
from collections.abc import Mapping
from typing import BinaryIO


def is_journal(stream: BinaryIO, environment: Mapping[str, str]) -> bool:
    """Whether what is written there goes to systemd's journal."""
    # Source: systemd.exec(5), $JOURNAL_STREAM; sd-daemon(3), the priority prefix.
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def escaped(body: bytes) -> bytes:
    """Escape in JSON what is not printable."""
    text = body.decode()
    return body if text.isprintable() else "".join(map(_json_escape, text)).encode()


def _json_escape(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def printable(text: str, keep: str = "") -> str:
    """Escape what is not printable, but for the characters to keep."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
