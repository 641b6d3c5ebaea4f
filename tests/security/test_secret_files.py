"""A file of secrets that nobody can read is refused by name; one that everybody can, is told."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import running
from commands import chimewayd

from chimewayd import config
from chimewayd.errors import ConfigError
from chimewayd.exposed_secrets import exposed

pytestmark = pytest.mark.anyio

TOKEN = "canary-token-of-a-secret-file"
CHANNEL = '[channels.bin]\nadapter = "sink"\n'
EXPOSED = [
    f'http_token = "{TOKEN}"\n',
    f'dsn = "postgresql://me:{TOKEN}@h/d"\n',
    f'[channels.a]\nadapter = "webhook"\n[channels.a.settings]\nproxy = "http://me:{TOKEN}@h/"\n',
    f'[channels.a]\nadapter = "slack"\n[channels.a.settings]\ntoken = "{TOKEN}"\n',
]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("how", ["a directory", "a link to nowhere", "a link to itself"])
def test_secret_file_that_cannot_be_read_is_named_128(tmp_path: Path, how: str) -> None:
    file = tmp_path / "channels__email__settings__password"
    match how:
        case "a directory":
            file.mkdir()
        case "a link to nowhere":
            file.symlink_to(file.with_name("nowhere"))
        case _:
            file.symlink_to(file)

    with pytest.raises(ConfigError, match="cannot be read: ") as refused:
        config.load(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert (refused.value.setting, refused.value.source) == (file.name, str(file))


@pytest.mark.parametrize("text", EXPOSED)
def test_file_that_holds_a_secret_is_exposed_while_others_may_read_it(
    open_folder: Path, text: str
) -> None:
    file = open_folder / "config.toml"
    file.write_text(text)

    file.chmod(0o644)
    assert list(exposed(file, {})) == [file]
    file.chmod(0o640)
    assert list(exposed(file, {})) == []
    file.chmod(0o644)
    open_folder.chmod(0o750)
    assert list(exposed(file, {})) == []


@pytest.mark.parametrize("text", [CHANNEL, 'dsn = "postgresql://me@h/d"\n'])
def test_file_without_a_secret_is_everybodys(open_folder: Path, text: str) -> None:
    file = open_folder / "config.toml"
    file.write_text(text)
    file.chmod(0o644)

    assert list(exposed(file, {})) == []


async def test_check_of_the_settings_tells_it_beside_what_it_prints(open_folder: Path) -> None:
    file = open_folder / "config.toml"
    file.write_text(EXPOSED[0] + CHANNEL)
    file.chmod(0o644)

    ended = await chimewayd("config", "check", "--config", str(file))

    assert (ended.exit_code, ended.stdout) == (0, "right: bin\n")
    assert "secrets_exposed" in ended.stderr
    assert str(file) in ended.stderr
    assert TOKEN not in ended.stderr


@pytest.mark.parametrize(
    ("dsn", "told"),
    [(f"postgresql://me:{TOKEN}@h/d", True), ("postgresql://me@h/d", False)],
)
async def test_password_on_the_command_line_is_told(dsn: str, told: bool) -> None:
    environment = {"CHIMEWAYD_CHANNELS": '{"bin": {"adapter": "sink"}}'}

    ended = await chimewayd("config", "check", "--dsn", dsn, environment=environment)

    assert ended.exit_code == 0
    assert ("secrets_exposed" in ended.stderr) is told
    assert TOKEN not in ended.stderr


async def test_start_tells_it(dsn: str, open_folder: Path) -> None:
    credential = open_folder / "http_token"
    credential.write_text(TOKEN)
    credential.chmod(0o644)
    environment = {"CREDENTIALS_DIRECTORY": str(open_folder)}

    async with running.running(dsn, {"bin": {"adapter": "sink"}}, environment) as daemon:
        told = daemon.of("secrets_exposed", level="warning", file=str(credential))
        await daemon.stop()

    assert len(told) == 1
