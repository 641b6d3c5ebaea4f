"""The matrix of state and function, computed from a real database and kept in ARCHITECTURE.md.

`.venv/bin/python tests/transitions.py` computes it and writes it there.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import anyio
import asyncpg
import databases
from engine import Connection, check_invariants, configure, jobs_of, look
from frozen_clock import START, freeze, set_clock
from trials import RETRY_AT, STATES, TRIALS, Trial, bring_to, state_of

from chimewayd import migrate

DOCUMENT = Path(__file__).parents[1] / "ARCHITECTURE.md"
BEGIN, END = "<!-- transitions:begin -->", "<!-- transitions:end -->"
OTHERS_AT_LEAST = 5

Matrix: TypeAlias = Mapping[str, Mapping[str, str]]
"""The result by function and state."""

HEAD = """
### Every state, every function

Computed from a database by `.venv/bin/python tests/transitions.py`, which also writes it here.
`tests/sql/test_transition_matrix.py` keeps it true, and says the same in its own words.
`NC002` is a refusal; after a colon stands the reason, or what the function said.
Only roles keep anyone from an `update` of a row that is not terminal.

| function | from | to |
|---|---|---|
"""


async def compute(connection: Connection) -> Matrix:
    """Try every function in every state, in an empty database that is left empty."""
    return {
        function: {state: await outcome(connection, state, trial) for state in STATES}
        for function, trial in TRIALS.items()
    }


async def outcome(connection: Connection, state: str, trial: Trial) -> str:
    """Return the new state, "unchanged" and what the function said, or the SQLSTATE."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await freeze(connection)
        await configure(connection)
        return await _try(connection, state, trial)
    finally:
        await transaction.rollback()


async def _try(connection: Connection, state: str, trial: Trial) -> str:
    subject = await bring_to(connection, state)
    assert (await state_of(connection, subject.delivery_id)).partition(":")[0] == state
    await configure(connection, **trial.policy)
    await connection.execute(trial.given)
    await set_clock(connection, moment(state, trial))
    before = await _stored(connection, subject.delivery_id)

    try:
        async with connection.transaction():
            said = await trial.call(connection, subject)
    except asyncpg.PostgresError as refusal:
        return refusal.sqlstate

    if not trial.breaks_invariants:
        await check_invariants(connection)
    if await _stored(connection, subject.delivery_id) == before:
        return f"unchanged: {said}" if said else "unchanged"
    return await state_of(connection, subject.delivery_id)


def moment(state: str, trial: Trial) -> datetime:
    """Say when to call: a second later, so that even a call that leaves all else alone shows."""
    return max(trial.at, RETRY_AT if state == "failed" else START) + timedelta(seconds=1)


async def _stored(connection: Connection, delivery_id: UUID) -> list[asyncpg.Record]:
    return [await look(connection, delivery_id), *await jobs_of(connection, delivery_id)]


def render(matrix: Matrix) -> str:
    """Write the matrix as a Markdown section: a row for each result of functions that agree."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for function, results in matrix.items():
        alike[tuple(results.values())].append(_quoted(function))
    rows = []
    for outcomes, functions in alike.items():
        cell = " · ".join(functions)
        for result, states in _by_result(outcomes).items():
            rows.append(f"| {cell} | {states} | {result} |")
            cell = ""
    return HEAD + "\n".join(rows) + "\n\n"


def _quoted(function: str) -> str:
    name, comma, circumstance = function.partition(", ")
    return f"`{name}`{comma}{circumstance}"


def _by_result(outcomes: Sequence[str]) -> dict[str, str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for state, result in zip(STATES, outcomes, strict=True):
        groups[result].append(state)
    if len(groups) == 1:
        return {outcomes[0]: "every state"}
    *_, largest = sorted(groups, key=lambda result: len(groups[result]))
    others = len(groups[largest]) >= OTHERS_AT_LEAST and groups.pop(largest)
    named = {result: " · ".join(states) for result, states in groups.items()}
    return named | ({largest: "every other state"} if others else {})


def replaced(document: str, matrix: Matrix) -> str:
    """Return the document with this matrix between the markers."""
    head, tail = document.index(BEGIN) + len(BEGIN), document.index(END)
    return f"{document[:head]}\n{render(matrix)}{document[tail:]}"


async def main() -> None:
    """Compute the matrix in a database of its own and write it into the document."""
    server = databases.choose(os.environ, databases.docker_answers)
    with databases.running(server, os.environ) as postgres:
        async with databases.database(postgres.dsn) as name:
            connection = await asyncpg.connect(databases.with_database(postgres.dsn, name))
            try:
                await migrate.apply(connection)
                matrix = await compute(connection)
            finally:
                await connection.close()
    DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8"), matrix), "utf-8")


if __name__ == "__main__":
    anyio.run(main)
