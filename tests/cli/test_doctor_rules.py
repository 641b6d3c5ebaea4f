"""What doctor makes of facts that no test can bring about in a minute."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from chimewayd.db_facts import Connections, Server, Snapshot, Table, Vacuum
from chimewayd.diagnosis import roles, rules
from chimewayd.diagnosis.finding import Finding

NOW = datetime(2030, 1, 31, tzinfo=UTC)
MIB = 2**20


OFF = Vacuum(runs=False, left_out=[], oldest_xid_age=1, freeze_max_age=200)
BEHIND = OFF._replace(runs=True, oldest_xid_age=401)


def server(version: int) -> Server:
    return Server(str(version), version, is_read_only=False, is_durable=True, now=NOW)


def held(minutes: int) -> Callable[[], Finding]:
    return lambda: rules.snapshot(Snapshot("session 7", timedelta(minutes=minutes)))


CASES: dict[str, tuple[Callable[[], Finding], str]] = {
    "clock ahead by 4 s": (lambda: rules.clock(timedelta(seconds=4)), "ok"),
    "clock ahead by 5 s": (lambda: rules.clock(timedelta(seconds=5)), "warning"),
    "clock behind by 2 min": (lambda: rules.clock(timedelta(minutes=-2)), "fault"),
    "no transaction": (lambda: rules.snapshot(None), "ok"),
    "transaction of 9 min": (held(9), "ok"),
    "transaction of 10 min": (held(10), "warning"),
    "transaction of an hour": (held(60), "fault"),
    "queue 9 %": (lambda: rules.notify_queue(0.09), "ok"),
    "queue 10 %": (lambda: rules.notify_queue(0.1), "warning"),
    "queue 50 %": (lambda: rules.notify_queue(0.5), "fault"),
    "room for 5": (lambda: rules.connections(Connections(97, 92, -1, 9, -1, 9)), "fault"),
    "room for 20": (lambda: rules.connections(Connections(97, 77, -1, 9, -1, 9)), "warning"),
    "room for 21": (lambda: rules.connections(Connections(97, 76, -1, 9, -1, 9)), "ok"),
    "role's room for 3": (lambda: rules.connections(Connections(97, 1, 10, 7, -1, 7)), "fault"),
    "autovacuum off": (lambda: rules.vacuum(OFF)[0], "fault"),
    "freezing behind": (lambda: rules.vacuum(BEHIND)[0], "fault"),
    "dead rows": (lambda: rules.bloat([Table("jobs", 10, 100_001, MIB)])[0], "warning"),
    "dead as many as live": (lambda: rules.bloat([Table("jobs", 200_000, 200_000, MIB)])[0], "ok"),
    "empty pages": (lambda: rules.bloat([Table("jobs", 1000, 0, 257 * MIB)])[0], "warning"),
    "role missing": (lambda: roles.roles(["chimeway_reader"]), "warning"),
    "no role missing": (lambda: roles.roles([]), "ok"),
    "Postgres 14": (lambda: rules.server(server(140009))[0], "fault"),
    "Postgres 15": (lambda: rules.server(server(150000))[0], "ok"),
}


@pytest.mark.parametrize("case", CASES)
def test_facts_are_judged_and_what_is_not_well_has_a_remedy(case: str) -> None:
    judge, level = CASES[case]

    finding = judge()

    assert finding.level == level
    assert (finding.remedy is None) == (level == "ok")
