"""The look for other daemons, where no channel shares the calls of its hosts."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from chimewayd import host_shares
from chimewayd.errors import DatabaseUnavailable
from chimewayd.outage import Outage

if TYPE_CHECKING:
    from chimewayd.state import State

pytestmark = pytest.mark.anyio


async def test_look_that_asks_nothing_says_nothing_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_shares, "WATCH_SECONDS", 0.001)
    outage = Outage()
    outage.begin(DatabaseUnavailable("away"))
    parts = SimpleNamespace(settings=SimpleNamespace(channels={}), outage=outage, sessions=None)

    with anyio.move_on_after(0.05):
        await host_shares.watch(cast("State", parts))

    assert outage.since is not None
