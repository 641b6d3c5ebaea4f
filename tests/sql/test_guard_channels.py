"""guard_channels: a channel stays while deliveries may refer to it."""

import pytest
from engine import Connection, configure

from chimewayd.errors import TransitionRefused

pytestmark = pytest.mark.anyio


async def test_channel_cannot_be_deleted(connection: Connection) -> None:
    await configure(connection)

    with pytest.raises(TransitionRefused, match="channel email cannot be deleted"):
        await connection.execute("delete from chimeway.channels")
