"""The generated pages of deploy/ are well formed, and show what the commands print."""

import shutil
import subprocess

import command_page
import man_page
import pytest
from commands import chimewayd

from chimewayd import cli

pytestmark = pytest.mark.anyio


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_well_formed() -> None:
    ended = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", "-K", "utf8", str(man_page.PAGE)],
        capture_output=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr.decode()) == (0, "")


@pytest.mark.timeout(240)
async def test_the_page_of_commands_shows_what_they_print(empty_dsn: str) -> None:
    page = await command_page.write(empty_dsn)

    documented = command_page.PAGE.read_text("utf-8")
    place = "[0-9.:/a-z_-]+"
    assert command_page.blurred(page, place) == command_page.blurred(documented, place), (
        "make pages"
    )
    assert [name for name in cli.chimewayd.commands if f"$ chimewayd {name}" not in page] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_prints_a_script_of_the_shell(shell: str) -> None:
    ended = await chimewayd("completion", shell)

    assert ended.exit_code == 0
    assert "_CHIMEWAYD_COMPLETE" in ended.stdout


async def test_bash_completes_commands_and_options() -> None:
    words = {"_CHIMEWAYD_COMPLETE": "bash_complete", "COMP_CWORD": "1"}

    commands = await chimewayd(environment=words | {"COMP_WORDS": "chimewayd re"})
    options = await chimewayd(
        environment=words | {"COMP_WORDS": "chimewayd tail --fa", "COMP_CWORD": "2"}
    )

    assert {"plain,replay", "plain,release", "plain,resume"} <= set(commands.stdout.split())
    assert options.stdout.split() == ["plain,--failed"]
