"""DSNs: what is translated, what is dropped, what is refused, and what is never shown."""

from pathlib import Path

import pytest

from chimewayd import dsn
from chimewayd.errors import ConfigError
from chimewayd.target import SessionAttrs, SocketOptions

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://user:pass%40word@db.example.org:5432/app",
        "postgresql://user:50%25off@db.example.org:5432/app",
        "postgres://h1:5432,h2:5433/app?target_session_attrs=read-write",
        "postgresql://[::1]:5432/app",
        "postgresql://%2Frun%2Fpostgresql/app",
        "postgresql:///app?search_path=a&options=-c%20b%3Dc",
    ],
)
def test_what_asyncpg_understands_is_left_as_it_is(url: str) -> None:
    target = dsn.parse(url, {})

    assert (target.dsn, target.dropped) == (url, ())
    assert target.connect_timeout == dsn.CONNECT_TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("url", "environment", "places"),
    [
        ("postgresql://h1/d", {}, ["h1:5432"]),
        ("postgresql://h1/d", {"PGPORT": "6000", "PGHOST": "no"}, ["h1:6000"]),
        ("postgresql://h1:1,h2:2/d", {}, ["h1:1", "h2:2"]),
        ("postgresql://h1,h2:2/d", {"PGPORT": "6000"}, ["h1:5432", "h2:2"]),
        ("postgresql://h1:1/d?host=h2&port=3", {}, ["h2:3"]),
        ("postgresql:///d?host=h1,h2&port=7", {}, ["h1:7", "h2:7"]),
        ("postgresql:///d?host=/run/a,/run/b&port=1,2", {}, ["/run/a:1", "/run/b:2"]),
        ("postgresql://%2Frun%2Fa,[::1]:2/d", {}, ["/run/a:5432", "[::1]:2"]),
        ("postgresql:///d", {"PGHOST": "h1,h2", "PGPORT": "1,2"}, ["h1:1", "h2:2"]),
        ("postgresql:///d", {"PGPORT": "7"}, [f"{host}:7" for host in dsn.DEFAULT_HOSTS]),
    ],
)
def test_hosts_and_ports_are_paired_as_libpq_does(
    url: str, environment: dict[str, str], places: list[str]
) -> None:
    assert [str(place) for place in dsn.parse(url, environment).places] == places


@pytest.mark.parametrize("query", ["host=a,b,c&port=1,2", "host=a&port=0", "host=a&port=x"])
def test_ports_that_do_not_fit_are_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="port"):
        dsn.parse(f"postgresql:///d?{query}", {})


@pytest.mark.parametrize(
    ("url", "environment", "wanted"),
    [
        ("postgresql://h1/d", {}, SessionAttrs.ANY),
        ("postgresql:///d", {}, SessionAttrs.ANY),
        ("postgresql://h1,h2/d", {}, SessionAttrs.READ_WRITE),
        ("postgresql://h1,h2/d?target_session_attrs=any", {}, SessionAttrs.ANY),
        ("postgresql://h1/d", {"PGTARGETSESSIONATTRS": "standby"}, SessionAttrs.STANDBY),
    ],
)
def test_of_several_hosts_the_one_that_takes_writes_is_wanted(
    url: str, environment: dict[str, str], wanted: SessionAttrs
) -> None:
    assert dsn.parse(url, environment).session_attrs is wanted


def test_an_unknown_kind_of_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="prefer-standby"):
        dsn.parse("postgresql://h/d?target_session_attrs=master", {})


def test_socket_options_are_taken_out_of_the_dsn_and_have_defaults() -> None:
    target = dsn.parse("postgresql://h/d?keepalives=0&keepalives_idle=9&tcp_user_timeout=700", {})

    assert target.dsn == "postgresql://h/d"
    assert target.socket_options == SocketOptions(
        keepalives=0, keepalives_idle=9, tcp_user_timeout=700
    )


