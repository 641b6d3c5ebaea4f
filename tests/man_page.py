"""Writes deploy/chimewayd.1 from the commands themselves.

`.venv/bin/python tests/man_page.py` writes it; a test keeps it true.
"""

import re
from inspect import cleandoc
from pathlib import Path

import click

from chimewayd import __version__
from chimewayd.cli import chimewayd

PAGE = Path(__file__).parents[1] / "deploy" / "chimewayd.1"

ROOT = click.Context(chimewayd, info_name="chimewayd", **chimewayd.context_settings)

FILES = r""".SH FILES
.TP
.I /etc/chimewayd/config.toml
The settings, unless
.B \-\-config
or CHIMEWAYD_CONFIG names another file.
.SH ENVIRONMENT
.TP
.B CHIMEWAYD_*
Each setting:
.I channels.email.retry.base
is CHIMEWAYD_CHANNELS__EMAIL__RETRY__BASE.
.TP
.BR PGHOST ", " PGSERVICE " and the like"
Complete the DSN, as in other programs of PostgreSQL.
.TP
.B NO_COLOR
Keeps colours away from a terminal.
"""


def page() -> str:
    """Write the whole page."""
    commands = [chimewayd.commands[name] for name in sorted(chimewayd.commands)]
    parts = [
        f'.TH CHIMEWAYD 1 "" "chimewayd {__version__}" "User Commands"',
        ".SH NAME",
        r"chimewayd \- deliver the notifications that any program inserts into Postgres",
        ".SH SYNOPSIS",
        ".B chimewayd",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH DESCRIPTION",
        *_prose(chimewayd.help or ""),
        ".SH OPTIONS",
        *_options(chimewayd),
        ".SH COMMANDS",
        *(line for command in commands for line in _section(command, "chimewayd")),
    ]
    return "\n".join(parts) + "\n" + FILES


def _section(command: click.Command, parent: str) -> list[str]:
    context = click.Context(command, info_name=command.name, parent=ROOT)
    usage = " ".join(command.collect_usage_pieces(context))
    name = f"{parent} {command.name}"
    lines = [f".SS {_escape(name)} {_escape(usage)}"]
    lines += [*_prose(command.help or ""), *_options(command)]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            lines += _section(inner, name)
    return lines


def _prose(text: str) -> list[str]:
    r"""Set paragraphs; those that click shows as they are, after \b, without filling."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        rows = [row.rstrip() for row in paragraph.split("\n")]
        if rows[0] == "\b":
            lines += [".PP", ".nf", *map(_escape, rows[1:]), ".fi"]
        else:
            lines += [".PP", *(_escape(row.strip()) for row in rows)]
    return lines


def _options(command: click.Command) -> list[str]:
    context = click.Context(command, info_name=command.name, parent=ROOT)
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            lines += [".TP", f".B {_escape(record[0])}", _escape(record[1])]
    return lines


def _escape(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    # A dot or an apostrophe that begins a line would be a request.
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
