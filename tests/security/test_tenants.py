"""deploy/tenants.sql: a login sees and inserts the deliveries of its tenants, and no others."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import engine
import logins
import pytest

from chimewayd import migrate

pytestmark = pytest.mark.anyio

TENANTS = Path(__file__).parents[2] / "deploy" / "tenants.sql"
SEEN = "select array_agg(tenant_id order by tenant_id) from chimeway.deliveries"


@pytest.fixture
async def separated(connection: engine.Connection) -> engine.Connection:
    await engine.configure(connection)
    await connection.execute(TENANTS.read_text("utf-8"))
    for tenant in ("acme", "globex", None):
        await engine.insert(connection, tenant_id=tenant)
    return connection


@pytest.fixture
async def acme(dsn: str, separated: engine.Connection) -> AsyncIterator[engine.Connection]:
    async with logins.session(dsn, "chimeway_producer") as producer:
        await allow(separated, producer, "acme")
        yield producer


async def allow(
    owner: engine.Connection, session: engine.Connection, tenant_id: str | None
) -> None:
    login = await session.fetchval("select session_user")
    await owner.execute("insert into chimeway_tenants.logins values ($1, $2)", login, tenant_id)


async def test_tenants_login_sees_and_inserts_its_own(acme: engine.Connection) -> None:
    await engine.insert(acme, tenant_id="acme")

    assert await acme.fetchval(SEEN) == ["acme", "acme"]


@pytest.mark.parametrize("tenant_id", ["globex", None, ""])
async def test_tenants_login_inserts_for_nobody_else(
    acme: engine.Connection, tenant_id: str | None
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await engine.insert(acme, tenant_id=tenant_id)


@pytest.mark.parametrize(
    "statement",
    [
        "set row_security = off",
        "set chimeway.tenant_id = 'globex'",
        "set role chimeway_producer",
        "set search_path = pg_temp",
    ],
)
async def test_no_setting_of_the_session_shows_another_tenant(
    acme: engine.Connection, statement: str
) -> None:
    await acme.execute(statement)

    try:
        assert await acme.fetchval(SEEN) == ["acme"]
    except asyncpg.InsufficientPrivilegeError as error:
        assert "row-level security" in str(error)  # noqa: PT017 - refused is as good as unseen


async def test_key_of_another_tenant_can_be_used_and_tells_nothing(
    acme: engine.Connection, separated: engine.Connection
) -> None:
    await engine.insert(separated, tenant_id="globex", idempotency_key="k")

    await engine.insert(acme, tenant_id="acme", idempotency_key="k")


async def test_login_that_is_not_named_sees_nothing_and_one_for_all_sees_all(
    dsn: str, separated: engine.Connection
) -> None:
    async with logins.session(dsn, "chimeway_reader") as reader:
        assert await reader.fetchval(SEEN) is None
        await allow(separated, reader, None)
        assert len(await reader.fetchval(SEEN)) == 3
        assert await reader.fetch("select * from chimeway.delivery_attempts") == []
    async with logins.session(dsn, "chimeway_operator") as operator:
        assert len(await operator.fetchval(SEEN)) == 3


async def test_daemon_delivers_for_every_tenant_and_migrate_changes_nothing(
    dsn: str, separated: engine.Connection
) -> None:
    async with logins.session(dsn, "chimeway_daemon") as daemon:
        claimed = await engine.claim(daemon)
        for delivery in claimed:
            await engine.record(daemon, delivery)

    assert len(claimed) == 3
    assert await migrate.apply(separated) == []
    await separated.execute(
        "update chimeway.schema_migrations set checksum = 'old' where name = 'functions'"
    )
    await migrate.apply(separated)
    assert await separated.fetchval("select chimeway_tenants.may_see('acme')") is False
