"""Bad input by insert: what a producer's row may hold, each refusal with its SQLSTATE and column.

Each case keeps its number; 58 to 130 are in test_bad_answers.py and test_bad_settings.py.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg
import databases
import engine
import logins
import pytest

pytestmark = pytest.mark.anyio

CHECK, NOT_NULL, RANGE, RIGHTS = "23514", "23502", "22003", "42501"
DEEP = 50_000


class Bad(NamedTuple):
    """A column, the SQL of its value, and what becomes of it; no SQLSTATE: it is accepted."""

    number: int
    column: str
    value: str
    sqlstate: str | None
    told: str = ""


ROWS = [
    Bad(1, "channel", "''", CHECK, "channel"),
    Bad(2, "channel", "'Webhook'", CHECK, "channel"),
    Bad(3, "channel", "'a''; drop table x;--'", CHECK, "channel"),
    Bad(4, "channel", "repeat('a', 64)", CHECK, "channel"),
    Bad(5, "channel", "'../../etc/passwd'", CHECK, "channel"),
    Bad(6, "channel", "'w\u0435bhook'", CHECK, "channel"),
    Bad(7, "channel", "null", NOT_NULL, "channel"),
    Bad(8, "payload", "null", NOT_NULL, "payload"),
    Bad(9, "max_attempts", "null", None),
    Bad(10, "recipient", "''", CHECK, "recipient"),
    Bad(11, "recipient", "E'a@b\\r\\nBcc: x@y'", CHECK, "recipient"),
    Bad(12, "recipient", "repeat('a', 2049)", CHECK, "recipient"),
    Bad(13, "recipient", "E'a\\u2028b'", CHECK, "recipient"),
    Bad(14, "recipient", "E'a\\u0085b'", CHECK, "recipient"),
    Bad(15, "recipient", "E'a\\u0000b'", "42601"),
    Bad(16, "recipient", "repeat('a', 2048)", None),
    Bad(17, "payload", "'[1]'", None),
    Bad(18, "payload", "'42'", None),
    Bad(19, "payload", "'null'", None),
    Bad(20, "payload", "to_jsonb(repeat('a', 262143))", CHECK, "payload"),
    Bad(21, "payload", "('[' || repeat('1e131071,', 19) || '1e131071]')::jsonb", CHECK, "payload"),
    Bad(22, "payload", "(repeat('[', 2000) || repeat(']', 2000))::jsonb", None),
    Bad(23, "payload", "'{\"a\": 1e131071}'", None),
    Bad(24, "payload", '\'{"a": 1, "a": 2}\'', None),
    Bad(25, "metadata", "'[]'", CHECK, "metadata"),
    Bad(26, "metadata", "jsonb_build_object('a', repeat('a', 16384))", CHECK, "metadata"),
    Bad(27, "metadata", "jsonb_build_object('X-A', E'b\\r\\nBcc: c')", None),
    Bad(28, "max_attempts", "0", CHECK, "max_attempts"),
    Bad(29, "max_attempts", "-1", CHECK, "max_attempts"),
    Bad(30, "max_attempts", "101", CHECK, "max_attempts"),
    Bad(31, "max_attempts", "2147483648", RANGE),
    Bad(32, "priority", "32768", RANGE),
    Bad(33, "priority", "101", CHECK, "priority"),
    Bad(34, "scheduled_at", "'infinity'", CHECK, "scheduled_at"),
    Bad(35, "scheduled_at", "'10000-01-01'", CHECK, "scheduled_at"),
    Bad(36, "scheduled_at", "'0044-03-15 BC'", CHECK, "scheduled_at"),
    Bad(37, "expires_at", "'-infinity'", CHECK, "expires_at"),
    Bad(38, "expires_at", "now() - interval '1 day'", None),
    Bad(39, "idempotency_key", "''", CHECK, "idempotency_key"),
    Bad(40, "idempotency_key", "repeat('k', 256)", CHECK, "idempotency_key"),
    Bad(41, "idempotency_key", "'a b'", CHECK, "idempotency_key"),
    Bad(42, "idempotency_key", "E'a\\nb'", CHECK, "idempotency_key"),
    Bad(44, "status", "'succeeded'", RIGHTS),
    Bad(45, "attempt_count", "1", RIGHTS),
    Bad(46, "claim_id", "1", RIGHTS),
    Bad(47, "lost_count", "1", RIGHTS),
    Bad(48, "inserted_at", "now()", RIGHTS),
    Bad(49, "position", "1", "428C9"),
    Bad(51, "payload", "'\"\\u0000\"'", "22P05"),
    Bad(52, "payload", "'\"\\ud800\"'", "22P02"),
    Bad(53, "payload", "'NaN'", "22P02"),
    Bad(54, "payload", f"(repeat('[', {DEEP}) || repeat(']', {DEEP}))::jsonb", "54001"),
    Bad(55, "payload", "to_jsonb(repeat('a', 268435456))", "54000"),
    Bad(56, "payload", "('[' || repeat('9', 5000) || ']')::jsonb", None),
    Bad(57, "payload", "to_jsonb(repeat('a', 64 * 1024 * 1024))", CHECK, "payload"),
    Bad(131, "tenant_id", "''", CHECK, "tenant_id"),
    Bad(132, "tenant_id", "E'\\u001b[31m'", CHECK, "tenant_id"),
    Bad(133, "notification_key", "repeat('a', 256)", CHECK, "notification_key"),
    Bad(134, "correlation_id", "E'a\\nlevel=info'", CHECK, "correlation_id"),
    Bad(135, "id", "'not-a-uuid'", "22P02"),
    Bad(136, "channel", "E'email\\n'", CHECK, "channel"),
]


@pytest.fixture(scope="module")
async def own_dsn(postgres: databases.Postgres, template_database: str) -> AsyncIterator[str]:
    async with databases.database(postgres.dsn, template_database) as name:
        yield databases.with_database(postgres.dsn, name)


@pytest.fixture(scope="module")
async def producer(own_dsn: str) -> AsyncIterator[engine.Connection]:
    async with logins.session(own_dsn, "chimeway_producer") as connection:
        yield connection


def statement(bad: Bad) -> str:
    row = {"channel": "'email'", "recipient": "'ada'", "payload": "'{}'"} | {bad.column: bad.value}
    return (
        f"insert into chimeway.deliveries ({', '.join(row)}) "
        f"select {', '.join(row.values())} returning id"
    )


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: f"{bad.number} {bad.column}")
async def test_row_is_refused_by_name_or_accepted_whole(
    producer: engine.Connection, bad: Bad
) -> None:
    if bad.sqlstate is None:
        assert await producer.fetchval(statement(bad)) is not None
        return

    with pytest.raises(asyncpg.PostgresError) as refused:
        await producer.execute(statement(bad))

    assert refused.value.sqlstate == bad.sqlstate
    assert bad.told in str(refused.value)


async def test_second_of_two_with_a_key_is_refused_or_inert(producer: engine.Connection) -> None:
    keyed = statement(Bad(43, "idempotency_key", "'twice'", None))
    await producer.execute(keyed)

    with pytest.raises(asyncpg.UniqueViolationError):
        await producer.execute(keyed)
    inert = keyed.replace("returning id", "on conflict do nothing")
    assert await producer.execute(inert) == "INSERT 0 0"


ARGUMENTS: list[tuple[str, str, str]] = [
    ("cancel", "gen_random_uuid(), 'why', 'me'", "NC001"),
    ("cancel", "null, 'why', 'me'", "NC001"),
    ("cancel", "gen_random_uuid(), '', 'me'", "NC003"),
    ("cancel", "gen_random_uuid(), 'why', ''", "NC003"),
    ("cancel", "gen_random_uuid(), 'why', null", "NC003"),
    ("cancel", "'abc', 'why', 'me'", "22P02"),
    ("suppress", "gen_random_uuid(), null, 'me'", "NC003"),
    ("replay", "gen_random_uuid(), null", "NC003"),
    ("hold", "gen_random_uuid(), 'why', 'me'", "NC001"),
    ("release", "gen_random_uuid(), 'me'", "NC001"),
    ("explain", "gen_random_uuid()", "NC001"),
    ("pause_channel", "'nobody', 'why', 'me'", "NC001"),
    ("pause_channel", "'nobody', '', 'me'", "NC003"),
    ("resume_channel", "'nobody', 'me'", "NC001"),
]


@pytest.mark.parametrize(("function", "arguments", "sqlstate"), ARGUMENTS)
async def test_function_refuses_what_it_cannot_do(
    own_dsn: str, function: str, arguments: str, sqlstate: str
) -> None:
    async with logins.session(own_dsn, "chimeway_operator") as operator:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await operator.execute(f"select * from chimeway.{function}({arguments})")  # noqa: S608 - the table above

    assert refused.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    "text", ["a\nfake: line", "\x1b[2J", "\u202egnp.exe", "'; drop table x; --", "a" * 100_000]
)
async def test_what_operators_say_is_data(
    connection: engine.Connection, dsn: str, text: str
) -> None:
    await engine.configure(connection)
    delivery_id = await engine.insert(connection)
    async with logins.session(dsn, "chimeway_operator") as operator:
        with suppress(asyncpg.PostgresError):
            await operator.execute("select * from chimeway.cancel($1, $2, 'me')", delivery_id, text)

    row = await engine.look(connection, delivery_id)
    assert row["suppression_reason"] in (text, None)
    await engine.check_invariants(connection)


async def test_odd_rows_that_were_accepted_end_and_none_is_stuck(
    connection: engine.Connection,
) -> None:
    await engine.configure(connection)
    odd = [bad for bad in ROWS if bad.sqlstate is None]
    for bad in odd:
        await connection.execute(statement(bad))

    claimed: list[Any] = await engine.claim(connection)
    for delivery in claimed:
        await engine.record(connection, delivery)

    statuses = await connection.fetch(
        "select status, suppression_reason, count(*) from chimeway.deliveries group by 1, 2"
    )
    assert {tuple(row) for row in statuses} == {
        ("succeeded", None, len(odd) - 1),
        ("cancelled", "expired", 1),
    }
    await engine.check_invariants(connection)
