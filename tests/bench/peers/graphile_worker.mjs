// graphile-worker's worker: local queue, completions in batches.
// The same commands as worker.py: install | fill COUNT | work COUNT DELAY_MS SLOTS.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.BENCH_MODULES}/`);
const { run, runMigrations, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const LOCAL_QUEUE = 500;
const POOL = 10;
const PAYLOAD = { subject: "Hello", text: "x".repeat(240) };
const connectionString = process.env.BENCH_DSN;
const logger = new Logger(() => () => {});
const [command, ...values] = process.argv.slice(2);
const say = (what) => process.stdout.write(`${what} ${Date.now() / 1000}\n`);

async function fill(count) {
  const pool = new Pool({ connectionString });
  await pool.query(
    `select graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec, $2)
       from generate_series(1, $1)))`,
    [count, JSON.stringify({ identifier: "bench", payload: PAYLOAD })],
  );
  await pool.end();
}

async function work(expected, delayMs, slots) {
  let count = 0;
  const bench = async () => {
    if (count === 0) say("first");
    count += 1;
    const nth = count;
    if (delayMs > 0) await new Promise((done) => setTimeout(done, delayMs));
    if (nth === expected) say("last");
  };
  const runner = await run({
    connectionString,
    logger,
    taskList: { bench },
    preset: {
      worker: {
        concurrentJobs: slots,
        maxPoolSize: POOL,
        localQueue: { size: LOCAL_QUEUE },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  await runner.promise;
}

if (command === "install") await runMigrations({ connectionString, logger });
else if (command === "fill") await fill(Number(values[0]));
else if (command === "work") await work(...values.map(Number));
else throw new Error("install | fill COUNT | work COUNT DELAY_MS SLOTS");
