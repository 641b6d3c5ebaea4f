"""What a verb came to: counted, and told to people or programs, with its exit status."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import click

from chimewayd.cli.output import emit, emit_json, printable

LINES = 20
"""More deliveries than that are told as a sum."""

IDS_IN_DOCUMENT = 100

REFUSED = 1
NOTHING_MATCHED = 3


class Kind(StrEnum):
    """How one delivery took it."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Reply(NamedTuple):
    """What came of one delivery."""

    delivery_id: UUID
    kind: Kind
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a verb would be applied to, as the database was a moment ago."""

    verb: str
    counts: Mapping[str, int]
    """By status."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """By status: what matches, but is in a state in which the verb does nothing."""
    hint: str | None = None
    """How to have it done to those as well."""
    ids: Sequence[UUID] = ()
    """The first of them, where they were asked for."""
    unknown: Sequence[Reply] = ()

    @property
    def matched(self) -> int:
        """How many deliveries."""
        return sum(self.counts.values())


@dataclass(slots=True)
class Tally:
    """The replies so far: all are counted, only the first are kept."""

    counts: Counter[Kind] = field(default_factory=Counter)
    first: list[Reply] = field(default_factory=list)
    troubles: list[Reply] = field(default_factory=list)

    def add(self, replies: Iterable[Reply]) -> None:
        """Count some more."""
        for reply in replies:
            self.counts[reply.kind] += 1
            if reply.kind is not Kind.UNKNOWN and len(self.first) < IDS_IN_DOCUMENT:
                self.first.append(reply)
            if reply.kind in (Kind.REFUSED, Kind.UNKNOWN) and len(self.troubles) < LINES:
                self.troubles.append(reply)

    @property
    def matched(self) -> int:
        """How many deliveries there were to apply it to."""
        return self.counts.total() - self.counts[Kind.UNKNOWN]


def tell_plan(plan: Plan, *, as_json: bool) -> int:
    """Print what would be done; return the exit status."""
    if as_json:
        emit_json(_document(Tally(), plan, plan.ids, matched=plan.matched, is_dry_run=True))
    elif plan.matched:
        more = plan.matched - len(plan.ids[:LINES])
        emit(
            "\n".join(
                [
                    f"would {plan.verb} {plan.matched}: {_by_status(plan.counts)}",
                    *map(str, plan.ids[:LINES]),
                    *([f"… and {more} more"] if more else []),
                ]
            )
        )
    return _warn(plan, plan.matched, plan.unknown, len(plan.unknown))


def tell_tally(tally: Tally, plan: Plan, *, as_json: bool, is_single: bool) -> int:
    """Print what was done; return the exit status."""
    if as_json:
        ids = [reply.delivery_id for reply in tally.first]
        emit_json(_document(tally, plan, ids, matched=tally.matched, is_dry_run=False))
    elif tally.matched > LINES:
        counts = (f"{tally.counts[kind]} {kind}" for kind in Kind if kind is not Kind.UNKNOWN)
        emit(f"{plan.verb}: {tally.matched} matched, {', '.join(counts)}")
    else:
        for reply in tally.first:
            if reply.kind is not Kind.REFUSED:
                emit(reply.message if is_single else f"{reply.delivery_id}  {reply.message}")
    troubles = tally.counts[Kind.REFUSED] + tally.counts[Kind.UNKNOWN]
    return _warn(plan, tally.matched, tally.troubles, troubles)


def _document(
    tally: Tally, plan: Plan, ids: Sequence[UUID], *, matched: int, is_dry_run: bool
) -> dict[str, object]:
    document = {
        "matched": matched,
        "changed": tally.counts[Kind.CHANGED],
        "unchanged": tally.counts[Kind.UNCHANGED],
        "refused": tally.counts[Kind.REFUSED],
        "skipped": sum(plan.skipped.values()),
        "dry_run": is_dry_run,
        "ids": [str(delivery_id) for delivery_id in ids[:IDS_IN_DOCUMENT]],
    }
    return document | ({"by_status": plan.counts} if is_dry_run else {})


def _warn(plan: Plan, matched: int, troubles: Sequence[Reply], trouble_count: int) -> int:
    """Say on stderr what was not done; return the exit status."""
    nothing = "" if matched else "nothing matched: "
    lines = [f"chimewayd: {nothing}{printable(reply.message)}" for reply in troubles]
    if trouble_count > len(troubles):
        lines.append(f"chimewayd: … and {trouble_count - len(troubles)} more")
    if plan.skipped:
        lines.append(
            f"chimewayd: {nothing}left out what cannot be {_PAST[plan.verb]}: "
            f"{_by_status(plan.skipped)}"
        )
    if not matched and not lines:
        lines.append("chimewayd: nothing matched")
    hints = {reply.hint: None for reply in troubles if reply.hint}
    if plan.skipped and plan.hint:
        hints[plan.hint] = None
    for line in [*lines, *(f"hint: {hint}" for hint in hints)]:
        click.echo(line, err=True)
    if not matched:
        return NOTHING_MATCHED
    return REFUSED if troubles else 0


_PAST = {
    "cancel": "cancelled",
    "suppress": "suppressed",
    "replay": "replayed",
    "hold": "held",
    "release": "released",
}


def _by_status(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{status} {count}" for status, count in sorted(counts.items()))
