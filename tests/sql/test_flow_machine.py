"""Random use of rates, breakers, fallbacks and retention together: see tests/flow_machine.py."""

import asyncpg
import pytest
from flow_machine import FlowMachine
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_database import MachineDatabase
from mutants import FLOW_MUTANTS, Mutant

THOROUGH = settings(
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
)
RUNS, RUNS_LONG = 40, 500


def walk(database: MachineDatabase, chosen: settings) -> None:
    """Run the machine."""

    class Machine(FlowMachine):
        pass

    Machine.database = database
    run_state_machine_as_test(Machine, settings=chosen)


@pytest.mark.timeout(600)
def test_nothing_passes_its_limits_and_everything_ends(dsn: str) -> None:
    with MachineDatabase(dsn) as database:
        walk(database, settings(THOROUGH, max_examples=RUNS, derandomize=True))

        assert database.steps >= RUNS


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_passes_its_limits_and_everything_ends_for_long(dsn: str) -> None:
    with MachineDatabase(dsn) as database:
        walk(database, settings(THOROUGH, max_examples=RUNS_LONG))

        assert database.steps >= RUNS_LONG


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", FLOW_MUTANTS.values(), ids=FLOW_MUTANTS)
def test_mistake_in_flow_control_is_found(dsn: str, mutant: Mutant) -> None:
    once = settings(
        THOROUGH,
        max_examples=RUNS_LONG,
        derandomize=True,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
    )

    with MachineDatabase(dsn) as database:
        database.run(database.connection.execute(mutant.sql()))
        with pytest.raises((AssertionError, asyncpg.PostgresError)):
            walk(database, once)
