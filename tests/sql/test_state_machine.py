"""Thousands of random steps against the database and a model of it: see tests/machine.py."""

import asyncpg
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import DeliveryMachine
from machine_database import MachineDatabase
from mutants import MUTANTS, Mutant

STEPS_A_RUN = 50
SURE_STEPS_A_RUN = 30
"""Some runs end early: their choices are used up."""
STEPS = 2_500
STEPS_LONG = 50_000
STEPS_MUTANT = 20_000

THOROUGH = settings(
    stateful_step_count=STEPS_A_RUN,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
)


def walk(database: MachineDatabase, steps: int, chosen: settings) -> None:
    """Run the machine for about that many steps."""

    class Machine(DeliveryMachine):
        pass

    Machine.database = database
    runs = settings(chosen, max_examples=steps // SURE_STEPS_A_RUN)
    run_state_machine_as_test(Machine, settings=runs)


@pytest.mark.timeout(600)  # a failure is made short before it is shown
def test_database_does_what_the_model_says(dsn: str) -> None:
    with MachineDatabase(dsn) as database:
        walk(database, STEPS, settings(THOROUGH, derandomize=True))

        assert database.steps >= STEPS


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_database_does_what_the_model_says_for_long(dsn: str) -> None:
    with MachineDatabase(dsn) as database:
        walk(database, STEPS_LONG, THOROUGH)

        assert database.steps >= STEPS_LONG


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_mistake_in_the_database_is_found(dsn: str, mutant: Mutant) -> None:
    once = settings(
        THOROUGH, derandomize=True, phases=(Phase.generate,), report_multiple_bugs=False
    )

    with MachineDatabase(dsn) as database:
        database.run(database.connection.execute(mutant.sql()))
        with pytest.raises((AssertionError, asyncpg.PostgresError)):
            walk(database, STEPS_MUTANT, once)
