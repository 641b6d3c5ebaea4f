"""Who may migrate, and what becomes of the roles: each case on a cluster of its own."""

from collections.abc import Iterator

import asyncpg
import engine
import logins
import pytest
from commands import chimewayd

from chimewayd import embedded, migrate, rights

pytestmark = pytest.mark.anyio

OWNER = "select nspowner::regrole::text from pg_namespace where nspname = 'chimeway'"

OWNERS = """
select nspowner::regrole::text from pg_namespace where nspname = 'chimeway'
union
select relowner::regrole::text from pg_class where relnamespace = 'chimeway'::regnamespace
union
select proowner::regrole::text from pg_proc where pronamespace = 'chimeway'::regnamespace
"""


@pytest.fixture
def cluster() -> Iterator[str]:
    """The DSN of a cluster where chimeway has never been: roles belong to a cluster."""
    with embedded.server() as server:
        yield server.dsn


async def test_managed_postgres_grants_once_the_roles_are_there(cluster: str) -> None:
    administrator = await asyncpg.connect(cluster)
    async with logins.login(cluster) as own:
        app = await asyncpg.connect(own)
        name = await app.fetchval("select current_user")
        await administrator.execute(f"grant create on database postgres to {name}")

        first = await chimewayd("migrate", "--dsn", own)
        await engine.insert(app)
        for role in rights.ROLES:
            await administrator.execute(f"create role {role} nologin")
        second = await chimewayd("migrate", "--dsn", own)
        third = await chimewayd("migrate", "--dsn", own)
        owner_then = await app.fetchval(OWNER)
        await administrator.execute(f"grant chimeway_owner to {name}")
        await administrator.execute(f"revoke create on database postgres from {name}")
        unable = await chimewayd("migrate", "--dsn", own)
        await administrator.execute(f"grant create on database postgres to {name}")
        fourth = await chimewayd("migrate", "--dsn", own)
        fifth = await chimewayd("migrate", "--dsn", own)

        assert first.exit_code == second.exit_code == 0
        assert "these are missing: chimeway_owner, chimeway_daemon" in first.stderr
        assert second.stdout == "applied: rights\n"
        assert third.stdout == unable.stdout == "up to date\n"
        for each in (second, third, unable):
            assert f"the schema belongs to {name}" in each.stderr
        assert owner_then == name
        assert (fourth.stdout, fourth.stderr) == ("applied: rights\n", "")
        assert (fifth.stdout, fifth.stderr) == ("up to date\n", "")
        assert [row[0] for row in await app.fetch(OWNERS)] == ["chimeway_owner"]
        async with logins.session(cluster, "chimeway_producer") as producer:
            await engine.insert(producer)
        await app.close()
    await administrator.close()


async def test_role_that_may_create_roles_migrates_without_being_a_superuser(cluster: str) -> None:
    administrator = await asyncpg.connect(cluster)
    async with logins.login(cluster, attributes="createrole") as own:
        app = await asyncpg.connect(own)
        name = await app.fetchval("select current_user")
        await administrator.execute(f"grant create on database postgres to {name}")

        assert await migrate.apply(app) == [
            *(script.name for script in migrate.migrations()),
            "functions",
            "rights",
        ]
        assert await migrate.apply(app) == []

        assert await rights.missing_roles(app) == []
        assert await app.fetchval(OWNER) == "chimeway_owner"
        assert await app.fetchval("select current_user") == name
        async with logins.session(cluster, "chimeway_producer") as producer:
            await engine.insert(producer)
        await app.close()
        await administrator.execute("drop schema chimeway cascade")
        for role in rights.ROLES:
            await administrator.execute(f"drop owned by {role} cascade; drop role {role}")
    await administrator.close()


async def test_databases_of_one_cluster_share_roles_and_no_rights(cluster: str) -> None:
    one = await asyncpg.connect(cluster)
    await one.execute("create database other")
    await migrate.apply(one)
    other_dsn = cluster.replace("/postgres?", "/other?")
    other = await asyncpg.connect(other_dsn)
    try:
        async with logins.login(cluster, "chimeway_producer") as own:
            stranger = await asyncpg.connect(own.replace("/postgres?", "/other?"))
            with pytest.raises(asyncpg.UndefinedTableError):
                await engine.insert(stranger)
            assert await migrate.apply(other) != []
            await engine.insert(stranger)
            await stranger.close()
        assert not await rights.differ(one)
    finally:
        await one.close()
        await other.close()


async def test_rights_that_were_taken_or_added_are_put_right_by_the_next_run(
    dsn: str, connection: engine.Connection
) -> None:
    await connection.execute("revoke execute on function chimeway.claim from chimeway_daemon")
    await connection.execute("grant select on chimeway.deliveries to chimeway_reader")
    await connection.execute("grant execute on function chimeway.ring() to public")

    ended = await chimewayd("migrate", "--dsn", dsn)

    assert ended.stdout == "applied: rights\n"
    assert not await rights.differ(connection)
