"""broken_rule: a row that breaks a rule is refused; the error names the column and the rule."""

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from engine import Connection, insert, look

pytestmark = pytest.mark.anyio

REFUSED: list[tuple[str, Any]] = [
    ("channel", ""),
    ("channel", "Email"),
    ("channel", "9mail"),
    ("channel", "e" * 64),
    ("channel", "email\n"),
    ("channel", "e-mail!"),
    ("recipient", ""),
    ("recipient", "é" * 1025),
    ("recipient", "ada@example.org\r\nBcc: all"),
    ("recipient", "ada\u2028"),
    ("recipient", "ada\x7f"),
    ("recipient", "ada\x9b"),
    ("payload", json.dumps("x" * 1_048_576)),
    ("payload", json.dumps("x" * 262_143)),
    ("metadata", "[]"),
    ("metadata", "null"),
    ("metadata", json.dumps({"x": "y" * 16_384})),
    ("priority", -101),
    ("priority", 101),
    ("max_attempts", 0),
    ("max_attempts", 101),
    ("scheduled_at", datetime(1999, 12, 31, tzinfo=UTC)),
    ("scheduled_at", datetime(2200, 1, 2, tzinfo=UTC)),
    ("expires_at", datetime(1999, 12, 31, tzinfo=UTC)),
    ("expires_at", datetime(2200, 1, 2, tzinfo=UTC)),
    ("idempotency_key", ""),
    ("idempotency_key", "order 1"),
    ("idempotency_key", "k" * 256),
    ("idempotency_key", "ordér"),
    *(
        (column, value)
        for column in ("tenant_id", "notification_key", "correlation_id")
        for value in ("", "x" * 256, "a\nb", "a\u2029")
    ),
]

OURS: list[tuple[str, Any]] = [
    ("status", "failed"),
    ("attempt_count", 1),
    ("attempts_before", 1),
    ("lost_count", 1),
    ("series", 2),
    ("next_attempt_at", datetime(2026, 1, 1, tzinfo=UTC)),
    ("provider_message_id", "m1"),
    ("requested_status", "cancelled"),
    ("requested_reason", "no longer wanted"),
    ("inserted_at", datetime(2026, 1, 1, tzinfo=UTC)),
    ("updated_at", datetime(2026, 1, 1, tzinfo=UTC)),
]

ACCEPTED: list[tuple[str, Any]] = [
    ("channel", "e"),
    ("channel", "order-webhooks_v2.eu" + "x" * 43),
    ("recipient", "x" * 2048),
    ("payload", json.dumps("x" * 262_142)),
    ("payload", "[1, 2]"),
    ("payload", "7"),
    ("payload", "null"),
    ("priority", -100),
    ("priority", 100),
    ("max_attempts", 1),
    ("max_attempts", 100),
    ("expires_at", datetime(2026, 1, 1, tzinfo=UTC)),
    ("idempotency_key", "k" * 255),
    ("tenant_id", "é" * 127),
    ("metadata", '{"a": [1]}'),
]


def short(value: object) -> str:
    return ascii(value)[:24]


@pytest.mark.parametrize(("column", "value"), REFUSED, ids=short)
async def test_value_against_a_rule_is_refused_by_name(
    connection: Connection, column: str, value: Any
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=rf"chimeway\.deliveries\.{column}: must"):
        await insert(connection, **{column: value})


@pytest.mark.parametrize(("column", "value"), OURS, ids=short)
async def test_column_of_chimeways_own_is_refused_by_name(
    connection: Connection, column: str, value: Any
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="by chimeway only") as refused:
        await insert(connection, **{column: value})

    assert column in str(refused.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "succeeded"),
        ("status", "dispatched"),
        ("status", "sent"),
        ("claim_id", 1),
        ("finished_at", datetime(2026, 1, 1, tzinfo=UTC)),
        ("suppression_reason", "bounced"),
    ],
    ids=short,
)
async def test_row_that_contradicts_itself_is_refused_by_a_named_check(
    connection: Connection, column: str, value: Any
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=r"_(is_known|exactly_wh)"):
        await insert(connection, **{column: value})


@pytest.mark.parametrize(("column", "value"), ACCEPTED, ids=short)
async def test_value_at_the_edge_of_a_rule_is_accepted(
    connection: Connection, column: str, value: Any
) -> None:
    delivery_id = await insert(connection, **{column: value})

    assert (await look(connection, delivery_id))[column] == value


@pytest.mark.parametrize("column", ["channel", "recipient", "payload"])
async def test_missing_value_is_refused(connection: Connection, column: str) -> None:
    with pytest.raises(asyncpg.NotNullViolationError, match=column):
        await insert(connection, **{column: None})


async def test_position_cannot_be_chosen(connection: Connection) -> None:
    with pytest.raises(asyncpg.GeneratedAlwaysError, match="position"):
        await insert(connection, position=1)


@pytest.mark.parametrize(
    ("column", "value"), [("recipient", "a\0b"), ("payload", '{"text": "a\\u0000b"}')]
)
async def test_nul_character_is_refused(connection: Connection, column: str, value: str) -> None:
    with pytest.raises(
        (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
    ):
        await insert(connection, **{column: value})


async def test_one_bad_row_refuses_its_statement_whole(connection: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await connection.execute(
            "insert into chimeway.deliveries (channel, recipient, payload) "
            "values ('email', 'ada', '{}'), ('email', '', '{}')"
        )

    assert refused.value.column_name == "recipient"
    assert await connection.fetchval("select count(*) from chimeway.deliveries") == 0
