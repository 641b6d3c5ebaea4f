"""`chimewayd explain`: the picture, the document, and what there is none of."""

import json
import re
from datetime import timedelta
from uuid import uuid4

import engine
import pytest
from commands import Ended, chimewayd

pytestmark = pytest.mark.anyio


async def explain(dsn: str, *arguments: object) -> Ended:
    return await chimewayd("--dsn", dsn, "explain", *map(str, arguments))


async def test_a_success_shows_its_attempt_and_that_nothing_follows(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery = await engine.claim_one(connection)
    await engine.record(connection, delivery, started_ago=0.25, status_code=202)

    ended = await explain(dsn, delivery.delivery_id)

    assert (ended.exit_code, ended.stderr) == (0, "")
    head, _, *lines = ended.stdout.splitlines()
    assert head.startswith(f"delivery {delivery.delivery_id}   inserted 20")
    assert head.endswith(" UTC")
    attempt = next(line for line in lines if "attempt 1: succeeded" in line)
    assert "██████████  250 ms" in attempt
    assert "nothing: succeeded is terminal" in lines[-1]


async def test_a_failure_shows_its_wait_and_when_it_is_tried_again(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    await connection.execute("select chimeway.register_daemon('d1', '0', '{email}')")
    delivery = await engine.claim_one(connection)
    verdict = await engine.record(connection, delivery, "temporary", detail="HTTP 503")
    assert verdict.next_attempt_at is not None

    ended = await explain(dsn, delivery.delivery_id)

    lines = ended.stdout.splitlines()
    attempt = next(line for line in lines if "attempt 1: failed (temporary)" in line)
    decided = next(line for line in lines if " decided " in line)
    assert "HTTP 503" in attempt
    assert "░░░░░░░░░░  30 s" in decided
    assert "failure 1 of at most 5" in decided
    assert "attempt 2 in " in lines[-1]
    assert f"{verdict.next_attempt_at:%Y-%m-%d %H:%M:%S}" in lines[-1]


async def test_a_channel_that_nobody_serves_is_told(
    dsn: str, connection: engine.Connection
) -> None:
    delivery_id = await engine.insert(connection, channel="nobody")

    ended = await explain(dsn, delivery_id)

    assert ended.exit_code == 0
    assert "nobody serves channel nobody, and nobody ever did" in ended.stdout


async def test_the_document_has_every_row_with_its_facts_decoded(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.ended(connection, "permanent")

    ended = await explain(dsn, delivery_id, "--json")

    rows = await connection.fetch("select * from chimeway.explain($1)", delivery_id)
    document = ended.document
    assert list(document) == ["id", "timeline"]
    assert document["id"] == str(delivery_id)
    assert [list(step) for step in document["timeline"]] == [list(row.keys()) for row in rows]
    assert [step["facts"] for step in document["timeline"]] == [
        json.loads(row["facts"]) for row in rows
    ]
    assert document["timeline"][0]["happened_at"].endswith("Z")


async def test_an_unknown_delivery_is_3_with_a_hint(dsn: str) -> None:
    unknown = uuid4()

    ended = await explain(dsn, unknown)

    assert (ended.exit_code, ended.stdout) == (3, "")
    first, second = ended.stderr.splitlines()
    assert first == f"chimewayd: chimeway.explain: there is no delivery {unknown}"
    assert second.startswith("hint: ")


@pytest.mark.parametrize("wrong", ["42", "not-a-uuid", ""])
async def test_what_is_no_uuid_is_2(wrong: str, dsn: str) -> None:
    ended = await explain(dsn, wrong)

    assert ended.exit_code == 2
    assert "is not a valid UUID" in ended.stderr


async def test_text_of_others_cannot_steer_the_terminal(
    dsn: str, connection: engine.Connection
) -> None:
    delivery_id = await engine.insert(
        connection, scheduled_at=await connection.fetchval("select now() + interval '1 hour'")
    )
    await engine.operate(connection, "cancel", delivery_id, "\x1b[2J\nno\u202e", "ops")

    ended = await explain(dsn, delivery_id)

    assert r"\x1b[2J\nno\u202e" in ended.stdout
    assert all(line.isprintable() for line in ended.stdout.splitlines())


async def test_a_wait_that_was_cut_short_is_as_long_as_it_was(
    dsn: str, connection: engine.Connection
) -> None:
    await engine.configure(connection)
    delivery = await engine.claim_one(connection)
    await engine.record(connection, delivery, "temporary")
    await engine.move_clock(connection, timedelta(seconds=12))
    await engine.operate(connection, "cancel", delivery.delivery_id, "enough", "ops")

    ended = await explain(dsn, delivery.delivery_id)

    decided = next(line for line in ended.stdout.splitlines() if " decided " in line)
    (waited,) = re.findall(r"([\d.]+) s  due again in 30 s", decided)
    assert 12 <= float(waited) < 30
