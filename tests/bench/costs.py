"""`python -m bench.costs`: what logs, metrics and traces cost, in microseconds; half a minute.

The least of several rounds, on the CPU's own clock: what other processes do in between is no
cost of ours.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import structlog
from deliveries import deliveries
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from chimewayd import log
from chimewayd.attempt_line import attempt_lines
from chimewayd.counts import Counts
from chimewayd.log import Event
from chimewayd.models import Report, Succeeded, Temporary, Verdict
from chimewayd.tracing import Spans

ROUNDS = 15
ROUND_SECONDS = 0.1
BATCH = 500

Deed = Callable[[], object]


def main() -> None:
    """Measure and print a table."""
    with Path(os.devnull).open("wb") as nowhere:
        log.setup("info", "json", nowhere)
        click.echo("| what | µs |\n|---|---|")
        for name, (deed, per) in deeds().items():
            click.echo(f"| {name} | {least(deed) / per:.2f} |")


def deeds() -> dict[str, tuple[Deed, int]]:
    """Return what is measured, and for how many deliveries it stands."""
    reports, verdicts = batch(Succeeded(status_code=200), "succeeded")
    failures, failed = batch(Temporary(status_code=503, detail="HTTP 503"), "failed")
    counts, logger = Counts(), structlog.get_logger()
    traced, sampled_out = tracing(ALWAYS_ON), tracing(ALWAYS_OFF)

    def lines(calls: list[Report], ends: list[Verdict]) -> None:
        for (level, event), fields in attempt_lines(
            calls, ends, {calls[0].delivery.channel: 5}
        ).items():
            log.emit_many(level, event, fields)

    def count(calls: list[Report], ends: list[Verdict]) -> None:
        counts.claimed([call.delivery for call in calls], 0.01)
        counts.recorded(calls, ends, 0.01)
        counts.delivered(calls, ends, {7: 10.0}, 11.0)

    return {
        "line of a success, in a batch of 500": (lambda: lines(reports, verdicts), BATCH),
        "line of a failure, in a batch of 500": (lambda: lines(failures, failed), BATCH),
        "line of a success, alone": (lambda: lines(reports[:1], verdicts[:1]), 1),
        "any other event": (lambda: logger.info(Event.DAEMON_READY, channels=3, name="a"), 1),
        "any other event, below the level": (lambda: logger.debug(Event.DAEMON_READY), 1),
        "metrics of a delivery, in a batch of 500": (
            lambda: count(reports, verdicts),
            BATCH,
        ),
        "metrics of a delivery, alone": (
            lambda: count(reports[:1], verdicts[:1]),
            1,
        ),
        "span of a delivery, in a batch of 500": (lambda: traced(reports, verdicts), BATCH),
        "span that is not sampled": (lambda: sampled_out(reports, verdicts), BATCH),
    }


def tracing(sampler: Sampler) -> Callable[[list[Report], list[Verdict]], object]:
    """Return what makes spans of a batch and has them encoded, in the exporter's thread."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Encoded()))
    spans = Spans(provider.get_tracer("chimewayd"))

    def trace(calls: list[Report], ends: list[Verdict]) -> None:
        spans(calls, ends)
        provider.force_flush()  # else the queue fills, and what is dropped costs nothing

    return trace


class Encoded(SpanExporter):
    """A collector's requests without the collector."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def batch(outcome: Succeeded | Temporary, status: str) -> tuple[list[Report], list[Verdict]]:
    reports = [
        Report(one, outcome, 10.0, 10.0 + n / BATCH) for n, one in enumerate(deliveries(BATCH))
    ]
    return reports, [Verdict("applied", status)] * BATCH


def least(deed: Deed) -> float:
    """Return the microseconds of the quickest round's mean."""
    deed()
    begin, times = time.process_time(), 0
    while time.process_time() - begin < ROUND_SECONDS:
        deed()
        times += 1
    rounds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(times):
            deed()
        rounds.append((time.process_time() - begin) / times)
    return min(rounds) * 1e6


if __name__ == "__main__":
    main()
