"""Decides what facts mean: what is well, what is not, and what to do about it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from chimewayd import __version__
from chimewayd.db_facts import Connections, Server, Snapshot, Stranded, Table, Vacuum
from chimewayd.diagnosis.finding import Finding, fault, ok, some, warning
from chimewayd.durations import render

OLDEST_SERVER = 150_000
SESSIONS = 7
"""What one daemon process opens at most: two each that claim and record, upkeep, the listener, and
with http_listen one that looks."""

AMPLE_SESSIONS = 3 * SESSIONS
CLOCK_WARNING = timedelta(seconds=5)
CLOCK_FAULT = timedelta(minutes=2)
"""Receivers of signed webhooks refuse what is five minutes off."""

SNAPSHOT_WARNING = timedelta(minutes=10)
SNAPSHOT_FAULT = timedelta(hours=1)
QUEUE_WARNING, QUEUE_FAULT = 0.1, 0.5
DEAD_ROWS = 100_000
BLOATED_BYTES = 256 * 2**20
BYTES_A_JOB = 4096
"""A job and its index entry take some 150."""

INSTALL_AGAIN = (
    "delete from chimeway.schema_migrations where name = 'functions', then chimewayd migrate"
)
SECOND = timedelta(seconds=1)


def server(facts: Server) -> list[Finding]:
    """Judge the server itself."""
    findings = []
    if facts.version_number < OLDEST_SERVER:
        findings.append(
            fault("server", f"PostgreSQL {facts.version} is too old", "upgrade it to 15 or newer")
        )
    if facts.is_read_only:
        findings.append(
            fault(
                "server",
                "it takes no writes: a standby, or default_transaction_read_only is on",
                "name all hosts in the DSN and add target_session_attrs=read-write",
            )
        )
    if not facts.is_durable:
        findings.append(
            warning(
                "server",
                "fsync is off: a crash of the machine loses deliveries that were committed",
                "set fsync = on, unless this database may be lost",
            )
        )
    return findings or [ok("server", f"PostgreSQL {facts.version}, takes writes")]


def clock(skew: timedelta) -> Finding:
    """Judge how far the database's clock is from ours: positive is ahead."""
    side = "behind" if skew < timedelta() else "ahead of"
    apart = f"the database's clock is {render(abs(skew))} {side} ours"
    remedy = "let both machines take their time from the same source (chrony, systemd-timesyncd)"
    if abs(skew) >= CLOCK_FAULT:
        return fault("clock", f"{apart}: receivers will refuse signed webhooks", remedy)
    if abs(skew) >= CLOCK_WARNING:
        return warning("clock", apart, remedy)
    return ok("clock", f"{render(abs(skew))} apart")


def triggers(
    expected: Sequence[tuple[str, str]], found: Mapping[tuple[str, str], bool]
) -> list[Finding]:
    """Judge whether inserts reach the queue and history is guarded."""
    findings = []
    for table, name in expected:
        what = f"trigger {name} on chimeway.{table}"
        after = (
            "; then chimewayd doctor --repair, for what was inserted meanwhile"
            if table == "deliveries"
            else ""
        )
        if (table, name) not in found:
            findings.append(
                fault(
                    "triggers",
                    f"{what} is missing",
                    f"{INSTALL_AGAIN}{after}",
                )
            )
        elif not found[table, name]:
            findings.append(
                fault(
                    "triggers",
                    f"{what} is disabled",
                    f"alter table chimeway.{table} enable trigger {name}{after}",
                )
            )
    return findings or [ok("triggers", f"all {len(expected)} are there and enabled")]


def connections(facts: Connections) -> Finding:
    """Judge whether there is room for a daemon's sessions, and more."""
    rooms = {
        "the server (max_connections)": facts.server_limit - facts.server_used,
        "the role (alter role … connection limit)": _room(facts.role_limit, facts.role_used),
        "the database (alter database … connection limit)": _room(
            facts.database_limit, facts.database_used
        ),
    }
    where, room = min(
        ((where, room) for where, room in rooms.items() if room is not None),
        key=lambda pair: pair[1],
    )
    remedy = f"raise the limit of {where}, or find who holds so many in pg_stat_activity"
    if room < SESSIONS:
        return fault(
            "connections", f"room for {max(room, 0)} more, a daemon opens {SESSIONS}", remedy
        )
    if room < AMPLE_SESSIONS:
        return warning("connections", f"room for {room} more only", remedy)
    return ok("connections", f"room for {room} more; a daemon opens {SESSIONS}")


