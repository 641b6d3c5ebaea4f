"""What every command needs to reach its database: where the settings come from, one session."""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.config import Settings

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])

GOODBYE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Sources:
    """What the command line says about where the settings are."""

    config: Path | None = None
    dsn: str | None = None

    def load(self) -> "Settings":
        """Read the settings.

        Raises:
            ConfigError, ConfigErrors: one is wrong, or several are.
        """
        from chimewayd import config

        return config.load(self.config, overrides={"dsn": self.dsn})


pass_sources = click.make_pass_decorator(Sources, ensure=True)


def source_options(command: Command) -> Command:
    """Add --config and --dsn, which are understood before and after a command's name."""

    def remember(context: click.Context, _: click.Parameter, value: str | Path | None) -> None:
        known = context.find_object(Sources) or Sources()
        if isinstance(value, Path):
            context.obj = replace(known, config=value)
        elif value is not None:
            context.obj = replace(known, dsn=value)

    dsn = click.option(
        "--dsn",
        metavar="DSN",
        expose_value=False,
        callback=remember,
        help="The database: postgresql://user@host:port/name.",
    )
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=remember,
        help="The TOML file with the settings; else /etc/chimewayd/config.toml, if it is there.",
    )
    return config(dsn(command))


def require_channel(settings: "Settings") -> None:
    """Refuse settings that serve nothing.

    Raises:
        ConfigError: no channel is configured.
    """
    from chimewayd.errors import ConfigError

    if not settings.channels:
        raise ConfigError(
            "channels",
            "none is configured, so there is nothing to serve",
            'a table for each, as in [channels.hooks] with adapter = "webhook", in the file of '
            "--config; or a variable, as in CHIMEWAYD_CHANNELS__HOOKS__ADAPTER=webhook",
        )


def perform(ask: Callable[["asyncpg.Connection"], Awaitable[Result]], sources: Sources) -> Result:
    """Run `ask` with a connection to the database of the settings."""
    import anyio

    async def connected() -> Result:
        async with database(sources.load()) as connection:
            return await ask(connection)

    return anyio.run(connected)


@asynccontextmanager
async def database(settings: "Settings") -> "AsyncIterator[asyncpg.Connection]":
    """Open a session for one command.

    Raises:
        DatabaseUnavailable: nobody answers, or not any more.
        TryAgain: the database answers, but not now: a lock, a deadline, too many sessions.
    """
    import asyncpg

    from chimewayd import session
    from chimewayd.errors import DatabaseUnavailable, TryAgain

    connection = await session.connect(settings.dsn.get_secret_value())
    try:
        yield connection
        await connection.close(timeout=GOODBYE_SECONDS)
    except (
        asyncpg.exceptions.LockNotAvailableError,
        asyncpg.exceptions.QueryCanceledError,
        asyncpg.exceptions.InsufficientResourcesError,
        asyncpg.exceptions.ReadOnlySQLTransactionError,
        asyncpg.exceptions.TransactionRollbackError,
    ) as error:
        raise TryAgain(f"{session.describe_error(error)}: try again later") from error
    except session.NOT_NOW as error:
        raise DatabaseUnavailable(f"lost the database: {session.describe_error(error)}") from error
    finally:
        connection.terminate()
