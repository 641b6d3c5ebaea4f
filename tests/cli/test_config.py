"""`chimewayd config`: what is checked, what is shown, and that no secret is."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from commands import chimewayd

from chimewayd.config_schema import schema

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SECRET = "gehe1m"
WHSEC = "whsec_cmVwbGFjZSB0aGlzIGJ5IDMyIHJhbmRvbSBieXRlcw=="
FILE = f"""
dsn = "postgresql://user:{SECRET}@db.example.org/app"
concurrency = 50

[channels.orders]
adapter = "webhook"
timeout = "9s"
rate = "100/min"

[channels.orders.settings]
secret = "{WHSEC}"
headers = {{ "x-key" = "{SECRET}" }}

[channels.orders.retry]
schedule = ["1s", "1h30m"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file that is right and has secrets."""
    path = tmp_path / "config.toml"
    path.write_text(FILE, "utf-8")
    return path


async def test_right_configuration_is_0_and_names_the_channels(file: Path) -> None:
    ended = await chimewayd("config", "check", "--config", str(file))

    assert (ended.exit_code, ended.stdout) == (0, "right: orders\n")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CHIMEWAYD_CONCURENCY", "5", "did you mean concurrency / CHIMEWAYD_CONCURRENCY?"),
        ("CHIMEWAYD_CHANNELS__ORDERS__TIMEUOT", "5s", "did you mean channels.orders.timeout"),
        ("CHIMEWAYD_CONCURRENCY", "none", "CHIMEWAYD_CONCURRENCY"),
        ("CHIMEWAYD_CHANNELS__ORDERS__SETTINGS__SECRT", "x", "did you mean 'secret'"),
        ("CHIMEWAYD_CHANNELS__ORDERS__ADAPTER", "webhok", "did you mean 'webhook'"),
        ("CHIMEWAYD_DSN", "host=db dbname=app", "is not a URL"),
        ("CHIMEWAYD_LISTEN_DSN", "mysql://db/app", "listen_dsn"),
    ],
)
async def test_wrong_setting_is_78_and_is_named_with_what_was_meant(
    file: Path, name: str, value: str, said: str
) -> None:
    ended = await chimewayd("config", "check", "--config", str(file), environment={name: value})

    assert ended.exit_code == 78
    assert said in ended.stderr
    assert SECRET not in ended.stderr


async def test_configuration_without_channels_is_78(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("concurrency = 5\n", "utf-8")

    ended = await chimewayd("config", "check", "--config", str(path))

    assert ended.exit_code == 78
    assert "none is configured" in ended.stderr


async def test_each_setting_is_shown_with_its_source(file: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "channels__orders__settings__secret").write_text(WHSEC)
    given = {"CHIMEWAYD_LOG_LEVEL": "debug", "CREDENTIALS_DIRECTORY": str(credentials)}

    ended = await chimewayd("--config", str(file), "config", "show", "--json", environment=given)

    shown = {s["name"]: (s["value"], s["source"]) for s in ended.document["settings"]}
    secret = "channels.orders.settings.secret"
    assert shown["concurrency"] == ("50", str(file))
    assert shown["lease"] == ('"1m"', "default")
    assert shown["log_level"] == ('"debug"', "environment variable CHIMEWAYD_LOG_LEVEL")
    assert shown["channels.orders.rate"] == ('"100/1m"', str(file))
    assert shown["channels.orders.retry.schedule"] == ('["1s", "1h30m"]', str(file))
    assert shown["channels.orders.retry.max_attempts"] == ("3", "default")
    assert shown["channels.orders.settings.method"] == ('"POST"', "default")
    assert shown[secret] == ("(hidden)", str(credentials / "channels__orders__settings__secret"))


@pytest.mark.parametrize("form", [[], ["--json"]])
async def test_no_secret_is_shown(file: Path, form: list[str]) -> None:
    ended = await chimewayd("--config", str(file), "config", "show", *form)

    assert "db.example.org/app" in ended.stdout
    assert "x-key" in ended.stdout
    assert SECRET not in ended.stdout
    assert WHSEC not in ended.stdout


async def test_address_and_command_are_shown_without_a_password_in_them(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[channels.chat]\nadapter = "slack"\n'
        f'settings = {{ base_url = "https://ada:{SECRET}@gateway.example/api" }}\n'
        '[channels.own]\nadapter = "exec"\n'
        f'settings = {{ command = ["/bin/true", "--password={SECRET}", "--fast"] }}\n',
        "utf-8",
    )

    ended = await chimewayd("config", "show", "--config", str(path))

    assert 'base_url = "https://ada:***@gateway.example/api"' in ended.stdout
    assert '["/bin/true", "--password=***", "--fast"]' in ended.stdout
    assert SECRET not in ended.stdout


async def test_setting_is_shown_under_the_name_that_files_give_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[channels.mail]\nadapter = "smtp"\n'
        'settings = { host = "localhost", from = "a@example.org" }\n',
        "utf-8",
    )

    ended = await chimewayd("config", "show", "--config", str(path))

    (line,) = [line for line in ended.stdout.splitlines() if "a@example.org" in line]
    assert line.startswith('channels.mail.settings.from = "a@example.org"')
    assert line.endswith(f"# {path}")


async def test_dsn_of_the_command_line_is_shown_as_such(file: Path) -> None:
    ended = await chimewayd("--config", str(file), "--dsn", "postgresql://h/d", "config", "show")

    assert ended.stdout.splitlines()[0].split() == [
        "dsn",
        "=",
        "(hidden)",
        "h/d",
        "#",
        "command",
        "line",
    ]


async def test_schema_is_one_and_takes_a_right_file() -> None:
    ended = await chimewayd("config", "schema")

    validator = jsonschema.Draft202012Validator(ended.document)
    validator.check_schema(ended.document)
    validator.validate(tomllib.loads(FILE))
    validator.validate(tomllib.loads((ROOT / "deploy/config.example.toml").read_text("utf-8")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurency": 5},
        {"concurrency": 0},
        {"lease": 60},
        {"lease": "60"},
        {"channels": {"a": {"adapter": "sink", "on_uncertain": "perhaps"}}},
        {"channels": {"a": {"adapter": "webhook", "settings": {"secrt": "x"}}}},
        {"channels": {"A B": {"adapter": "sink"}}},
    ],
)
def test_schema_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema())

    assert list(validator.iter_errors(json.loads(json.dumps(wrong))))
