"""`chimewayd send`: insert one delivery, as any program may with SQL."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

import click

from chimewayd.cli import document
from chimewayd.cli.output import emit, emit_json, json_option
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.db_commands import NewDelivery


def _length(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    from chimewayd import durations

    try:
        return None if text is None else durations.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _moment(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | timedelta | None:
    if text is None or text.startswith("+"):
        return _length(context, parameter, text and text[1:])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("must be a time as in 2030-01-31T09:00Z, or as in +15m") from None
    if moment.tzinfo is None:
        raise click.BadParameter("must say its offset from UTC: end it with Z or +02:00")
    return moment


@click.command("send")
@click.argument("channel")
@click.argument("recipient")
@click.argument("stdin", type=click.Choice(["-"]), metavar="[-]", required=False)
@click.option("--payload", metavar="JSON", help="The message, as the channel's adapter wants it.")
@click.option(
    "--payload-file", type=click.File("rb"), help="Read the message from a file; - is stdin."
)
@click.option("--idempotency-key", metavar="KEY", help="A second delivery with it is refused.")
@click.option("--tenant", metavar="ID", help="On whose behalf; keys are unique within a tenant.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="Smaller is sooner.")
@click.option(
    "--at",
    metavar="TIME",
    callback=_moment,
    help="Not before: 2030-01-31T09:00Z, or +15m from now.",
)
@click.option(
    "--expires-in",
    metavar="DURATION",
    callback=_length,
    help="Give it up this long after it was due.",
)
@click.option("--max-attempts", type=click.IntRange(1, 100), help="Instead of the channel's limit.")
@click.option(
    "--metadata", metavar="JSON", help="An object of your own; fallback and traceparent are read."
)
@click.option("--correlation-id", metavar="ID", help="Repeated in each log line.")
@click.option("--notification-key", metavar="KEY", help="Kind of notification: order.shipped.")
@json_option
@source_options
@pass_sources
def command(sources: Sources, /, *, as_json: bool, **given: Any) -> None:
    """Insert one delivery and print its id.

    CHANNEL is a configured channel; one that nobody serves is accepted and waits. RECIPIENT is
    where to, in the channel's own terms: a URL, a mail address. The message is JSON of at most
    256 KiB: give --payload, --payload-file, or - to read it from stdin.

    \b
    Examples:
      chimewayd send hooks https://example.org/hook --payload '{"order": 42}'
      chimewayd send hooks https://example.org/hook --at +15m --expires-in 1h --payload '{}'
      jq -c .order order.json | chimewayd send hooks https://example.org/hook -

    \b
    The same in SQL, in your own transaction:
      insert into chimeway.deliveries (channel, recipient, payload)
      values ('hooks', 'https://example.org/hook', '{"order": 42}');
    """
    delivery = _check(given)

    async def insert(connection: "asyncpg.Connection") -> UUID:
        return await _insert(connection, delivery)

    delivery_id = perform(insert, sources)
    if as_json:
        emit_json({"id": str(delivery_id)})
    else:
        emit(str(delivery_id))


def _check(given: Mapping[str, Any]) -> "NewDelivery":
    """Refuse here what the database would refuse less clearly."""
    from chimewayd.db_commands import NewDelivery

    at = given["at"]
    metadata = (given["metadata"] or "{}").encode(errors="surrogateescape")
    return NewDelivery(
        channel=_text("channel", given["channel"]),
        recipient=_text("recipient", given["recipient"]),
        payload_json=_payload(given["payload"], given["payload_file"], given["stdin"]),
        metadata_json=document.check("metadata", metadata, document.METADATA_LIMIT_BYTES),
        idempotency_key=_optional("idempotency_key", given["idempotency_key"]),
        tenant_id=_optional("tenant_id", given["tenant"]),
        notification_key=_optional("notification_key", given["notification_key"]),
        correlation_id=_optional("correlation_id", given["correlation_id"]),
        priority=given["priority"],
        max_attempts=given["max_attempts"],
        scheduled_at=at if isinstance(at, datetime) else None,
        scheduled_in=at if isinstance(at, timedelta) else None,
        expires_in=given["expires_in"],
    )


def _payload(text: str | None, file: IO[bytes] | None, stdin: str | None) -> str:
    if sum(source is not None for source in (text, file, stdin)) != 1:
        raise click.UsageError(
            "payload: give it once: --payload JSON, --payload-file FILE, or - for stdin"
        )
    source = sys.stdin.buffer if stdin else file
    limit = document.PAYLOAD_LIMIT_BYTES
    if source is None:
        data = (text or "").encode(errors="surrogateescape")
    else:
        data = document.read("payload", source, limit)
    return document.check("payload", data, limit)


def _optional(field: str, text: str | None) -> str | None:
    return None if text is None else _text(field, text)


def _text(field: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"{field}: is not UTF-8 text") from None
    return text


async def _insert(connection: "asyncpg.Connection", delivery: "NewDelivery") -> UUID:
    import asyncpg

    from chimewayd import db_commands
    from chimewayd.errors import ChimewaydError

    try:
        return await db_commands.send(connection, delivery)
    except asyncpg.UniqueViolationError as error:
        existing = await db_commands.find_by_idempotency_key(
            connection, delivery.tenant_id, delivery.idempotency_key
        )
        if existing is None:
            raise
        owner = f" of tenant {delivery.tenant_id}" if delivery.tenant_id else ""
        raise ChimewaydError(
            f"idempotency_key: {delivery.idempotency_key}{owner} was used before, "
            f"for delivery {existing}; nothing was inserted"
        ) from error
