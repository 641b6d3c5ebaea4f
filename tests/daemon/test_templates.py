"""Templates on their whole way: from the inserted row to the receiver and the timeline."""

import json
from pathlib import Path

import pytest
from engine import Connection, insert
from running import WEBHOOK, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio


async def test_rendered_payload_is_sent_and_a_broken_template_is_explained(
    dsn: str, connection: Connection, hooks: Receiver, tmp_path: Path
) -> None:
    for name, text in (("shipped", '{"text": "{{ order }} has shipped"}'), ("broken", "\n{{ x }}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "payload.json.j2").write_text(text)
    channel = WEBHOOK | {"templates": str(tmp_path)}

    async with running(dsn, {"hooks": channel}) as daemon:
        named = '{"template": "shipped", "data": {"order": "N\\"42"}, "own": 1}'
        await insert(connection, channel="hooks", recipient=hooks.url, payload=named)
        await insert(connection, channel="hooks", recipient=hooks.url, payload='{"plain": true}')
        broken = await insert(
            connection, channel="hooks", recipient=hooks.url, payload='{"template": "broken"}'
        )
        await daemon.said("attempt_recorded", 3)

    sent = [json.loads(request.body) for request in hooks.requests]
    assert {"text": 'N"42 has shipped', "own": 1} in sent
    assert {"plain": True} in sent
    assert len(sent) == 2
    told = await connection.fetch("select what, why from chimeway.explain($1)", broken)
    assert ("attempt 1: rejected (permanent)") in [row["what"] for row in told]
    why = " ".join(row["why"] or "" for row in told)
    assert "template broken/payload.json.j2, line 2: 'x' is undefined" in why
