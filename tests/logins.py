"""Logins of a test's own, which can do what the roles they are given can do, and nothing else."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

MEMBERSHIP = "grant {} to {}"


@asynccontextmanager
async def login(dsn: str, *roles: str, attributes: str = "") -> AsyncIterator[str]:
    """Make a login that is a member of these roles; yield its DSN, and drop it."""
    name = f"chimewayd_test_{secrets.token_hex(6)}"
    password = secrets.token_hex(8)
    await _administer(dsn, f"create role {name} login password '{password}' {attributes}")
    try:
        for role in roles:
            await _administer(dsn, MEMBERSHIP.format(role, name))
        parts = urlsplit(dsn)
        place = parts.netloc.rpartition("@")[2]
        yield parts._replace(netloc=f"{name}:{password}@{place}").geturl()
    finally:
        await _administer(dsn, f"drop owned by {name} cascade; drop role {name}")


@asynccontextmanager
async def session(dsn: str, *roles: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Make such a login and connect as it."""
    async with login(dsn, *roles) as own:
        connection = await asyncpg.connect(own)
        try:
            yield connection
        finally:
            await connection.close()


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
