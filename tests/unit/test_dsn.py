"""DSNs: what is translated, what is dropped, what is refused, and what is never shown."""

import pytest

from chimewayd import dsn
from chimewayd.errors import ConfigError

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://user:pass%40word@db.example.org:5432/app",
        "postgres://h1:5432,h2:5433/app?target_session_attrs=read-write",
        "postgresql://[::1]:5432/app",
        "postgresql://%2Frun%2Fpostgresql/app",
        "postgresql:///app?search_path=a&options=-c%20b%3Dc",
    ],
)
def test_what_asyncpg_understands_is_left_as_it_is(url: str) -> None:
    assert dsn.parse(url, {}) == dsn.Target(url, dsn.CONNECT_TIMEOUT_SECONDS, ())


def test_pgservice_becomes_a_parameter() -> None:
    assert dsn.parse("postgresql://", {"PGSERVICE": "a b"}).dsn == "postgresql://?service=a%20b"


def test_a_service_in_the_dsn_wins_over_pgservice() -> None:
    url = "postgresql:///?service=mine"

    assert dsn.parse(url, {"PGSERVICE": "theirs"}).dsn == url


def test_connect_timeout_leaves_the_dsn_and_wins_over_the_environment() -> None:
    target = dsn.parse("postgresql://h/d?connect_timeout=5", {"PGCONNECT_TIMEOUT": "9"})

    assert target == dsn.Target("postgresql://h/d", 5.0, ())


def test_pgconnect_timeout_counts_where_the_dsn_says_nothing() -> None:
    assert dsn.parse("postgresql://h/d", {"PGCONNECT_TIMEOUT": "9"}).connect_timeout == 9.0


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "soon", "99999999999", "²"])
def test_a_connect_timeout_that_is_no_deadline_is_refused(seconds: str) -> None:
    with pytest.raises(ConfigError, match="connect_timeout"):
        dsn.parse(f"postgresql://h/d?connect_timeout={seconds}", {})


def test_parameters_that_only_libpq_knows_are_dropped_and_named() -> None:
    target = dsn.parse(
        "postgresql://h/d?keepalives_idle=9&channel_binding=require&application_name=x&sslsni=1", {}
    )

    assert target.dsn == "postgresql://h/d?application_name=x"
    assert target.dropped == ("channel_binding", "keepalives_idle", "sslsni")


@pytest.mark.parametrize("key", ["hostaddr", "requirepeer", "servicefile", "replication"])
def test_parameters_that_would_lead_elsewhere_are_refused_by_name(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        dsn.parse(f"postgresql://h/d?{key}=x", {})


def test_a_plus_sign_in_a_parameter_stays_a_plus_sign() -> None:
    assert dsn.parse("postgresql:///d?password=a+b", {}).dsn == "postgresql:///d?password=a%2Bb"


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"host=db.example.org dbname=app password={SECRET}",
        f"mysql://user:{SECRET}@h/d",
        f"postgresql://user:{SECRET}/x@h/d",
        f"postgresql://user:{SECRET}@x@h/d",
        f"postgresql://user:1/{SECRET}@h/d",
        f"postgresql://user:1#{SECRET}@h/d",
        f"postgresql://user:{SECRET}#x@h/d",
        f"postgresql://user:{SECRET}?x@h/d",
        f"postgresql://user:[{SECRET}@h/d",
        f"postgresql://user:{SECRET}@h:port/d",
        f"postgresql://user:{SECRET}@h/d\nx",
    ],
)
def test_what_is_no_url_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dsn.parse(text, {}, setting="listen_dsn")

    assert caught.value.setting == "listen_dsn"
    assert caught.value.allowed
    assert SECRET not in str(caught.value)
    assert dsn.describe(text) == "(unreadable dsn)"


def test_a_keyword_string_is_answered_with_the_url_form() -> None:
    with pytest.raises(ConfigError, match="postgresql://user:password@host:port/database"):
        dsn.parse("host=x dbname=y", {})


@pytest.mark.parametrize(
    ("url", "description"),
    [
        (f"postgresql://user:{SECRET}@h1:1,h2:2/app", "h1:1,h2:2/app"),
        (f"postgresql:///app?host=/run/pg&password={SECRET}", "/run/pg/app"),
        ("postgresql://%2Frun%2Fpg/app", "/run/pg/app"),
        ("postgresql://?service=prod", "service prod"),
        ("postgresql://", "(PGHOST)/(PGDATABASE)"),
    ],
)
def test_a_dsn_is_described_by_host_and_database(url: str, description: str) -> None:
    assert dsn.describe(url) == description


def test_a_target_does_not_show_its_dsn() -> None:
    assert SECRET not in repr(dsn.parse(f"postgresql://user:{SECRET}@h/d", {}))
