"""The ceiling: pgbench runs the daemon's own claim and record statements, and no daemon."""

import re

from bench import cluster, processes
from bench.chimewayd_engine import CHANNEL
from bench.environments import inherited
from bench.run import Run

ROW = "ceiling"
CLIENTS = 2
BATCH = 500
SECONDS = 300.0

# Both are the daemon's functions with its own arguments, in two transactions as there. What pgbench
# cannot do is to read 500 rows into variables: the claimed rows are aggregated in the server.
SCRIPT = f"""
select count(*) as n, coalesce(array_agg(c.delivery_id), '{{}}') as ids,
  coalesce(array_agg(c.claim_id), '{{}}') as claims
from chimeway.claim(p_daemon_id => 1, p_daemon_name => 'bench', p_channels => array['{CHANNEL}'],
  p_slots => array[{BATCH}], p_limit => {BATCH}, p_lease => interval '1 minute',
  p_arm => false, p_takes_suspect => true) as c
\\gset
select * from chimeway.record(p_daemon_name => 'bench', p_delivery_ids => :ids::uuid[],
  p_claim_ids => :claims::bigint[], p_kinds => array_fill('succeeded'::text, array[:n::integer]),
  p_started_ago => array_fill(0.002::float8, array[:n::integer]),
  p_finished_ago => array_fill(0.001::float8, array[:n::integer]),
  p_details => array_fill(null::text, array[:n::integer]),
  p_status_codes => array_fill(null::integer, array[:n::integer]),
  p_responses => array_fill(null::text, array[:n::integer]),
  p_provider_message_ids => array_fill(null::text, array[:n::integer]),
  p_retry_after => array_fill(null::interval, array[:n::integer]));
"""  # noqa: S608 - names and numbers of ours


async def measure(run: Run) -> None:
    """Record the whole queue as delivered, as fast as Postgres can."""
    program = cluster.pgbench()
    if program is None:
        run.figures.miss(ROW, "pgbench", "pgbench was not found")
        return
    script = run.directory / "ceiling.sql"
    script.write_text(SCRIPT)
    transactions = run.scale.drain // (CLIENTS * BATCH)
    async with run.database(run.ours, run.scale.drain) as dsn:
        options = ["-n", "-M", "prepared", "-c", f"{CLIENTS}", "-j", f"{CLIENTS}"]
        argv = [f"{program}", *options, "-t", f"{transactions}", "-f", f"{script}", dsn]
        output = await processes.run(argv, inherited(), SECONDS)
        async with cluster.connected(dsn) as connection:
            done = await connection.fetchval(
                "select count(*) from chimeway.deliveries where status = 'succeeded'"
            )
    expected = transactions * CLIENTS * BATCH
    if done != expected:
        raise processes.ChildError(f"pgbench recorded {done} deliveries of {expected}")
    run.figures.add(ROW, "pgbench", "deliveries/s", tps(output) * BATCH)
    run.figures.add_ratio(ROW, "chimewayd / pgbench", ("drain", "chimewayd"), (ROW, "pgbench"))


def tps(output: str) -> float:
    """Read the transactions a second from what pgbench printed."""
    found = re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE)
    if found is None:
        raise processes.ChildError("pgbench printed no rate")
    return float(found[1])
