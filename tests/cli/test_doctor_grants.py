"""`chimewayd doctor`: by whom it is run, and where somebody granted what is not theirs."""

from urllib.parse import urlsplit

import engine
import pytest
from commands import chimewayd
from examined import doctor, found
from logins import login

pytestmark = pytest.mark.anyio

GRANTS = {
    "grant select on chimeway.deliveries to public": (
        "public has select of table chimeway.deliveries"
    ),
    "revoke execute on function chimeway.clock() from chimeway_daemon": (
        "chimeway_daemon lacks execute of function chimeway.clock()"
    ),
    "grant insert (status) on chimeway.deliveries to chimeway_producer": (
        "chimeway_producer has insert of table chimeway.deliveries, column status"
    ),
}


@pytest.mark.parametrize("grant", GRANTS)
async def test_a_right_too_many_or_too_few_is_named(
    grant: str, dsn: str, connection: engine.Connection
) -> None:
    await connection.execute(grant)

    ended = await chimewayd("doctor", "--json", environment={"CHIMEWAYD_DSN": dsn})

    named = [each for each in ended.document["findings"] if each["check"] == "roles"]
    (wrong,) = [each for each in named if each["level"] == "warning"]
    assert GRANTS[grant] in wrong["what"]
    assert "chimewayd migrate" in wrong["remedy"]


@pytest.mark.parametrize(
    ("role", "not_known"),
    [
        ("chimeway_daemon", {"daemons"}),
        ("chimeway_operator", {"rights"}),
        ("chimeway_reader", {"rights"}),
    ],
)
async def test_each_role_is_told_what_it_cannot_see_and_of_no_fault(
    role: str, not_known: set[str], dsn: str
) -> None:
    async with login(dsn, role) as own:
        ended = await doctor(own)

    assert found(ended, "fault") == []
    assert {check for check, *_ in found(ended, "unknown")} == not_known
    assert ended.exit_code == 0


async def test_producer_is_told_that_it_runs_no_daemon(dsn: str) -> None:
    async with login(dsn, "chimeway_producer") as own:
        ended = await doctor(own)

    assert found(ended, "fault") == []
    ((check, what, _),) = found(ended, "unknown")
    assert (check, "runs no daemon: it is chimeway_producer" in what) == ("rights", True)


async def test_role_that_may_do_all_but_read_the_ledger_is_told_so(
    dsn: str, connection: engine.Connection
) -> None:
    async with login(dsn, "chimeway_daemon") as own:
        await connection.execute("revoke select on chimeway.schema_migrations from chimeway_daemon")
        ended = await doctor(own)

    ((check, what, _),) = found(ended, "fault")
    assert (check, "may not read chimeway.schema_migrations" in what) == ("rights", True)


async def test_role_that_may_not_see_recipients_is_told_so(dsn: str) -> None:
    channels = '{"hooks": {"adapter": "webhook"}}'
    async with login(dsn, "chimeway_daemon") as own:
        ended = await doctor(own, "--channels", channels=channels)

    (told,) = [one for one in found(ended, "unknown") if one[0] == "to hooks"]
    assert "may not see their recipients" in told[1]
    assert "chimeway_operator" in told[2]


async def test_owner_who_can_log_in_is_named(dsn: str, connection: engine.Connection) -> None:
    async with login(dsn) as own:
        name = urlsplit(own).username
        await connection.execute(f"alter schema chimeway owner to {name}")
        ended = await doctor(dsn)
        await connection.execute("alter schema chimeway owner to chimeway_owner")

    (told,) = [what for check, what, _ in found(ended, "warning") if check == "roles"]
    assert told.startswith(f"{name} owns the schema, not chimeway_owner")
