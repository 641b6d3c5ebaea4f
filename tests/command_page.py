"""Writes deploy/commands.md: what each command prints, from a real run.

`.venv/bin/python tests/command_page.py` writes it. A test repeats the run and compares, but for
what differs each time: ids, times, numbers, and how wide a column is because of them.
"""

import json
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import asyncpg
from commands import chimewayd
from running import eventually, running

from chimewayd import embedded

PAGE = Path(__file__).parents[1] / "deploy" / "commands.md"
INTRODUCTION = """# The commands, and what they print

`chimewayd COMMAND --help` tells what each can do; so does the manual, [chimewayd.1](chimewayd.1).
All below comes from a real run, which `make pages` and a test repeat.
"""
CHANNELS = {
    "orders": {"adapter": "sink", "retention": {"redact_after": "7d", "delete_after": "90d"}},
    "texts": {
        "adapter": "exec",
        "settings": {"command": ["/bin/sh", "-c", "echo no such number >&2; exit 67"]},
    },
}
WHY = ("--actor", "ada", "--reason")
Id = Callable[[str], Awaitable[str]]


class Page:
    """The page as it grows: what was typed, and what came back."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._parts = [INTRODUCTION]

    def title(self, text: str, remark: str = "") -> None:
        self._parts.append(f"## {text}\n\n{remark}\n" if remark else f"## {text}\n")

    async def run(self, *arguments: str, lines: int | None = None) -> str:
        """Run a command and show it; `lines`: only so many of its first."""
        environment = {"CHIMEWAYD_DSN": self._dsn, "CHIMEWAYD_CHANNELS": json.dumps(CHANNELS)}
        ended = await chimewayd(*arguments, environment=environment)
        printed = (ended.stdout + ended.stderr).rstrip().splitlines()
        shown = printed if lines is None else [*printed[:lines], "…"]
        status = f"\n# exit status {ended.exit_code}" if ended.exit_code else ""
        typed = shlex.join(["chimewayd", *arguments])
        self._parts.append("```console\n$ " + "\n".join([typed, *shown]) + f"{status}\n```\n")
        return ended.stdout.strip()

    def text(self) -> str:
        return "\n".join(self._parts)


async def write(dsn: str) -> str:
    """Run everything against an empty database; return the page."""
    page = Page(dsn)
    page.title("migrate", "Brings the schema to this release.")
    await page.run("migrate")
    await page.run("migrate", "--check")
    connection = await asyncpg.connect(dsn)
    try:
        async with running(dsn, CHANNELS, name="mail-1") as daemon:
            first, second = await _send(page)
            await daemon.said("attempt_recorded", 2)
            await eventually(lambda: _ended(connection), wanted=2)
            await _look(page, second)
            await _step_in(page)
            await _keep_house(page, first)
    finally:
        await connection.close()
    return page.text()


async def _ended(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    count: int = await connection.fetchval(
        "select count(*) from chimeway.deliveries where finished_at is not null"
    )
    return count


async def _send(page: Page) -> tuple[str, str]:
    page.title("send", "Inserts a delivery and prints its id, as any program does in SQL.")
    first = await page.run("send", "orders", "ada@example.org", "--payload", '{"order": 42}')
    second = await page.run("send", "texts", "+49 30 1234", "--payload", '{"text": "Hello"}')
    return first, second


async def _look(page: Page, delivery_id: str) -> None:
    page.title("status", "One line a channel; `--watch` shows it again and again.")
    await page.run("status")
    page.title("failures", "What goes wrong, by channel and error, with the newest example.")
    await page.run("failures")
    await page.run("failures", "--channel", "texts", "--json")
    page.title("explain", "What happened to a delivery, why, and what comes next.")
    await page.run("explain", delivery_id)
    page.title("tail", "Calls as they end, until Ctrl-C; `--once` prints the last ones and ends.")
    await page.run("tail", "--once")
    page.title("list", "Deliveries that pass all filters, newest first.")
    await page.run("list")
    await page.run("list", "--channel", "orders", "--status", "failed")


async def _step_in(page: Page) -> None:
    page.title("pause", "Sends nothing more on a channel.")
    await page.run("pause", "orders", *WHY, "the shop is being moved")
    third = await page.run("send", "orders", "bob@example.org", "--payload", "{}")
    page.title("hold, release", "Keeps waiting deliveries from being sent, and lets them go.")
    await page.run("hold", third, *WHY, "ask legal")
    await page.run("release", third, "--actor", "ada")
    page.title("cancel, suppress", "Ends what waits. A second time changes nothing and says so.")
    await page.run("cancel", third, *WHY, "order was withdrawn")
    await page.run("cancel", third, *WHY, "order was withdrawn")
    fourth = await page.run("send", "orders", "bob@example.org", "--payload", "{}")
    await page.run("suppress", fourth, *WHY, "unsubscribed")
    page.title("resume", "Sends again on a paused channel.")
    await page.run("resume", "orders", "--actor", "ada")
    page.title("replay", "Begins a new series of attempts of deliveries that ended.")
    await page.run("replay", "--channel", "texts", "--dry-run")
    await page.run("replay", "--with-reason", "nonsense")


async def _keep_house(page: Page, delivery_id: str) -> None:
    page.title("prune", "Retention, now; a daemon does the same by itself.")
    await page.run("prune", "--dry-run")
    page.title("preview", "Renders a delivery's template without sending it.")
    await page.run("preview", "--help", lines=12)
    page.title("doctor", "What is wrong with a set-up, and what to do about it.")
    await page.run("doctor")
    page.title("config", "The settings in force, and where each comes from.")
    await page.run("config", "check")
    page.title("completion", "For bash, zsh and fish.")
    await page.run("completion", "bash", lines=3)
    page.title("run, demo", "The daemon, and all of it to look at.")
    await page.run("run", "--help", lines=12)
    await page.run("demo", "--help", lines=12)
    page.title("Exit status", "The same for every command.")
    await page.run("explain", delivery_id[:-4] + "0000")
    await page.run("status", "--nonsense")


def blurred(page: str, place: str) -> str:
    """Return a page without what differs between two runs; `place` matches a server's address."""
    page = re.sub(rf"^(ok +connect) +{place}$", r"\1 PLACE", page, flags=re.MULTILINE)
    page = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", page)
    page = re.sub(r"[▏▎▍▌▋▊▉█░]+", "", page)
    page = re.sub(r"[0-9]+(\.[0-9]+)?", "#", page)
    page = re.sub(r"# ?(ms|s|min|h|days)\b", "T", page)
    page = re.sub(r"^(ok|warning) +server .*(\n +→.*)?$", "SERVER", page, flags=re.MULTILINE)
    page = re.sub(r"^# ok, # warning", "COUNT", page, flags=re.MULTILINE)
    return re.sub(r"^ | $", "", re.sub(r" +", " ", page), flags=re.MULTILINE)


async def main() -> None:
    """Write the page from a run against a server of its own."""
    with embedded.server() as server:
        text = await write(server.dsn)
    place = re.search(r"ok +connect +(\S+)/", text)
    assert place is not None
    PAGE.write_text(text.replace(place[1], "/run/postgresql"), "utf-8")


if __name__ == "__main__":
    anyio.run(main)
