"""`python -m faults`: run the cases and print the table. Ends with 1 if a promise was broken."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import click

from faults import report
from faults.cases import CASES
from faults.cluster import Mould, casting
from faults.perform import perform
from faults.round import Case, Frame, Result


@click.command(help=__doc__)
@click.option("--case", "names", multiple=True, help="Only this one; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), help="Of each case.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of all random moments.")
@click.option("--long", "is_long", is_flag=True, help="More rounds, longer faults, a million.")
@click.option(
    "--at-once", type=click.IntRange(min=1), default=6, show_default=True, help="Rounds at a time."
)
@click.option("--keep", is_flag=True, help="Put these cases into the kept table.")
@click.option("--logs", type=click.Path(path_type=Path), help="Where broken rounds leave theirs.")
def main(
    names: Sequence[str],
    rounds: int | None,
    seed: int,
    at_once: int,
    logs: Path | None,
    *,
    is_long: bool,
    keep: bool,
) -> None:
    """Parse the command line and run."""
    # A signal must not leave servers behind: it goes up like any other error.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if unknown := [name for name in names if name not in CASES]:
        raise click.UsageError(f"--case: unknown: {', '.join(unknown)}; known: {', '.join(CASES)}")
    wanted = [CASES[name] for name in names] or [
        case for case in CASES.values() if is_long or not case.only_long
    ]
    rounds_of = {
        case.name: rounds or (case.long_rounds if is_long else case.rounds) for case in wanted
    }
    frame = Frame(seed, logs, is_long)
    results = anyio.run(_run, wanted, rounds_of, at_once, frame)
    # A look at some cases must not replace what was found with all of them.
    report.write(results, "latest" if keep or not (names or rounds) else "partial")
    click.echo(report.table(wanted, results))
    sys.exit(any(result.problems for result in results))


async def _run(
    wanted: Sequence[Case], rounds_of: Mapping[str, int], at_once: int, frame: Frame
) -> list[Result]:
    results: list[Result] = []
    limiter = anyio.CapacityLimiter(at_once)

    async def one(case: Case, nth: int, mould: Mould) -> None:
        async with limiter:
            result = await perform(case, nth, mould, frame)
        results.append(result)
        report.tell(result)

    async with casting() as mould, anyio.create_task_group() as group:
        for case in wanted:
            if case.missing() is None:
                for nth in range(rounds_of[case.name]):
                    group.start_soon(one, case, nth, mould)
    return results


if __name__ == "__main__":
    main()
