"""The full matrix of state and function, written out by hand beside CONTRACT sections 4 and 5.

Each function lists its results and the states that lead to them; OTHERS are all states not listed.
"""

from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import databases
import pytest
import transitions
from engine import Connection, configure, ended
from trials import STATES

PENDING = ("pending", "pending, due later", "pending, held")
FLYING = ("dispatched", "dispatched, cancel requested")
FAILED = ("failed", "failed, due later", "failed, held")
TERMINAL = ("succeeded", "suppressed", "cancelled")
OTHERS = "all states not listed"

# In these states no call ever ended: the suppressed one was suppressed while it waited.
NEVER_CALLED = (*PENDING, "suppressed")
ENDED_CALL = (*FAILED, "succeeded", "cancelled")

Results: TypeAlias = dict[str, tuple[str, ...]]
"""The states that lead to a result, by result."""

UNCHANGED: Results = {"unchanged": (OTHERS,)}
REPEATED: Results = {"unchanged: already_applied": ENDED_CALL, "unchanged: stale": NEVER_CALLED}
RETRIED: Results = REPEATED | {
    "failed, due later": ("dispatched",),
    "cancelled: no longer wanted": ("dispatched, cancel requested",),
}
EXHAUSTED: Results = REPEATED | {
    "cancelled: retries_exhausted": ("dispatched",),
    "cancelled: no longer wanted": ("dispatched, cancel requested",),
}
IN_DOUBT: Results = REPEATED | {"cancelled: outcome_unknown": FLYING}
ALREADY: Results = {f"unchanged: already {state}: nothing changed": (state,) for state in TERMINAL}

EXPECTED: dict[str, Results] = {
    "claim": {"dispatched": ("pending", "failed")} | UNCHANGED,
    "claim, channel paused": UNCHANGED,
    "claim, after expires_at": {
        "cancelled: expired": ("pending", "pending, due later", "failed", "failed, due later")
    }
    | UNCHANGED,
    "claim, recipient suppressed": {"suppressed: recipient_suppressed": ("pending", "failed")}
    | UNCHANGED,
    "claim, channel disabled": {"suppressed: channel_disabled": ("pending", "failed")} | UNCHANGED,
    "record succeeded": REPEATED | {"succeeded": FLYING},
    "record temporary": RETRIED,
    "record throttled": RETRIED,
    "record permanent": REPEATED | {"cancelled: permanent_failure": FLYING},
    "record bounced": REPEATED | {"cancelled: bounced": FLYING},
    "record temporary, last attempt": EXHAUSTED,
    "record temporary, retry beyond max_age": EXHAUSTED,
    "record uncertain, on_uncertain retry": RETRIED,
    "record uncertain, on_uncertain hold": IN_DOUBT,
    "record timeout_after_send, on_uncertain retry": RETRIED,
    "record timeout_after_send, on_uncertain hold": IN_DOUBT,
    # Nothing had been sent: there is no doubt.
    "record timeout, on_uncertain hold": RETRIED,
    "record unclassified": RETRIED,
    "record unclassified, last attempt": EXHAUSTED,
    "record succeeded, stale token": {"unchanged: stale": STATES},
    "release_unsent": {
        "pending": ("dispatched",),
        "cancelled: no longer wanted": ("dispatched, cancel requested",),
    }
    | UNCHANGED,
    "release_unsent, with a wait": {
        "pending, due later": ("dispatched",),
        "cancelled: no longer wanted": ("dispatched, cancel requested",),
    }
    | UNCHANGED,
    "release_unsent, stale token": UNCHANGED,
    "rescue, lease running": UNCHANGED,
    "rescue": {
        "failed": ("dispatched",),
        "cancelled: no longer wanted": ("dispatched, cancel requested",),
    }
    | UNCHANGED,
    "rescue, on_uncertain hold": {"cancelled: outcome_unknown": FLYING} | UNCHANGED,
    "rescue, last attempt": {
        "cancelled: retries_exhausted": ("dispatched",),
        "cancelled: no longer wanted": ("dispatched, cancel requested",),
    }
    | UNCHANGED,
    "expire, before expires_at": UNCHANGED,
    "expire": {"cancelled: expired": (*PENDING, *FAILED)} | UNCHANGED,
    "cancel": {
        "cancelled: no longer wanted": (*PENDING, *FAILED),
        "dispatched, cancel requested": FLYING,
    }
    | ALREADY,
    "suppress": {
        "suppressed: no longer wanted": (*PENDING, *FAILED),
        "dispatched, suppress requested": FLYING,
    }
    | ALREADY,
    "replay": {"pending": ("suppressed", "cancelled"), "NC002": (OTHERS,)},
    "replay, force": {"pending": TERMINAL, "NC002": (OTHERS,)},
    "hold": {
        "pending, held": ("pending", "pending, due later"),
        "failed, held": ("failed", "failed, due later"),
        "unchanged: already held: nothing changed": ("pending, held", "failed, held"),
        "NC002": (OTHERS,),
    },
    "release": {
        "pending": ("pending, held",),
        "failed, due later": ("failed, held",),
        "unchanged: not held: nothing changed": (OTHERS,),
    },
    # What the roles forbid, and the owner may still do to a row that is not terminal.
    "update by the owner": {
        "unchanged": PENDING,
        "pending": ("dispatched", "failed"),
        "pending, cancel requested": ("dispatched, cancel requested",),
        "pending, due later": ("failed, due later",),
        "pending, held": ("failed, held",),
        "NC002": TERMINAL,
    },
}


def by_state(results: Results) -> dict[str, str]:
    """Return the result of each state."""
    listed = [(state, result) for result, states in results.items() for state in states]
    named = {state: result for state, result in listed if state != OTHERS}
    assert len(named) == sum(state != OTHERS for state, _ in listed), "a state is listed twice"
    others = [result for state, result in listed if state == OTHERS]
    return {state: named[state] if state in named else others[0] for state in STATES}


@pytest.fixture(scope="module")
async def computed(
    postgres: databases.Postgres, template_database: str
) -> AsyncIterator[transitions.Matrix]:
    """The matrix of the migrated database."""
    async with databases.database(postgres.dsn, template_database) as name:
        connection = await asyncpg.connect(databases.with_database(postgres.dsn, name))
        try:
            yield await transitions.compute(connection)
        finally:
            await connection.close()


@pytest.mark.parametrize("function", EXPECTED)
def test_function_does_in_every_state_what_the_contract_says(
    computed: transitions.Matrix, function: str
) -> None:
    assert computed[function] == by_state(EXPECTED[function])


def test_every_function_that_is_tried_is_expected_to_do_something(
    computed: transitions.Matrix,
) -> None:
    assert set(computed) == set(EXPECTED)


def test_architecture_shows_the_matrix_of_the_database(computed: transitions.Matrix) -> None:
    document = transitions.DOCUMENT.read_text("utf-8")

    assert transitions.replaced(document, computed) == document, (
        "ARCHITECTURE.md is behind the SQL functions: .venv/bin/python tests/transitions.py"
    )


@pytest.mark.anyio
@pytest.mark.parametrize("table", ["delivery_attempts", "delivery_events"])
async def test_history_is_never_updated_not_even_by_the_owner(
    connection: Connection, table: str
) -> None:
    await configure(connection)
    delivery_id = await ended(connection, "permanent")
    await connection.execute("select chimeway.replay($1, 'ops')", delivery_id)

    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute(f"update chimeway.{table} set delivery_id = delivery_id")  # noqa: S608 - the test's own names

    assert refused.value.sqlstate == "NC002"
