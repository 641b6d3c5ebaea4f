"""`python -m bench`: take the rows and write the results. Ctrl-C ends everything it started."""

import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import click

from bench import cluster, engines, machine, picture, report
from bench.engines import Engine
from bench.environments import PeerMissingError
from bench.figures import Figures
from bench.rows import ROWS
from bench.run import Run, tell
from bench.scale import FULL, QUICK

COMPARED = {"drain", "paced"}


@click.command(help=__doc__)
@click.option("--rows", default=",".join(ROWS), show_default=True, help="which rows, in commas")
@click.option("--rounds", type=click.IntRange(min=1), help="of the interleaved rows")
@click.option("--quick", is_flag=True, help="small sizes, under three minutes")
@click.option("--peers", default=",".join(engines.PEERS), show_default=True, help="which, or none")
def main(rows: str, rounds: int | None, quick: bool, peers: str) -> None:
    """Parse the command line and run."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = _chosen("--rows", rows, ROWS)
    rivals = _chosen("--peers", peers if peers != "none" else "", engines.PEERS)
    scale = QUICK if quick else FULL
    logs = tempfile.TemporaryDirectory(prefix="chimewayd-bench-log-")
    with logs as directory, cluster.running() as server:
        run = Run(server, scale, Path(directory))
        anyio.run(_take, run, wanted, rounds, rivals, backend_options={"use_uvloop": True})


def _chosen(option: str, text: str, known: Mapping[str, object]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(
            f"{option}: unknown: {', '.join(unknown)}; known: {', '.join(known)}"
        )
    return names


async def _take(run: Run, rows: Sequence[str], rounds: int | None, rivals: Sequence[str]) -> None:
    begin, load = time.monotonic(), machine.load()
    if COMPARED.intersection(rows):
        run.peers = await _peers(run.figures, rivals)
    rounds = rounds or run.scale.rounds
    counts = {name: rounds if ROWS[name].is_interleaved else 1 for name in rows}
    for nth in range(rounds):
        run.figures.begin_round()
        for name, count in counts.items():
            if nth < count:
                await _measure(run, name, f"round {nth + 1}, {name}")
    facts = machine.facts(run, rounds, rows, load)
    # What the README shows is only ever replaced by the whole.
    stem = "latest" if run.scale is FULL and set(rows) == set(ROWS) else "partial"
    report.write(run.figures, facts, stem)
    try:
        picture.draw(run.figures, report.RESULTS / f"{stem}.svg")
    except LookupError as error:
        tell(f"{error}")
    click.echo(report.markdown(run.figures, facts))
    tell(f"{time.monotonic() - begin:.0f} s; written: {report.RESULTS}/{stem}.*")


async def _peers(figures: Figures, names: Sequence[str]) -> list[Engine]:
    found: list[Engine] = []
    for name in names:
        tell(f"peer: {name}")
        try:
            found.append(await engines.PEERS[name]())
        except PeerMissingError as error:
            figures.miss("drain", name, str(error))
    return found


async def _measure(run: Run, name: str, what: str) -> None:
    begin = time.monotonic()
    try:
        await ROWS[name].measure(run)
    except Exception as error:  # noqa: BLE001 - a row's trouble is a line in the table
        run.figures.miss(name, "the row", f"{type(error).__name__}: {error}")
    tell(f"{what}: {time.monotonic() - begin:.1f} s, load {machine.load():.1f}")


if __name__ == "__main__":
    main()