def vacuum(facts: Vacuum) -> list[Finding]:
    """Judge whether dead rows are removed."""
    findings = []
    if not facts.runs:
        findings.append(
            fault(
                "vacuum",
                "autovacuum is off: the queue slows down with every delivery",
                "set autovacuum = on and track_counts = on, and reload the server",
            )
        )
    findings += [
        fault(
            "vacuum",
            f"autovacuum leaves out chimeway.{name}",
            f"alter table chimeway.{name} reset (autovacuum_enabled)",
        )
        for name in facts.left_out
    ]
    if (facts.oldest_xid_age or 0) > 2 * facts.freeze_max_age:
        findings.append(
            fault(
                "vacuum",
                f"freezing does not keep up: {facts.oldest_xid_age} transaction ids behind",
                "end what holds snapshots, then vacuum (freeze) the tables of chimeway",
            )
        )
    return findings or [ok("vacuum", "autovacuum looks after all tables")]


def bloat(tables: Sequence[Table]) -> list[Finding]:
    """Judge how much room dead rows take."""
    findings = [
        warning(
            "bloat",
            f"chimeway.{table.name} has {table.dead_rows} dead rows beside {table.live_rows} live",
            f"end what holds old snapshots, then: vacuum chimeway.{table.name}",
        )
        for table in tables
        if table.dead_rows > max(DEAD_ROWS, table.live_rows)
    ]
    findings += [
        warning(
            "bloat",
            f"chimeway.jobs takes {table.size_bytes // 2**20} MiB for {table.live_rows} jobs",
            "in a quiet moment: vacuum full chimeway.jobs (it locks the queue while it runs)",
        )
        for table in tables
        if table.name == "jobs"
        and table.size_bytes > max(BLOATED_BYTES, BYTES_A_JOB * table.live_rows)
    ]
    return findings or [ok("bloat", "few dead rows")]


def snapshot(oldest: Snapshot | None) -> Finding:
    """Judge what keeps dead rows from being removed."""
    if oldest is None:
        return ok("transactions", "none is open")
    said = f"{oldest.holder} has a transaction open for {render(oldest.age // SECOND * SECOND)}"
    remedy = (
        "nothing dead can be removed meanwhile: end it (pg_terminate_backend, rollback prepared), "
        "and set idle_in_transaction_session_timeout"
    )
    if oldest.age >= SNAPSHOT_FAULT:
        return fault("transactions", said, remedy)
    if oldest.age >= SNAPSHOT_WARNING:
        return warning("transactions", said, remedy)
    return ok("transactions", "none is old")


def notify_queue(share: float) -> Finding:
    """Judge how full the server's queue of notifications is."""
    said = f"{share:.0%} of the server's notification queue is used"
    remedy = (
        "a session that LISTENs sits in an old transaction (pg_stat_activity): end it; when the "
        "queue is full, every commit that notifies fails"
    )
    if share >= QUEUE_FAULT:
        return fault("notify queue", said, remedy)
    if share >= QUEUE_WARNING:
        return warning("notify queue", said, remedy)
    return ok("notify queue", said)


def stranded(found: Sequence[Stranded], limit: int) -> Finding:
    """Judge whether each delivery has what moves it on."""
    if not found:
        return ok("invariant", "every delivery that is not terminal has one job or one claim")
    count = f"{limit} or more deliveries are" if len(found) == limit else f"{len(found)} wrong:"
    shown = some([f"{each.delivery_id}: {each.problem}" for each in found])
    return fault(
        "invariant",
        f"{count} {shown}",
        "chimewayd doctor --repair queues them or has their call recorded as lost; no function "
        "leaves this behind: find out who wrote to the tables",
    )


def daemons(found: Sequence[tuple[str, str]]) -> list[Finding]:
    """Judge who is at work."""
    if not found:
        return [
            warning(
                "daemons",
                "none was heard within half a minute",
                "start one: chimewayd run, or systemctl start chimewayd",
            )
        ]
    others = [f"{name} ({version})" for name, version in found if version != __version__]
    if others:
        return [
            warning(
                "daemons",
                f"not of this version, {__version__}: {some(others)}",
                "restart them after an upgrade, all of them",
            )
        ]
    return [ok("daemons", some([name for name, _ in found]))]


def _room(limit: int, used: int) -> int | None:
    return None if limit < 0 else limit - used
