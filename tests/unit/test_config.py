"""Settings: which source wins, and how each wrong one stops the start."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from chimewayd.config import load
from chimewayd.config_types import OnUncertain
from chimewayd.errors import ConfigError, ConfigErrors

SECRET = "s3cret"
CHANNEL = '[channels.email]\nadapter = "log"\n'

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a config file."""

    def _write(content: str | bytes) -> Path:
        path = tmp_path / "chimewayd.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def refused(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> list[ConfigError]:
    with pytest.raises((ConfigError, ConfigErrors)) as caught:
        load(file, environment or {}, overrides)
    assert isinstance(caught.value, ConfigError | ConfigErrors)
    return list(caught.value.errors)


def test_nothing_given_means_the_defaults() -> None:
    settings = load(environment={})

    assert settings.dsn.get_secret_value() == "postgresql://"
    assert settings.concurrency == 100
    assert settings.lease == timedelta(seconds=60)
    assert settings.channels == {}


def test_sources_win_in_their_order(write: Write, tmp_path: Path) -> None:
    file = write('dsn = "file"\nlisten_dsn = "file"\nlease = "61s"\nconcurrency = 1\n')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "dsn").write_text("credential\n")
    (credentials / "listen_dsn").write_text("credential\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "CHIMEWAYD_DSN": "environment",
        "CHIMEWAYD_CONCURRENCY": "2",
        "CHIMEWAYD_NAME": "environment",
    }

    settings = load(file, environment, {"concurrency": 3, "name": None})

    assert settings.concurrency == 3
    assert settings.name == "environment"
    assert settings.dsn.get_secret_value() == "environment"
    assert settings.listen_dsn is not None
    assert settings.listen_dsn.get_secret_value() == "credential"
    assert settings.lease == timedelta(seconds=61)


def test_sources_join_inside_one_channel(write: Write) -> None:
    file = write(CHANNEL + '[channels.email.retry]\nbase = "2s"\nfactor = 3\n')
    environment = {
        "CHIMEWAYD_CHANNELS__EMAIL__RETRY__BASE": "5s",
        "CHIMEWAYD_CHANNELS__EMAIL__ON_UNCERTAIN": "hold",
        "CHIMEWAYD_CHANNELS__EMAIL__SETTINGS__PORT": "25",
    }

    email = load(file, environment).channels["email"]

    assert (email.retry.base, email.retry.factor) == (timedelta(seconds=5), 3.0)
    assert email.on_uncertain is OnUncertain.HOLD
    assert email.settings == {"port": "25"}


def test_a_credential_may_be_a_nested_setting_and_other_files_are_left_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "channels__email__settings__password").write_text(SECRET)
    (tmp_path / "tls.key").write_bytes(b"\xff")
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "CHIMEWAYD_CHANNELS__EMAIL__ADAPTER": "log",
    }

    assert load(environment=environment).channels["email"].settings == {"password": SECRET}


