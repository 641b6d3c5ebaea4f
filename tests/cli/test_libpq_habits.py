"""What users of libpq are used to, on a real connection: `chimewayd status` finds its database."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from commands import chimewayd

pytestmark = pytest.mark.anyio


def place_of(dsn: str) -> dict[str, str]:
    """Take a DSN apart into libpq's parameters."""
    url = urlsplit(dsn)
    parts = {
        "host": url.hostname,
        "port": str(url.port) if url.port else None,
        "user": url.username,
        "password": url.password,
        "dbname": url.path[1:],
    }
    return {key: value for key, value in parts.items() if value} | dict(parse_qsl(url.query))


async def test_variables_of_libpq_name_the_database(dsn: str) -> None:
    names = {"dbname": "PGDATABASE"}
    environment = {names.get(k, f"PG{k.upper()}"): value for k, value in place_of(dsn).items()}

    ended = await chimewayd("status", "--json", environment=environment)

    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize("by", ["PGSERVICE", "dsn"])
async def test_service_names_the_database(dsn: str, tmp_path: Path, by: str) -> None:
    file = tmp_path / "services"
    lines = [f"{key}={value}" for key, value in place_of(dsn).items()]
    file.write_text("\n".join(["[prod]", *lines, ""]), "utf-8")
    environment = {"PGSERVICEFILE": str(file)}
    environment |= (
        {"PGSERVICE": "prod"}
        if by == "PGSERVICE"
        else {"CHIMEWAYD_DSN": "postgresql:///?service=prod"}
    )

    ended = await chimewayd("status", "--json", environment=environment)

    assert (ended.exit_code, ended.stderr) == (0, "")


async def test_parameters_of_libpq_in_the_dsn_are_taken(dsn: str) -> None:
    more = (
        "connect_timeout=3&keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3"
    )
    given = f"{dsn}{'&' if '?' in dsn else '?'}{more}"

    ended = await chimewayd("--dsn", given, "status", "--json")

    assert (ended.exit_code, ended.stderr) == (0, "")


async def test_variable_that_names_another_database_is_heeded(dsn: str) -> None:
    place = place_of(dsn) | {"dbname": "nowhere_at_all"}
    names = {"dbname": "PGDATABASE"}
    environment = {names.get(k, f"PG{k.upper()}"): value for k, value in place.items()}

    ended = await chimewayd("status", environment=environment)

    assert ended.exit_code == 69
    assert "nowhere_at_all" in ended.stderr
