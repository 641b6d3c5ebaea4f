"""One span an attempt, for OpenTelemetry: made when the attempt is recorded, a batch at a time.

    metadata.traceparent ◀── link ── span of the attempt ──▶ a thread ──▶ OTLP over HTTP

A link and not a parent: attempts come hours after the transaction that inserted, and there may be
many. Where spans go and how many are kept is said by the variables that OpenTelemetry defines
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, …).
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING

import anyio

from chimewayd import __version__
from chimewayd.config import Settings
from chimewayd.errors import ConfigError
from chimewayd.models import Report, Succeeded, Verdict, kind_of
from chimewayd.redaction import redact_text
from chimewayd.traceparent import parts, traceparent_of

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Tracer

NANOSECONDS = 1_000_000_000

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

LAST_SECONDS = 3.0
"""How long the last spans may take to leave; a collector that is away must not keep us."""

Trace = Callable[[Sequence[Report], Sequence[Verdict]], None]


def check(settings: Settings) -> None:
    """Make sure that what is to be traced can be, without importing it.

    Raises:
        ConfigError: the packages of the extra are not installed.
    """
    for package in PACKAGES if settings.otel_traces else ():
        try:
            is_there = find_spec(package) is not None
        except ModuleNotFoundError:  # nor what it is a part of
            is_there = False
        if not is_there:
            raise ConfigError(
                "otel_traces", f"{package} is not installed", "pip install 'chimewayd[otel]'"
            )


@asynccontextmanager
async def tracing(settings: Settings) -> AsyncIterator[Trace | None]:
    """Open the way to the collector; None: nothing is to be traced, and nothing was imported.

    Raises:
        ConfigError: the packages of the extra are not installed.
    """
    if not settings.otel_traces:
        yield None
        return
    check(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - a quarter of a second that only who wants it pays
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    service = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME", "chimewayd"),
        "service.version": __version__,
        "service.instance.id": settings.name,
    }
    provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Spans(provider.get_tracer("chimewayd", __version__))
    finally:
        # The thread is a daemon: what has not left by then is left behind.
        last = Thread(target=provider.shutdown, name="last_spans", daemon=True)
        last.start()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(last.join, LAST_SECONDS)


class Spans:
    """Makes the spans of a batch."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    def __call__(self, reports: Sequence[Report], verdicts: Sequence[Verdict]) -> None:
        # Attempts are timed on the monotonic clock.
        begin = time.time() - time.monotonic()
        for report, verdict in zip(reports, verdicts, strict=True):
            self._span(report, verdict, begin)

    def _span(self, report: Report, verdict: Verdict, begin: float) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - loaded by now

        delivery, outcome = report.delivery, report.outcome
        fields = {
            "messaging.system": "chimewayd",
            "messaging.operation.type": "process",
            "messaging.destination.name": delivery.channel,
            "messaging.message.id": str(delivery.delivery_id),
            "messaging.message.conversation_id": delivery.correlation_id,
            "chimewayd.attempt": delivery.attempt_number - delivery.attempts_before,
            "chimewayd.outcome": str(kind_of(outcome)),
            "chimewayd.status": verdict.status,
            "chimewayd.status_code": outcome.status_code,
            "chimewayd.tenant_id": delivery.tenant_id,
            "chimewayd.notification_key": delivery.notification_key,
        }
        span = self._tracer.start_span(
            f"attempt {delivery.channel}",
            kind=SpanKind.CONSUMER,
            attributes={name: value for name, value in fields.items() if value is not None},
            links=_links(delivery.metadata_json),
            start_time=int((begin + report.started) * NANOSECONDS),
        )
        if not isinstance(outcome, Succeeded):
            span.set_status(Status(StatusCode.ERROR, redact_text(outcome.detail or "")))
        span.end(int((begin + report.finished) * NANOSECONDS))


def _links(metadata_json: str) -> "list[Link]":
    from opentelemetry.trace import Link, SpanContext, TraceFlags  # noqa: PLC0415 - loaded by now

    traceparent = traceparent_of(metadata_json)
    if traceparent is None:
        return []
    trace_id, span_id, flags = (int(part, 16) for part in parts(traceparent))
    return [Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))]
