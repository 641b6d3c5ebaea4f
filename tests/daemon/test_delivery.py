"""The installed command delivers what any program inserts."""

import json
import shutil
from collections.abc import Awaitable, Callable
from uuid import UUID

import anyio
import pytest
from engine import Connection, attempts_of, check_invariants, insert, look, operate
from running import WEBHOOK, running
from standardwebhooks.webhooks import Webhook

from chimewayd.testing.receiver import HERE, Receiver

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLSw6Qz1vT0dXc8k="
SIGNED = WEBHOOK | {"settings": {**HERE, "secret": SECRET}}
PSQL = shutil.which("psql")


async def test_plain_insert_becomes_one_signed_request(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with running(dsn, {"hooks": SIGNED}) as daemon:
        delivery_id: UUID = await connection.fetchval(
            "insert into chimeway.deliveries (channel, recipient, payload)"
            " values ('hooks', $1, $2) returning id",
            hooks.url + "/orders",
            '{"subject": "Grüße", "order": 7}',
        )
        (line,) = await daemon.said("attempt_recorded")

    (request,) = hooks.requests
    assert (request.method, request.path) == ("POST", "/orders")
    assert json.loads(request.body) == {"subject": "Grüße", "order": 7}
    assert request.headers["webhook-id"] == str(delivery_id)
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) is not None
    row = await look(connection, delivery_id)
    (attempt,) = await attempts_of(connection, delivery_id)
    assert (row["status"], row["attempt_count"]) == ("succeeded", 1)
    assert (attempt["outcome"], attempt["status_code"]) == ("succeeded", 200)
    assert (line["delivery_id"], line["channel"]) == (str(delivery_id), "hooks")
    assert (line["level"], line["status"], line["attempt"]) == ("info", "succeeded", 1)
    await check_invariants(connection)


@pytest.mark.skipif(PSQL is None, reason="psql is not installed")
async def test_insert_with_psql_is_delivered(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    statement = (
        "insert into chimeway.deliveries (channel, recipient, payload)"
        """ values ('hooks', :'url', '{"from": "psql"}')"""
    )
    command = [str(PSQL), "-X", "-v", "ON_ERROR_STOP=1", "-v", f"url={hooks.url}/psql", dsn]

    async with running(dsn, {"hooks": SIGNED}) as daemon:
        await anyio.run_process(command, input=statement.encode())
        (line,) = await daemon.said("attempt_recorded")

    (request,) = hooks.requests
    assert json.loads(request.body) == {"from": "psql"}
    assert request.headers["webhook-id"] == line["delivery_id"]
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) is not None
    assert (await look(connection, UUID(line["delivery_id"])))["status"] == "succeeded"


async def test_rolled_back_insert_sends_nothing(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        transaction = connection.transaction()
        await transaction.start()
        await insert(connection, channel="hooks", recipient=hooks.url + "/never")
        await transaction.rollback()
        await insert(connection, channel="hooks", recipient=hooks.url + "/kept")
        await daemon.said("attempt_recorded")

    assert [request.path for request in hooks.requests] == ["/kept"]


async def test_failed_attempts_are_repeated_until_one_succeeds(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    hooks.script("/flaky", 503, 503, 200)

    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        delivery_id = await insert(connection, channel="hooks", recipient=hooks.url + "/flaky")
        lines = await daemon.said("attempt_recorded", 3)

    attempts = await attempts_of(connection, delivery_id)
    assert [a["outcome"] for a in attempts] == ["failed", "failed", "succeeded"]
    assert [line["status"] for line in lines] == ["failed", "failed", "succeeded"]
    assert {r.headers["webhook-id"] for r in hooks.requests} == {str(delivery_id)}
    assert len(hooks.requests) == 3
    assert (await look(connection, delivery_id))["status"] == "succeeded"
    await check_invariants(connection)


async def test_permanent_refusal_is_not_repeated(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    hooks.script("/gone", 410)

    async with running(dsn, {"hooks": WEBHOOK}):
        refused = await insert(connection, channel="hooks", recipient=hooks.url + "/gone")
        await insert(connection, channel="hooks", recipient=hooks.url + "/fine")
        await all_ended()

    row = await look(connection, refused)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "permanent_failure")
    assert len(await attempts_of(connection, refused)) == 1
    assert sorted(request.path for request in hooks.requests) == ["/fine", "/gone"]
    await check_invariants(connection)


async def test_delivery_that_never_succeeds_runs_out_of_attempts(
    dsn: str, connection: Connection, hooks: Receiver, all_ended: Callable[[], Awaitable[None]]
) -> None:
    hooks.script("/down", 503)

    async with running(dsn, {"hooks": WEBHOOK}):
        delivery_id = await insert(connection, channel="hooks", recipient=hooks.url + "/down")
        await all_ended()

    row = await look(connection, delivery_id)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "retries_exhausted")
    assert len(await attempts_of(connection, delivery_id)) == 3
    assert [r.headers["webhook-id"] for r in hooks.requests] == [str(delivery_id)] * 3
    await check_invariants(connection)


async def test_cancelled_delivery_is_never_sent(
    dsn: str, connection: Connection, hooks: Receiver
) -> None:
    cancelled, _ = [
        await insert(connection, channel="hooks", recipient=hooks.url + path)
        for path in ("/cancelled", "/later")
    ]
    await operate(connection, "cancel", cancelled, "changed our mind", "ada")

    async with running(dsn, {"hooks": WEBHOOK}) as daemon:
        await daemon.said("attempt_recorded")

    assert [request.path for request in hooks.requests] == ["/later"]
    assert await attempts_of(connection, cancelled) == []
    await check_invariants(connection)


async def test_payload_that_the_adapter_cannot_use_fails_alone_and_says_why(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    async with running(dsn, {"log": {"adapter": "log"}}):
        broken = await insert(connection, channel="log", payload='["no", "object"]')
        fine = await insert(connection, channel="log", payload='{"subject": "Hi"}')
        await all_ended()

    row = await look(connection, broken)
    (attempt,) = await attempts_of(connection, broken)
    assert (row["status"], row["suppression_reason"]) == ("cancelled", "permanent_failure")
    assert "payload" in attempt["detail"]
    assert (await look(connection, fine))["status"] == "succeeded"


async def test_recipient_that_is_repeated_by_whoever_answers_is_for_operators_alone(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    settings = {"command": ["/bin/sh", "-c", "cat >&2; exit 65"]}
    recipient = "ada.lovelace@example.org"

    async with running(dsn, {"tell": {"adapter": "exec", "settings": settings}}) as daemon:
        delivery_id = await insert(connection, channel="tell", recipient=recipient)
        await all_ended()

    (attempt,) = await attempts_of(connection, delivery_id)
    assert '"recipient":"[redacted]"' in attempt["response"].replace(" ", "")
    told = [str(dict(attempt)), *map(str, daemon.lines)]
    told += map(str, await connection.fetch("select * from chimeway.explain($1)", delivery_id))
    assert [text for text in told if recipient in text] == []
