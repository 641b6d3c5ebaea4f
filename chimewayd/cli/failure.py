"""Decides how an error is told to the user, and which exit status it ends the command with."""
# ruff: noqa: PLC0415 - imported only once something went wrong: --help stays quick

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncpg

READER_GONE = 128 + signal.SIGPIPE
"""What the shell says of a program whose output nobody reads any more."""

ROLE_HINT = (
    "hint: grant the login a role: chimeway_daemon to run, chimeway_producer to send, "
    "chimeway_operator to step in and to see recipients (list, tail), chimeway_reader to look; "
    "chimewayd migrate makes them"
)
DATABASE_HINT = (
    "hint: chimewayd migrate makes a schema: run it as the database's owner, or grant create on "
    "the database to the login"
)


class Failure(NamedTuple):
    """What to print on stderr, and the exit status."""

    lines: tuple[str, ...]
    exit_code: int


def describe(error: BaseException) -> Failure | None:
    """Put an expected error into words; None: it is not expected, its traceback is what helps."""
    found = [_describe_one(leaf) for leaf in _leaves(error)]
    told = [failure for failure in found if failure is not None]
    if not told or len(told) < len(found):
        return None
    # Tasks that failed together often say the same.
    lines = dict.fromkeys(line for failure in told for line in failure.lines)
    return Failure(tuple(lines), told[0].exit_code)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _describe_one(error: BaseException) -> Failure | None:
    import asyncpg

    from chimewayd.errors import ChimewaydError, SchemaMismatch

    exit_code = error.exit_code if isinstance(error, ChimewaydError) else 1
    match error:
        case BrokenPipeError():
            return Failure((), READER_GONE)
        case (
            asyncpg.UndefinedTableError()
            | asyncpg.UndefinedFunctionError()
            | asyncpg.UndefinedColumnError()
            | asyncpg.InvalidSchemaNameError()
        ):
            hint = "hint: prepare the database with: chimewayd migrate"
            return Failure((f"chimewayd: {_message(error)}", hint), SchemaMismatch.exit_code)
        case asyncpg.InsufficientPrivilegeError() if "permission denied" in _message(error):
            message = _message(error)
            hint = DATABASE_HINT if "denied for database" in message else ROLE_HINT
            return Failure((f"chimewayd: {message}", hint), exit_code)
        case asyncpg.PostgresError():
            hints = (f"hint: {error.hint}",) if error.hint else ()
            return Failure((f"chimewayd: {_message(error)}", *hints), exit_code)
        case ChimewaydError():
            lines = str(error).splitlines()
            return Failure(tuple(f"chimewayd: {line}" for line in lines), exit_code)
        case _:
            return None


def _message(error: "asyncpg.PostgresError") -> str:
    # Not str(error): its DETAIL may be the whole row.
    message = getattr(error, "message", None) or str(error.args[0] if error.args else error)
    column = error.column_name
    return f"{column}: {message}" if column and column not in message else message
