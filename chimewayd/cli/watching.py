"""Looks at the database again and again, for as long as somebody watches.

A look that takes long is followed by a longer pause, so that who watches is never a burden; a
database that goes away is waited for.
"""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

from chimewayd.cli.session import Sources, database

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.errors import ChimewaydError

PAUSES_PER_LOOK = 9
"""A pause is at least so many times as long as the look before it: a tenth of the time."""


async def watch(
    sources: Sources,
    every: float,
    look: Callable[["asyncpg.Connection"], Awaitable[None]],
    lost: Callable[["ChimewaydError"], None],
) -> NoReturn:
    """Look every so many seconds; `lost` hears why a look was not possible.

    Raises:
        DatabaseUnavailable, TryAgain: the very first look was not possible.
    """
    import anyio

    from chimewayd.errors import DatabaseUnavailable, TryAgain

    settings = sources.load()
    has_looked = False
    while True:
        try:
            async with database(settings) as connection:
                while True:
                    began = anyio.current_time()
                    await look(connection)
                    has_looked = True
                    took = anyio.current_time() - began
                    await anyio.sleep(max(every, PAUSES_PER_LOOK * took))
        except (DatabaseUnavailable, TryAgain) as error:
            if not has_looked:
                raise
            lost(error)
        await anyio.sleep(every)
