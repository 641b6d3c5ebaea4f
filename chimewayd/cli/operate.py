"""The operator's commands: each is one SQL function, with an actor who is named in the history."""
# ruff: noqa: PLC0415 - imports inside functions keep --help quick

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from chimewayd.cli import pause, selection
from chimewayd.cli.actor import Decorator, actor_option, reason_option
from chimewayd.cli.output import json_option
from chimewayd.cli.progress import progress
from chimewayd.cli.session import Sources, pass_sources, perform, source_options
from chimewayd.models import Status

if TYPE_CHECKING:
    import asyncpg

    from chimewayd.cli.apply import Order
    from chimewayd.cli.tally import Plan, Tally
    from chimewayd.db_commands import Selection

LARGE = 100
"""Filters that match more deliveries than this want a yes."""

WAITING = (Status.PENDING, Status.FAILED)
OPEN = (*WAITING, Status.DISPATCHED)
UNSENT = (Status.SUPPRESSED, Status.CANCELLED)

HELP = """{what}

Give an ID or several; or filters, and what passes all of them is meant. --dry-run tells what would
be touched. Filters that match more than {large} deliveries ask first, or want --yes. Many are done
in parts, each committed by itself: after a stop, the same command does the rest.

\b
Examples:
  chimewayd {name} {by_id}
  chimewayd {name} {by_filter}
"""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command on deliveries, and the states in which it may do anything."""

    name: str
    what: str
    by_id: str
    by_filter: str
    statuses: tuple[Status, ...]
    needs_reason: bool = False
    can_force: bool = False


VERBS = (
    Verb(
        "cancel",
        "Cancel deliveries. During a call, its outcome is recorded and no retry follows.",
        '"$id" --reason "order was withdrawn"',
        '--channel orders --since 2h --reason "wrong prices"',
        OPEN,
        needs_reason=True,
    ),
    Verb(
        "suppress",
        "End deliveries as suppressed by policy.",
        '"$id" --reason unsubscribed',
        "--recipient ada@example.org --reason unsubscribed --dry-run",
        OPEN,
        needs_reason=True,
    ),
    Verb(
        "replay",
        "Begin a new series of attempts of deliveries that ended.",
        '"$id" --force',
        "--channel orders --with-reason retries_exhausted --yes",
        UNSENT,
        can_force=True,
    ),
    Verb(
        "hold",
        "Keep waiting deliveries from being sent.",
        '"$id" --reason "ask legal"',
        '--tenant acme --reason "ask legal"',
        WAITING,
        needs_reason=True,
    ),
    Verb("release", "Let held deliveries be sent again.", '"$id"', "--tenant acme", WAITING),
)


def _command(verb: Verb) -> click.Command:
    @click.command(verb.name, help=_help(verb), short_help=verb.what)
    @click.argument("ids", metavar="[ID]...", nargs=-1, type=click.UUID)
    @(reason_option if verb.needs_reason else _no_option)
    @selection.filter_options
    @(_force_option if verb.can_force else _no_option)
    @click.option("--dry-run", is_flag=True, help="Tell what would be touched; change nothing.")
    @click.option("--yes", is_flag=True, help="Do not ask, however many match.")
    @actor_option
    @json_option
    @source_options
    @pass_sources
    def command(
        sources: Sources,
        /,
        *,
        ids: tuple[UUID, ...],
        dry_run: bool,
        yes: bool,
        as_json: bool,
        actor: str,
        reason: str | None = None,
        force: bool = False,
        **filters: Any,
    ) -> int:
        meant = selection.Filters(**filters)
        selection.check(ids, meant)
        order = _order(verb, actor, reason, force)
        if ids:
            return _on_ids(sources, order, ids, meant.tenant, dry_run=dry_run, as_json=as_json)
        return _on_filters(sources, order, meant, dry_run=dry_run, yes=yes, as_json=as_json)

    return command


def _no_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return command


_force_option: Decorator = click.option(
    "--force", is_flag=True, help="Send again what has succeeded, too."
)


def _help(verb: Verb) -> str:
    return HELP.format(
        what=verb.what, large=LARGE, name=verb.name, by_id=verb.by_id, by_filter=verb.by_filter
    )


def _order(verb: Verb, actor: str, reason: str | None, force: bool) -> "Order":
    from chimewayd.cli.apply import Order

    if verb.needs_reason:
        return Order(verb.name, (reason, actor), verb.statuses)
    if not verb.can_force:
        return Order(verb.name, (actor,), verb.statuses)
    statuses = (*verb.statuses, Status.SUCCEEDED) if force else verb.statuses
    hint = None if force else "--force sends again what has succeeded, too"
    return Order(verb.name, (actor, force), statuses, hint)


def _on_ids(
    sources: Sources,
    order: "Order",
    ids: tuple[UUID, ...],
    tenant: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    from chimewayd.cli import apply, tally

    distinct = tuple(dict.fromkeys(ids))
    if dry_run:
        plan = perform(lambda c: apply.look_up(c, order, distinct, tenant), sources)
        return tally.tell_plan(plan, as_json=as_json)
    done = tally.Tally()
    _run(lambda c: apply.apply_to_ids(c, order, distinct, tenant, done), sources, done)
    plan = tally.Plan(order.verb, {})
    return tally.tell_tally(done, plan, as_json=as_json, is_single=len(distinct) == 1)


def _on_filters(
    sources: Sources,
    order: "Order",
    filters: selection.Filters,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    from chimewayd.cli import apply, tally

    async def survey(connection: "asyncpg.Connection") -> "tuple[Plan, Selection]":
        return await apply.survey(connection, order, filters, wants_ids=dry_run)

    plan, selected = perform(survey, sources)
    if dry_run:
        return tally.tell_plan(plan, as_json=as_json)
    if plan.matched > LARGE and not yes:
        _confirm(plan)
    done = tally.Tally()
    if plan.matched:
        hidden = plan.matched <= apply.PAGE
        with progress(order.verb, plan.matched, hidden=hidden) as advance:
            _run(
                lambda c: apply.apply_to_selection(c, order, selected, done, advance),
                sources,
                done,
            )
    return tally.tell_tally(done, plan, as_json=as_json, is_single=False)


def _confirm(plan: "Plan") -> None:
    """Ask whoever sits at a terminal; anything else must have said --yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"{plan.matched} deliveries match, more than {LARGE}: look at them with --dry-run, "
            f"{plan.verb} them all with --yes"
        )
    if not click.confirm(f"{plan.verb} {plan.matched} deliveries?", err=True):
        raise click.ClickException("nothing was changed")


def _run(
    apply: Callable[["asyncpg.Connection"], Awaitable[None]], sources: Sources, done: "Tally"
) -> None:
    is_whole = False
    try:
        perform(apply, sources)
        is_whole = True
    finally:
        if done.matched and not is_whole:
            click.echo(
                f"chimewayd: stopped after {done.matched}; the same command does the rest", err=True
            )


commands = (*map(_command, VERBS), pause.pause, pause.resume)
