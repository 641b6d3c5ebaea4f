"""Spans of attempts, as a collector receives them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web
from engine import Connection, insert
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from running import WAIT_SECONDS, WEBHOOK, running

from chimewayd.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "hunter2-in-the-url"


class Collector:
    """What arrived."""

    def __init__(self) -> None:
        self.address = ""
        self.spans: list[Span] = []
        self.services: list[Mapping[str, Any]] = []
        self._changed = anyio.Event()

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            self.services.append(fields(resource.resource.attributes))
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        return web.Response()

    async def until(self, count: int) -> list[Span]:
        with anyio.fail_after(WAIT_SECONDS):
            while len(self.spans) < count:
                await self._changed.wait()
        return self.spans


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    runner = web.ServerRunner(web.Server(collector.take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def fields(attributes: Any) -> dict[str, Any]:
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
        for one in attributes
    }


async def test_each_attempt_is_a_span_linked_to_the_trace_of_its_producer(
    dsn: str,
    connection: Connection,
    hooks: Receiver,
    all_ended: Callable[[], Awaitable[None]],
) -> None:
    hooks.script("/", 503, 200)
    metadata = json.dumps({"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"})
    async with collecting() as collector:
        endpoint = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        async with running(
            dsn, {"hooks": WEBHOOK}, endpoint, otel_traces="true", name="mail-1"
        ) as daemon:
            delivery_id = await insert(
                connection,
                channel="hooks",
                recipient=f"{hooks.url}/?token={SECRET}",
                payload=json.dumps({"card": SECRET}),
                metadata=metadata,
            )
            await all_ended()
            await daemon.stop()
        first, second = await collector.until(2)

    told = [fields(span.attributes) for span in (first, second)]
    assert [one["messaging.message.id"] for one in told] == [str(delivery_id)] * 2
    assert [one["chimewayd.attempt"] for one in told] == [1, 2]
    assert [one["chimewayd.outcome"] for one in told] == ["temporary", "succeeded"]
    assert [span.status.code for span in (first, second)] == [
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    ]
    for span in (first, second):
        [link] = span.links
        assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE_ID, SPAN_ID)
        assert span.start_time_unix_nano < span.end_time_unix_nano
        assert SECRET not in str(span)
    assert first.end_time_unix_nano < second.start_time_unix_nano
    assert collector.services[0]["service.instance.id"] == "mail-1"


async def test_collector_that_is_away_costs_no_delivery_and_does_not_keep_the_daemon(
    dsn: str, connection: Connection, all_ended: Callable[[], Awaitable[None]]
) -> None:
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    async with running(dsn, {"sink": {"adapter": "sink"}}, nobody, otel_traces="true") as daemon:
        await insert(connection, channel="sink")
        await all_ended()
        stopped = await daemon.stop()

    assert stopped.exit_code == 0


async def test_daemon_that_traces_nothing_loads_nothing(dsn: str) -> None:
    async with running(dsn, {"sink": {"adapter": "sink"}}) as daemon:
        maps = await anyio.Path(f"/proc/{daemon.process.pid}/maps").read_text()

    assert "opentelemetry" not in maps
    assert "google/_upb" not in maps
