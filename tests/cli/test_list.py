"""`chimewayd list`: newest first, page by page, and only what passes the filters."""

import engine
import pytest
from commands import chimewayd

from chimewayd.models import Status

pytestmark = pytest.mark.anyio


async def test_pages_follow_each_other_without_a_gap_or_a_repeat(
    dsn: str, connection: engine.Connection
) -> None:
    ids = sorted([str(await engine.insert(connection)) for _ in range(5)], reverse=True)
    found: list[str] = []
    before: list[str] = []

    for _ in range(3):
        page = await chimewayd("--dsn", dsn, "list", "--limit", "2", "--json", *before)
        found += [row["id"] for row in page.document["deliveries"]]
        before = ["--before", str(page.document["before"])]

    assert found == ids
    assert page.document["before"] is None


async def test_a_page_for_people_tells_how_to_get_the_next(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.insert(connection)
    newer = await engine.insert(connection, recipient=50 * "a")

    ended = await chimewayd("--dsn", dsn, "list", "--limit", "1")

    (line,) = ended.stdout.splitlines()[1:]
    assert line.startswith(f"{newer}  20")
    assert f"{39 * 'a'}…  pending" in line
    assert ended.stderr == f"more: the same command with --before {newer}\n"


@pytest.mark.parametrize(
    "given",
    [
        *("--channel push", "--status cancelled", "--with-reason stop", "--recipient bob"),
        *("--tenant acme", "--since 1h"),
    ],
)
async def test_a_filter_lets_only_what_fits_pass(
    given: str, dsn: str, connection: engine.Connection
) -> None:
    await connection.execute("set session_replication_role = replica")
    await connection.execute(
        "insert into chimeway.deliveries (channel, recipient, payload, inserted_at) "
        "values ('email', 'ada', '{}', now() - interval '2 hours')"
    )
    await connection.execute("reset session_replication_role")
    meant = await engine.insert(connection, channel="push", recipient="bob", tenant_id="acme")
    await engine.operate(connection, "cancel", meant, "stop", "ops")

    ended = await chimewayd("--dsn", dsn, "list", "--json", *given.split())

    (row,) = ended.document["deliveries"]
    assert (row["id"], row["status"], row["suppression_reason"]) == (
        str(meant),
        Status.CANCELLED,
        "stop",
    )


async def test_nothing_that_matches_is_3(dsn: str) -> None:
    ended = await chimewayd("--dsn", dsn, "list", "--channel", "nobody")

    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == "chimewayd: nothing matched\n"