def test_a_socket_option_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="keepalives_count"):
        dsn.parse("postgresql://h/d?keepalives_count=many", {})


def test_a_service_fills_in_what_the_dsn_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text(
        "# ours\n[other]\nhost=no\n\n[mine]\nhost=h1,h2\nport=1,2\ndbname=app\n"
        "user=u\npassword=50%=x\nconnect_timeout=3\nkeepalives_idle=8\nsslsni=0\n"
    )

    target = dsn.parse(
        "postgresql://?user=me", {"PGSERVICE": "mine", "PGSERVICEFILE": str(file), "PGHOST": "no"}
    )

    assert target.dsn == "postgresql://?user=me&dbname=app&password=50%25%3Dx"
    assert [str(place) for place in target.places] == ["h1:1", "h2:2"]
    assert target.connect_timeout == 3
    assert target.socket_options.keepalives_idle == 8
    assert target.dropped == ("sslsni",)


def test_a_service_in_the_dsn_wins_over_pgservice_and_is_found_at_home(tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text("[mine]\nhost=h1\n[theirs]\nhost=h2\n")

    target = dsn.parse(
        "postgresql:///?service=mine", {"PGSERVICE": "theirs", "HOME": str(tmp_path)}
    )

    assert [place.host for place in target.places] == ["h1"]


def test_a_service_may_be_the_systems(tmp_path: Path) -> None:
    (tmp_path / "pg_service.conf").write_text("[mine]\nhost=h1\n")

    target = dsn.parse("postgresql:///?service=mine", {"PGSYSCONFDIR": str(tmp_path)})

    assert [place.host for place in target.places] == ["h1"]


def test_an_unknown_service_is_refused_with_the_file_that_was_read(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[other]\n")

    with pytest.raises(ConfigError, match=f"service mine is not in {file}"):
        dsn.parse("postgresql://", {"PGSERVICE": "mine", "PGSERVICEFILE": str(file)})


def test_a_service_file_that_is_none_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text(f"password={SECRET}\n")

    with pytest.raises(ConfigError, match=str(file)) as caught:
        dsn.parse("postgresql:///?service=mine", {"PGSERVICEFILE": str(file)})

    assert SECRET not in str(caught.value)


def test_an_address_beside_the_host_is_refused_in_the_environment_too() -> None:
    with pytest.raises(ConfigError, match="PGHOSTADDR"):
        dsn.parse("postgresql://h/d", {"PGHOSTADDR": "192.0.2.1"})


def test_pgoptions_counts_where_the_dsn_says_nothing() -> None:
    environment = {"PGOPTIONS": "-c a=b"}

    assert dsn.parse("postgresql://h/d", environment).dsn == "postgresql://h/d?options=-c%20a%3Db"
    assert dsn.parse("postgresql://h/d?options=x", environment).dsn == "postgresql://h/d?options=x"


def test_connect_timeout_leaves_the_dsn_and_wins_over_the_environment() -> None:
    target = dsn.parse("postgresql://h/d?connect_timeout=5", {"PGCONNECT_TIMEOUT": "9"})

    assert (target.dsn, target.connect_timeout) == ("postgresql://h/d", 5.0)


def test_pgconnect_timeout_counts_where_the_dsn_says_nothing() -> None:
    assert dsn.parse("postgresql://h/d", {"PGCONNECT_TIMEOUT": "9"}).connect_timeout == 9.0


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "soon", "99999999999", "²"])
def test_a_connect_timeout_that_is_no_deadline_is_refused(seconds: str) -> None:
    with pytest.raises(ConfigError, match="connect_timeout"):
        dsn.parse(f"postgresql://h/d?connect_timeout={seconds}", {})


def test_parameters_that_only_libpq_knows_are_dropped_and_named() -> None:
    target = dsn.parse("postgresql://h/d?channel_binding=require&application_name=x&sslsni=1", {})

    assert target.dsn == "postgresql://h/d?application_name=x"
    assert target.dropped == ("channel_binding", "sslsni")


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
