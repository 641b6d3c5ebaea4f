"""find_deliveries and list_deliveries: page by page, and none is left out."""

from uuid import UUID, uuid4

import pytest
from engine import Connection, insert

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("function", "is_descending"), [("find_deliveries", False), ("list_deliveries", True)]
)
async def test_pages_bring_every_id_there_can_be(
    connection: Connection, function: str, *, is_descending: bool
) -> None:
    ids = [UUID(int=0), uuid4(), UUID(int=2**128 - 1)]
    for delivery_id in ids:
        await insert(connection, id=delivery_id)

    found: list[UUID] = []
    for _ in range(len(ids)):
        page = f"select id from chimeway.{function}($1, 1)"  # noqa: S608 - ours
        found.append(await connection.fetchval(page, found[-1] if found else None))

    assert found == sorted(ids, reverse=is_descending)
