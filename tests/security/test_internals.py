"""Each function is tried by an attack, or is called by other functions and by no role."""

from pathlib import Path

import engine
import pytest
from attacked import CALLS

pytestmark = pytest.mark.anyio

FUNCTIONS = Path(__file__).parents[2] / "sql" / "functions"

INTERNALS = {
    "fired by triggers, where each insert, change and commit of a role reaches them": (
        "enqueue_jobs guard_channels guard_deletion guard_history guard_terminal ring_at_commit"
    ),
    "called by enqueue_jobs, as the owner": (
        "broken_rule fallback_chain is_bell_armed notify_daemons refuse_by_policy refuse_row ring "
        "time_ordered_id"
    ),
    "steps of claim and next_due": (
        "calls_free_at calls_wait_until claim_floors free_calls grant_slots is_probing "
        "arm_bell keep_claim_floors lock_claims owed_time spend_slots"
    ),
    "steps of record, rescue and release_unsent": (
        "backoff decide fall_back fallback_of judge_probes outcome_kinds record_late settle "
        "suppress_recipients"
    ),
    "steps of what operators do": (
        "end_by_operator end_waiting require_actor require_reason take_job"
    ),
    "steps of breakers and of expire, heartbeat and prune": (
        "breaker_wait follow_clock redact remove"
    ),
    "texts and figures of explain, stats and list_deliveries": (
        "describe_backoff explain_attempts explain_next id_at moment queue_stats span what_limits"
    ),
}
"""Why no role may call them."""

EXECUTABLE = """
select r.role, p.proname::text from pg_proc as p
cross join unnest(array['chimeway_producer', 'chimeway_daemon', 'chimeway_operator',
  'chimeway_reader']) as r (role)
where p.pronamespace = 'chimeway'::regnamespace and p.proname = any($1)
  and has_function_privilege(r.role, p.oid, 'execute')
"""


def internals() -> list[str]:
    return [name for names in INTERNALS.values() for name in names.split()]


def test_each_function_is_attacked_or_is_an_internal_with_its_reason() -> None:
    tried = "\n".join(CALLS)
    files = {file.stem for file in FUNCTIONS.glob("*.sql")}
    attacked = {name for name in files if f"chimeway.{name}(" in tried}

    assert files - attacked == set(internals())
    assert len(internals()) == len(set(internals()))


async def test_no_role_may_call_an_internal(connection: engine.Connection) -> None:
    known = await connection.fetchval(
        "select count(distinct proname) from pg_proc "
        "where pronamespace = 'chimeway'::regnamespace and proname = any($1)",
        internals(),
    )

    assert known == len(internals())
    assert await connection.fetch(EXECUTABLE, internals()) == []
