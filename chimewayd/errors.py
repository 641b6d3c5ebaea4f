"""The one error tree: what can be wrong, and the exit status it ends a command with.

    ChimewaydError                      1  failed
    ├── ConfigError, ConfigErrors      78  a setting is wrong, or several are
    ├── SchemaMismatch                 75  the database's schema is another release's: it may change
    ├── MigrationDrift                 78  an applied migration is not the file we ship
    ├── DatabaseUnavailable            69  no answer from the database
    │   └── Locked                         somebody else holds what it needs; it works otherwise
    ├── UnexpectedAnswer                1  a function of the schema answered what it cannot
    ├── TryAgain                       75  not now: somebody else is at it
    ├── DeliveryNotFound      NC001     3  no such delivery
    ├── TransitionRefused     NC002     1  the state table does not allow it
    └── InvalidArgument       NC003     2  a SQL function refused an argument

Exit status 2 is also click's, for usage. The three with a SQLSTATE are raised by our own SQL
functions and arrive by themselves: asyncpg looks a SQLSTATE up among the subclasses of
`PostgresError`, so that no caller compares codes.
"""
# ruff: noqa: N818 - the names say what happened, the root of the tree says that it is an error

from collections.abc import Sequence
from typing import ClassVar

import asyncpg


class ChimewaydError(Exception):
    """Whatever we raise on purpose; `exit_code` is the command's exit status."""

    exit_code: ClassVar[int] = 1


class ConfigError(ChimewaydError):
    """One setting is wrong. Holds no value: a value may be a secret."""

    exit_code: ClassVar[int] = 78

    def __init__(
        self, setting: str, problem: str, allowed: str | None = None, source: str | None = None
    ) -> None:
        self.setting = setting
        self.problem = problem
        self.allowed = allowed
        self.source = source
        where = f" ({source})" if source else ""
        may = f"; allowed: {allowed}" if allowed else ""
        super().__init__(f"{setting}{where}: {problem}{may}")

    @property
    def errors(self) -> tuple["ConfigError", ...]:
        """Itself, as `ConfigErrors` has several."""
        return (self,)


class ConfigErrors(ChimewaydError):
    """Several settings are wrong: one line each, so that one start tells them all."""

    exit_code: ClassVar[int] = 78

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


def wrong(errors: Sequence[ConfigError]) -> ConfigError | ConfigErrors:
    """Join what is wrong with settings to what is raised: one error as it is, several as one."""
    return errors[0] if len(errors) == 1 else ConfigErrors(errors)


class DatabaseUnavailable(ChimewaydError):
    """The database gives no answer, or not within the deadline."""

    exit_code: ClassVar[int] = 69


class Locked(DatabaseUnavailable):
    """Somebody holds a lock on what the statement needs, for longer than we wait."""


class UnexpectedAnswer(ChimewaydError):
    """A function of the schema returned what ours never does: somebody changed it."""

    def __init__(self, function: str, what: str) -> None:
        super().__init__(
            f"chimeway.{function} returned {what}: it is not this release's; see chimewayd doctor"
        )


class TryAgain(ChimewaydError):
    """Nothing is wrong but the moment: the same command later may succeed."""

    exit_code: ClassVar[int] = 75


class SchemaMismatch(ChimewaydError):
    """The database's schema is another release's: an upgrade is half done, and is to be ended."""

    exit_code: ClassVar[int] = 75

    def __init__(self, found: str, needed: str, remedy: str = "run `chimewayd migrate`") -> None:
        self.found = found
        self.needed = needed
        match found, needed:
            case ("no chimeway schema", _):
                problem = "there is no chimeway schema in this database"
            case (_, "functions"):
                problem = "the functions in the database are those of another release"
            case _:
                problem = f"database schema is {found}, this version needs {needed}"
        super().__init__(f"{problem}: {remedy}")


class MigrationDrift(ChimewaydError):
    """A migration in the database is not the file we ship under its number."""

    exit_code: ClassVar[int] = 78


class DeliveryNotFound(ChimewaydError, asyncpg.PostgresError):
    """No delivery has this id."""

    exit_code: ClassVar[int] = 3
    sqlstate = "NC001"


class TransitionRefused(ChimewaydError, asyncpg.PostgresError):
    """The delivery's state does not allow this; the message names both states."""

    exit_code: ClassVar[int] = 1
    sqlstate = "NC002"


class InvalidArgument(ChimewaydError, asyncpg.PostgresError):
    """A SQL function refused an argument; the message names it."""

    exit_code: ClassVar[int] = 2
    sqlstate = "NC003"