def test_a_credential_may_be_named_in_capitals_like_a_variable(tmp_path: Path) -> None:
    (tmp_path / "DSN").write_text("postgresql://capital/one\n")

    settings = load(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert settings.dsn.get_secret_value() == "postgresql://capital/one"


def test_the_environment_may_name_the_config_file(write: Write) -> None:
    assert load(environment={"CHIMEWAYD_CONFIG": str(write("concurrency = 7\n"))}).concurrency == 7


def test_variables_of_tests_are_not_settings() -> None:
    assert load(environment={"CHIMEWAYD_TEST_DSN": "x", "CHIMEWAYD_FAILPOINTS": "y"}).name


@pytest.mark.parametrize("name", ["CHIMEWAYD_CONCURENCY", "chimewayd_concurency"])
def test_a_misspelt_variable_stops_with_what_was_probably_meant(name: str) -> None:
    [error] = refused(environment={name: "1"})

    assert error.source == f"environment variable {name}"
    assert "did you mean concurrency / CHIMEWAYD_CONCURRENCY?" in error.problem


@pytest.mark.parametrize("name", ["CHIMEWAYD_TYPO", "CHIMEWAYD_DSN__X", "CHIMEWAYD_"])
def test_an_unknown_variable_stops_with_the_names_there_are(name: str) -> None:
    [error] = refused(environment={name: "1"})

    assert error.problem.startswith("is no setting")
    assert error.allowed is not None
    assert "poll_interval" in error.allowed


def test_a_misspelt_nested_name_stops_in_file_and_environment(write: Write) -> None:
    file = write(CHANNEL + "[channels.email.retyr]\nbase = '5s'\n")

    [in_file] = refused(file)
    [in_environment] = refused(write(CHANNEL), {"CHIMEWAYD_CHANNELS__EMAIL__RETRY__BAES": "5s"})

    assert in_file.setting == "channels.email.retyr / CHIMEWAYD_CHANNELS__EMAIL__RETYR"
    assert in_file.source == str(file)
    assert "did you mean channels.email.retry /" in in_file.problem
    assert "did you mean channels.email.retry.base /" in in_environment.problem


def test_a_wrong_value_names_both_spellings_its_source_and_what_is_allowed(write: Write) -> None:
    file = write(CHANNEL + '[channels.email.retry]\nbase = "31d"\n')

    [error] = refused(file)

    assert error.setting == "channels.email.retry.base / CHIMEWAYD_CHANNELS__EMAIL__RETRY__BASE"
    assert error.source == str(file)
    assert error.allowed == "1ms to 30d"


def test_a_wrong_value_is_blamed_on_the_source_that_won(write: Write) -> None:
    file = write("concurrency = 5\n")

    [from_variable] = refused(file, {"CHIMEWAYD_CONCURRENCY": "0"})
    [from_command] = refused(file, {"CHIMEWAYD_CONCURRENCY": "5"}, {"concurrency": 0})

    assert from_variable.source == "environment variable CHIMEWAYD_CONCURRENCY"
    assert from_command.source == "command line"


def test_all_wrong_settings_are_told_at_once(write: Write) -> None:
    errors = refused(write('lease = "1s"\nlog_level = "loud"\ntypo = 1\n'))

    assert {error.setting.partition(" ")[0] for error in errors} == {"lease", "log_level", "typo"}


@pytest.mark.parametrize(
    ("content", "setting"),
    [
        ("concurrency = true", "concurrency"),
        ("concurrency = 1.5", "concurrency"),
        ("concurrency = 10001", "concurrency"),
        ("dsn = 5", "dsn"),
        ('name = "a b"', "name"),
        ('poll_interval = "99ms"', "poll_interval"),
        ('shutdown_grace = "11m"', "shutdown_grace"),
        ("channels = 1", "channels"),
        ("[channels.email]", "channels.email.adapter"),
        ('[channels.Email]\nadapter = "log"', "channels.Email"),
        ('[channels."a b"]\nadapter = "log"', 'channels."a b"'),
        (CHANNEL + "settings = 1", "channels.email.settings"),
        (CHANNEL + "retry = 1", "channels.email.retry"),
        (CHANNEL + 'timeout = "99ms"', "channels.email.timeout"),
        (CHANNEL + 'on_uncertain = "x"', "channels.email.on_uncertain"),
        (CHANNEL + "retry.factor = nan", "channels.email.retry.factor"),
        (CHANNEL + "retry.jitter = inf", "channels.email.retry.jitter"),
        (CHANNEL + "retry.schedule = []", "channels.email.retry.schedule"),
        (CHANNEL + 'retry.schedule = ["1s", "9"]', "channels.email.retry.schedule[1]"),
        (CHANNEL + 'retry.base = "7h"', "channels.email.retry"),
        ("_env_file = '/x'", "_env_file"),
        ('"\\u001b[31m" = 1', r'"\u001b[31m"'),
    ],
)
def test_each_wrong_value_stops_with_its_name(write: Write, content: str, setting: str) -> None:
    [error] = refused(write(content))

    assert error.setting.partition(" / ")[0] == setting


def test_json_in_a_variable_that_is_none_stops_with_the_variable() -> None:
    [error] = refused(environment={"CHIMEWAYD_CHANNELS__EMAIL__RETRY": f"{{{SECRET}"})

    assert error.setting == "CHIMEWAYD_CHANNELS__EMAIL__RETRY"
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a = 1\nb = \n", "at line 2, column 5"),
        ("a = 1\nb = 'x", "at line 2, column 7"),
        ("a = 1\na = 2\n", "at line 2"),
        (b"a = 1\nb = '\xff'", "at line 2, column 6"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbfa = 1", "byte order mark"),
        ("a = 1".encode("utf-16"), "UTF-16"),
        ("a = 1".encode("utf-16-le"), "UTF-16"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_broken_file_is_named_with_the_place(
    write: Write, content: str | bytes, problem: str
) -> None:
    file = write(content)

    [error] = refused(file)

    assert str(file) in error.setting
    assert problem in error.problem


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    none = tmp_path / "none.toml"

    [missing], [directory] = refused(none), refused(tmp_path)
    [by_variable] = refused(environment={"CHIMEWAYD_CONFIG": str(none)})

    assert missing.problem == by_variable.problem == "does not exist"
    assert "directory" in directory.problem


def test_a_credentials_directory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    [error] = refused(environment={"CREDENTIALS_DIRECTORY": str(tmp_path / "none")})

    assert error.source == str(tmp_path / "none")


@pytest.mark.parametrize(
    "environment",
    [
        {"CHIMEWAYD_CONCURRENCY": SECRET},
        {"CHIMEWAYD_LEASE": SECRET},
        {"CHIMEWAYD_NAME": f"{SECRET} "},
        {"CHIMEWAYD_CHANNELS": SECRET},
        {"CHIMEWAYD_CHANNELS__EMAIL__TYPO": SECRET, "CHIMEWAYD_DNS": SECRET},
    ],
)
def test_no_value_is_ever_repeated(environment: dict[str, str]) -> None:
    assert not [error for error in refused(environment=environment) if SECRET in str(error)]


def test_a_call_must_end_well_within_the_lease(write: Write) -> None:
    [error] = refused(write(CHANNEL + 'timeout = "56s"\n'))

    assert error.setting.startswith("channels.email.timeout ")
    assert "lease of 1m" in error.problem
    assert load(write(CHANNEL + 'timeout = "55s"\n'), {}).channels


def test_a_schedule_gives_one_attempt_more_than_waits(write: Write) -> None:
    email = load(write(CHANNEL + 'retry.schedule = ["1s", "1m30s"]\n'), {}).channels["email"]

    assert email.retry.schedule == (timedelta(seconds=1), timedelta(seconds=90))
    assert email.retry.max_attempts == 3


def test_a_schedule_may_be_shorter_than_the_attempts_asked_for(write: Write) -> None:
    content = CHANNEL + 'retry.schedule = ["1s"]\nretry.max_attempts = 9\n'

    assert load(write(content), {}).channels["email"].retry.max_attempts == 9


@pytest.mark.parametrize(
    "value", ["lease = 60", "lease = 60.0", "lease = true", "lease = 07:32:00"]
)
def test_a_duration_without_a_unit_is_refused_with_the_way_to_write_it(
    write: Write, value: str
) -> None:
    [error] = refused(write(value))

    assert "unit" in error.problem
    assert "30s" in error.problem
