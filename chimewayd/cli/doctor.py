"""`chimewayd doctor`: what is wrong with a set-up, and what to do about it."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

from typing import TYPE_CHECKING

import click

from chimewayd.cli.output import (
    emit,
    emit_json,
    json_option,
    log_to_stderr,
    paint,
    printable,
)
from chimewayd.cli.session import Sources, pass_sources, perform, source_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from chimewayd.diagnosis import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "unknown": "yellow"}


@click.command("doctor")
@click.option(
    "--repair", is_flag=True, help="Queue deliveries that nothing would move on, and end."
)
@click.option(
    "--channels", is_flag=True, help="Reach for each channel's provider, too; nothing is sent."
)
@json_option
@source_options
@pass_sources
def command(sources: Sources, /, *, repair: bool, channels: bool, as_json: bool) -> int:
    """Find out what is wrong with this set-up, and say what to do about it.

    Examines the settings, the adapters, the connection, the role's rights, the schema and its
    triggers, whether notifications arrive, both clocks, and how the server fares. It changes
    nothing; --repair puts back what somebody took from the queue. Run it with the daemon's own
    settings and as its user. Exit status 1: there is a fault.

    \b
    Examples:
      chimewayd --config /etc/chimewayd/config.toml doctor
      chimewayd doctor --json | jq -r '.findings[] | select(.level == "fault") | .remedy'
      chimewayd doctor --channels
      chimewayd doctor --repair
    """
    import anyio

    if repair:
        repaired = perform(_repair, sources)
        if as_json:
            emit_json({"repaired": dict(repaired)})
        else:
            emit("\n".join(f"{key}  {how}" for key, how in repaired) or "nothing to repair")
        return 0
    log_to_stderr()
    findings = anyio.run(_examine, sources, channels, as_json)
    levels = [str(finding.level) for finding in findings]
    if as_json:
        emit_json({"healthy": "fault" not in levels, "findings": [_document(f) for f in findings]})
    else:
        counts = ", ".join(f"{levels.count(level)} {level}" for level in _COLOURS)
        emit(f"\n{counts}")
    return int("fault" in levels)


async def _examine(sources: Sources, channels: bool, as_json: bool) -> "list[Finding]":
    findings = []
    async for finding in _findings(sources, channels):
        findings.append(finding)
        if not as_json:
            emit(picture(finding))
    return findings


async def _findings(sources: Sources, channels: bool) -> "AsyncIterator[Finding]":
    from chimewayd import diagnosis
    from chimewayd.errors import ConfigError, ConfigErrors

    try:
        settings = sources.load()
    except (ConfigError, ConfigErrors) as error:
        for one in error.errors:
            yield diagnosis.fault(
                "settings", str(one), "correct the setting: nothing starts with it"
            )
        return
    yield diagnosis.ok("settings", "are right")
    async for finding in diagnosis.examine(settings, with_providers=channels):
        yield finding


async def _repair(connection: "asyncpg.Connection") -> list[tuple[str, str]]:
    from chimewayd import db_facts
    from chimewayd.diagnosis import STRANDED_LIMIT
    from chimewayd.session import allow_long_statements

    await allow_long_statements(connection)
    repaired: dict[str, str] = {}
    while True:
        found = await db_facts.stranded(connection, STRANDED_LIMIT)
        new = [each.delivery_id for each in found if str(each.delivery_id) not in repaired]
        if not new:
            return list(repaired.items())
        for delivery_id in new:
            done = await db_facts.repair(connection, delivery_id)
            repaired[str(delivery_id)] = done or "was right again by itself"


def picture(finding: "Finding") -> str:
    """Write one finding for people: what, and below it what to do."""
    level = paint(f"{finding.level:<7}", _COLOURS[finding.level])
    what = printable(finding.what)
    remedy = f"\n{'':24}→ {printable(finding.remedy)}" if finding.remedy else ""
    return f"{level}  {finding.check:<15}{what}{remedy}"


def _document(finding: "Finding") -> dict[str, str | None]:
    return {
        "check": finding.check,
        "level": finding.level,
        "what": finding.what,
        "remedy": finding.remedy,
    }
