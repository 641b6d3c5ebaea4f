"""The installed command hands what any program inserts to a mail relay."""

import pytest
from engine import Connection, attempts_of, check_invariants, look
from relay import Verb, relay
from running import running

pytestmark = pytest.mark.anyio


async def test_plain_insert_becomes_one_mail(dsn: str, connection: Connection) -> None:
    async with relay() as smarthost:
        # The first is greylisted, which is an attempt and no end.
        smarthost.script(Verb.RCPT, "450 4.2.0 greylisted")
        settings = {
            "host": "127.0.0.1",
            "port": smarthost.port,
            "tls": "none",
            "from": "shop@example.org",
            "inline_css": True,
        }
        retry = {"base": "10ms"}
        channels = {"mail": {"adapter": "smtp", "settings": settings, "retry": retry}}
        async with running(dsn, channels) as daemon:
            delivery_id = await connection.fetchval(
                "insert into chimeway.deliveries (channel, recipient, payload)"
                " values ('mail', 'ada@example.org', $1) returning id",
                '{"subject": "Grüße", "html": "<style>p { margin: 0 }</style><p>Hällo</p>"}',
            )
            await daemon.said("attempt_recorded")
            smarthost.script(Verb.RCPT)
            await daemon.said("attempt_recorded", status="succeeded")

    (mail,) = smarthost.mails
    assert mail.message["Message-ID"] == f"<{delivery_id}@example.org>"
    assert mail.message["Subject"] == "Grüße"
    assert '<p style="margin: 0;">Hällo</p>' in mail.message.get_content()
    row = await look(connection, delivery_id)
    attempts = await attempts_of(connection, delivery_id)
    assert row["status"] == "succeeded"
    assert row["provider_message_id"] == "00000001"
    codes = [attempt["status_code"] for attempt in attempts]
    assert codes[0] == 450
    assert codes[-1] == 250
    await check_invariants(connection)
