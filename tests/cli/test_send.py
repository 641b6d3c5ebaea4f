"""`chimewayd send`: what is inserted, and what is refused before anything is."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import engine
import pytest
from commands import Ended, chimewayd

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
BAD_JSON = [
    ('{"a": }', "line 1, column 7"),
    ('{\n  "a": x\n}', "line 2, column 8"),
    ("", "line 1, column 1"),
    ("NaN", "line 1, column 1"),
    (r'{"a": "\ud800"}', "line 1, column"),
    ("[" * 100_000, "line 1, column"),
]


async def send(dsn: str, *arguments: str, stdin: bytes = b"") -> Ended:
    return await chimewayd("--dsn", dsn, "send", *arguments, stdin=stdin)


async def inserted(connection: engine.Connection) -> int:
    count: int = await connection.fetchval("select count(*) from chimeway.deliveries")
    return count


async def test_send_inserts_one_delivery_and_prints_its_id(
    dsn: str, connection: engine.Connection
) -> None:
    ended = await send(dsn, "hooks", "https://example.org/é", "--payload", '{"order": 42}')

    assert (ended.exit_code, ended.stderr) == (0, "")
    row = await engine.look(connection, UUID(ended.stdout.strip()))
    assert (row["channel"], row["recipient"]) == ("hooks", "https://example.org/é")
    assert json.loads(row["payload"]) == {"order": 42}
    assert (row["status"], row["scheduled_at"], row["expires_at"], row["metadata"]) == (
        *("pending", row["inserted_at"], None, "{}"),
    )
    assert len(await engine.jobs_of(connection, row["id"])) == 1


async def test_every_option_reaches_its_column(dsn: str, connection: engine.Connection) -> None:
    options = [
        *("--idempotency-key", "k-1", "--tenant", "acme", "--priority", "-5"),
        *("--at", "2090-01-31T10:00+01:00", "--expires-in", "1h30m", "--max-attempts", "7"),
        *("--metadata", '{"a": 1}', "--correlation-id", "trace-1"),
        *("--notification-key", "order.shipped", "--payload", "[1]", "--json"),
    ]

    ended = await send(dsn, "hooks", "ada", *options)

    assert ended.stderr == ""
    assert list(ended.document) == ["id"]
    row = await engine.look(connection, UUID(ended.document["id"]))
    at = datetime(2090, 1, 31, 9, tzinfo=UTC)
    expected = {
        "idempotency_key": "k-1",
        "tenant_id": "acme",
        "priority": -5,
        "scheduled_at": at,
        "expires_at": at + timedelta(hours=1, minutes=30),
        "max_attempts": 7,
        "metadata": '{"a": 1}',
        "correlation_id": "trace-1",
        "notification_key": "order.shipped",
        "payload": "[1]",
    }
    assert {name: row[name] for name in expected} == expected


async def test_at_may_count_from_now(dsn: str, connection: engine.Connection) -> None:
    ended = await send(dsn, "hooks", "ada", "--payload", "{}", "--at", "+15m")

    row = await engine.look(connection, UUID(ended.stdout.strip()))
    assert row["scheduled_at"] - row["inserted_at"] == timedelta(minutes=15)


@pytest.mark.parametrize("source", ["-", "--payload-file=-"])
async def test_the_payload_may_come_from_stdin(
    source: str, dsn: str, connection: engine.Connection
) -> None:
    ended = await send(dsn, "hooks", "ada", source, stdin='{"é": "☃"}\n'.encode())

    row = await engine.look(connection, UUID(ended.stdout.strip()))
    assert json.loads(row["payload"]) == {"é": "☃"}


async def test_the_payload_may_come_from_a_file_of_the_largest_size(
    dsn: str, connection: engine.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text(f'"{"x" * (256 * 1024 - 2)}"')

    ended = await send(dsn, "hooks", "ada", "--payload-file", str(file))

    assert (ended.exit_code, ended.stderr) == (0, "")
    row = await engine.look(connection, UUID(ended.stdout.strip()))
    assert len(row["payload"]) == 256 * 1024


async def test_a_channel_that_nobody_serves_is_accepted(dsn: str) -> None:
    ended = await send(dsn, "no-such-channel", "ada", "--payload", "{}")

    assert ended.exit_code == 0


@pytest.mark.parametrize(("payload", "place"), BAD_JSON)
async def test_a_payload_that_is_not_json_is_refused_with_its_place(
    payload: str, place: str, dsn: str, connection: engine.Connection
) -> None:
    ended = await send(dsn, "hooks", "ada", "-", stdin=payload.encode())

    assert ended.exit_code == 2
    assert ended.stderr.startswith("chimewayd: payload: is not valid JSON: ")
    assert place in ended.stderr
    assert await inserted(connection) == 0


async def test_a_payload_that_is_not_utf8_is_refused_with_its_place(dsn: str) -> None:
    ended = await send(dsn, "hooks", "ada", "-", stdin=b'{"a":\n "\xff"}')

    assert ended.exit_code == 2
    assert ended.stderr == "chimewayd: payload: is not UTF-8 text, at line 2, column 3\n"


async def test_a_nul_character_is_refused_with_its_place(
    dsn: str, connection: engine.Connection
) -> None:
    ended = await send(dsn, "hooks", "ada", "--payload", r'{"a": "x\\\u0000"}')

    assert ended.exit_code == 2
    assert ended.stderr.startswith("chimewayd: payload: has a NUL character")
    assert "line 1, column 11" in ended.stderr
    assert await inserted(connection) == 0


async def test_a_backslash_before_u0000_is_no_nul_character(dsn: str) -> None:
    ended = await send(dsn, "hooks", "ada", "--payload", r'{"a": "\\u0000"}')

    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize(("size", "said"), [(MIB, "1 MiB"), (300 * MIB, "300 MiB")])
async def test_a_file_that_is_too_large_is_refused_by_its_size(
    size: int, said: str, dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "large.json"
    with file.open("wb") as sparse:
        sparse.truncate(size)

    ended = await send(dsn, "hooks", "ada", "--payload-file", str(file))

    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"chimewayd: payload: is {said}, at most 256 KiB may be sent")


async def test_a_stream_without_end_is_refused_once_it_is_too_long(dsn: str) -> None:
    ended = await send(dsn, "hooks", "ada", "--payload-file", "/dev/zero")

    assert ended.exit_code == 2
    assert ended.stderr.startswith("chimewayd: payload: is longer, at most 256 KiB may be sent")


@pytest.mark.parametrize(
    "sources",
    [[], ["--payload", "{}", "-"], ["--payload", "{}", "--payload-file", "-"]],
    ids=" ".join,
)
async def test_the_payload_is_given_exactly_once(sources: list[str], dsn: str) -> None:
    ended = await send(dsn, "hooks", "ada", *sources)

    assert ended.exit_code == 2
    assert "payload: give it once" in ended.stderr


async def test_metadata_has_its_own_limit_and_name(dsn: str) -> None:
    metadata = json.dumps({"x": "x" * 20_000})

    ended = await send(dsn, "hooks", "ada", "--payload", "{}", "--metadata", metadata)

    assert ended.exit_code == 2
    assert ended.stderr.startswith("chimewayd: metadata: is 19.54 KiB, at most 16 KiB")


@pytest.mark.parametrize(
    ("channel", "recipient", "field"),
    [("hooks", "", "recipient"), ("Not A Name", "ada", "channel"), ("hooks", "a\nb", "recipient")],
)
async def test_what_the_database_refuses_is_1_and_names_the_field(
    channel: str, recipient: str, field: str, dsn: str, connection: engine.Connection
) -> None:
    ended = await send(dsn, channel, recipient, "--payload", "{}")

    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"chimewayd: chimeway.deliveries.{field}: must ")
    assert ended.stderr.count("\n") == 1
    assert await inserted(connection) == 0


@pytest.mark.parametrize("tenant", [[], ["--tenant", "acme"]], ids=["no tenant", "a tenant"])
async def test_a_key_that_was_used_is_1_and_names_the_delivery_that_has_it(
    tenant: list[str], dsn: str, connection: engine.Connection
) -> None:
    arguments = ["hooks", "ada", "--payload", "{}", "--idempotency-key", "k-1", *tenant]
    first = await send(dsn, *arguments)

    second = await send(dsn, *arguments)

    assert (second.exit_code, second.stdout) == (1, "")
    assert second.stderr.startswith("chimewayd: idempotency_key: k-1")
    assert first.stdout.strip() in second.stderr
    assert await inserted(connection) == 1


@pytest.mark.parametrize(
    "option",
    [
        *("--at=tomorrow", "--at=2090-01-31T10:00", "--at=+15", "--expires-in=soon"),
        *("--priority=101", "--max-attempts=0", "--payload-file=/no/such/file"),
    ],
)
async def test_a_wrong_option_is_2_and_is_named(option: str, dsn: str) -> None:
    ended = await send(dsn, "hooks", "ada", "--payload", "{}", option)

    assert ended.exit_code == 2
    assert f"'{option.partition('=')[0]}'" in ended.stderr
