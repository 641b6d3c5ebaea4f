"""`chimewayd doctor` where somebody granted or revoked what is not theirs to."""

import engine
import pytest
from commands import chimewayd

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
