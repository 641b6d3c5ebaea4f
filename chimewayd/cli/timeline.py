"""Draws the timeline of a delivery for a terminal.

    delivery 0199…   inserted 2026-01-31 09:00:00.000 UTC

        0 ms  inserted                       inserted for channel hooks
        4 ms  attempt   █             12 ms  attempt 1: failed (temporary)   HTTP 503
       16 ms  decided   ░░░░░░░░░░   200 ms  due again in 200 ms             failure 1 of at …
              next                           attempt 2, as soon as …         it is due

Bars share one scale: full blocks are calls, shaded ones are waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from textwrap import wrap
from typing import Any

from chimewayd.cli.output import paint, printable

BAR_CELLS = 10
LEAST_WHY_CELLS = 40
WIDEST = 160

_EIGHTHS = " ▏▎▍▌▋▊▉"
_CALL, _WAIT = "█", "░"
_COLOURS = {
    "succeeded": "green",
    "failed": "yellow",
    "rejected": "red",
    "bounced": "red",
    "lost": "red",
    "cancelled": "red",
    "suppressed": "red",
}
_STEPS = (
    ("ms", timedelta(seconds=1), timedelta(milliseconds=1)),
    ("s", timedelta(minutes=2), timedelta(seconds=1)),
    ("min", timedelta(hours=2), timedelta(minutes=1)),
    ("h", timedelta(days=2), timedelta(hours=1)),
    ("days", timedelta.max, timedelta(days=1)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One row of chimeway.explain, its facts decoded."""

    happened_at: datetime | None
    event: str
    what: str
    why: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """How long a step took: a call, or a wait."""

    length: timedelta
    is_wait: bool


def draw(delivery_id: str, steps: Sequence[Step], width: int) -> str:
    """Return the picture of a timeline whose last step is what comes next."""
    spans = [_span(steps, place) for place in range(len(steps))]
    longest = max((span.length for span in spans if span), default=timedelta())
    begin = steps[0].happened_at
    whats = [printable(step.what) for step in steps]
    columns = [
        [_since(step, begin) for step in steps],
        [step.event for step in steps],
        [_bar(span, longest) for span in spans],
        [brief(span.length) if span else "" for span in spans],
    ]
    left = _aligned(columns, right={0, 3})
    indent = len(left[0])
    what_cells = max(map(len, whats))
    why_cells = min(width, WIDEST) - indent - what_cells - 2
    lines = [f"delivery {paint(delivery_id, bold=True)}   inserted {moment(begin)}", ""]
    for step, start, what in zip(steps, left, whats, strict=True):
        why = _why(step)
        if why_cells >= LEAST_WHY_CELLS:
            first, *more = wrap(why, why_cells) or [""]
            lines.append(
                f"{start}{_coloured(step, what.ljust(what_cells))}  {paint(first, dim=True)}"
            )
            lines += [" " * (indent + what_cells + 2) + paint(line, dim=True) for line in more]
        else:
            lines.append(f"{start}{_coloured(step, what)}")
            below = wrap(why, max(width - indent - 2, LEAST_WHY_CELLS))
            lines += [" " * (indent + 2) + paint(line, dim=True) for line in below]
    return "\n".join(line.rstrip() for line in lines)


def brief(length: timedelta) -> str:
    """Write a length of time as chimeway.span does: 250 ms, 30 s, 4.3 min."""
    unit, size = next((unit, size) for unit, limit, size in _STEPS if length < limit)
    digits = 0 if unit == "ms" and length >= timedelta(milliseconds=10) else 1
    return f"{round(length / size, digits):g} {unit}"


def moment(at: datetime | None) -> str:
    """Write a moment in UTC, to the millisecond."""
    if at is None:
        return ""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC"


def _span(steps: Sequence[Step], place: int) -> Span | None:
    step = steps[place]
    if "duration_ms" in step.facts:
        return Span(timedelta(milliseconds=float(step.facts["duration_ms"])), is_wait=False)
    name = {"inserted": "scheduled_at", "decided": "next_attempt_at"}.get(step.event)
    if name is None or step.happened_at is None or name not in step.facts:
        return None
    end = datetime.fromisoformat(step.facts[name])
    after = steps[place + 1]
    if after.event != "next" and after.happened_at is not None:
        # What really passed: an operator may have ended the wait.
        end = min(end, after.happened_at)
    length = end - step.happened_at
    return Span(length, is_wait=True) if length > timedelta() else None


def _bar(span: Span | None, longest: timedelta) -> str:
    if span is None or not longest:
        return ""
    eighths = max(round(span.length / longest * BAR_CELLS * 8), 1)
    if span.is_wait:
        return _WAIT * max(round(eighths / 8), 1)
    return _CALL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _since(step: Step, begin: datetime | None) -> str:
    if step.event == "next" or step.happened_at is None or begin is None:
        return ""
    length = step.happened_at - begin
    return f"-{brief(-length)}" if length < timedelta() else brief(length)


def _why(step: Step) -> str:
    expected = f" ({moment(step.happened_at)})" if step.event == "next" and step.happened_at else ""
    return f"{printable(step.why or '')}{expected}"


def _aligned(columns: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    widths = [max(map(len, column)) for column in columns]
    return [
        "".join(
            (cell.rjust(width) if at in right else cell.ljust(width)) + "  "
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in zip(*columns, strict=True)
    ]


def _coloured(step: Step, text: str) -> str:
    if step.event == "next":
        return paint(text, bold=True)
    word = step.facts.get("outcome") or step.what.partition(":")[0]
    return paint(text, _COLOURS.get(word))
