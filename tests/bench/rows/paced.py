"""An adapter that takes 10 ms: how much of the ideal rate is reached."""

from bench.engines import Engine, Load
from bench.rows.drain import drain
from bench.run import Run, tell

ROW = "paced"
DELAY_MS = 10.0
OURS = (100, 1000)
PEERS_SLOTS = 100
PEERS = frozenset({"pgqueuer", "graphile-worker"})


async def measure(run: Run) -> None:
    """Ours at 100 and 1000 calls at one time, the quick peers at 100."""
    for slots in OURS:
        await _share(run, run.ours, slots)
    for peer in run.peers:
        if peer.name in PEERS:
            await _share(run, peer, PEERS_SLOTS)
    # Beyond what the process can do at all, no ideal is reached: the core is full.
    top = (ROW, f"{run.ours.name}, {OURS[-1]} at once, of the no-op rate")
    run.figures.add_ratio(
        ROW, top[1], (ROW, f"{run.ours.name}, {OURS[-1]} at once"), ("drain", run.ours.name)
    )


async def _share(run: Run, engine: Engine, slots: int) -> None:
    name = f"{engine.name}, {slots} at once"
    ideal = slots * 1000 / DELAY_MS
    try:
        rate = await drain(run, engine, Load(run.scale.drain, DELAY_MS, slots))
    except Exception as error:  # noqa: BLE001 - one engine's trouble is a line in the table
        run.figures.miss(ROW, name, f"{type(error).__name__}: {error}")
        tell(f"  {name}: {error!r}")
        return
    run.figures.add(ROW, name, "jobs/s", rate)
    run.figures.add(ROW, f"{name}, of the ideal", "x", rate / ideal)
