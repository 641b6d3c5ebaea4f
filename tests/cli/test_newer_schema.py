"""Commands beside the schema of the next release, whose functions may return a column more."""

import engine
import pytest
from commands import chimewayd
from watcher import watching
from wider import widen

pytestmark = pytest.mark.anyio

COMMANDS: dict[str, tuple[str, ...]] = {
    "explain": ("explain", "ID", "--json"),
    "stats": ("status", "--json"),
    "list_deliveries": ("list", "--json"),
    "group_failures": ("failures", "--json"),
    "prune": ("prune", "--dry-run", "--json"),
    "pause_channel": ("pause", "email", "--reason", "why", "--json"),
    "resume_channel": ("resume", "email", "--json"),
    "cancel": ("cancel", "ID", "--reason", "why", "--json"),
}


@pytest.mark.parametrize("function", COMMANDS)
async def test_a_column_more_changes_nothing_of_what_is_printed(
    function: str, dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery = await engine.claim_one(connection)
    await engine.record(connection, delivery, "permanent", detail="gone")
    command = [word.replace("ID", str(delivery.delivery_id)) for word in COMMANDS[function]]
    await chimewayd("--dsn", dsn, *command)  # what it changes is done now
    narrow = await chimewayd("--dsn", dsn, *command)

    await widen(connection, function)
    wide = await chimewayd("--dsn", dsn, *command)

    assert (wide.exit_code, wide.stderr) == (narrow.exit_code, narrow.stderr)
    assert keys(wide.document) == keys(narrow.document)


def keys(document: object) -> object:
    """Return the shape of a document: numbers and times may move."""
    if isinstance(document, dict):
        return {name: keys(value) for name, value in document.items()}
    return [keys(each) for each in document] if isinstance(document, list) else type(document)


async def test_tail_shows_what_it_knows(dsn: str, connection: engine.Connection) -> None:
    await engine.configure(connection)
    await engine.ended(connection, "succeeded")
    await widen(connection, "recent_attempts")

    async with watching("--dsn", dsn, "tail") as tail:
        shown = await tail.line()

    assert "attempt 1  succeeded" in shown
    assert "neighbour" not in shown
