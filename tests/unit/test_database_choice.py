"""Which Postgres the tests use."""

import socket
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import databases
import pytest
from databases import ChoiceError, Source

DSN = "postgresql://postgres@localhost/postgres"


def choose(environment: Mapping[str, str], *, docker: bool = False) -> Source:
    return databases.choose(environment, lambda _host: docker)


@pytest.mark.parametrize(
    ("environment", "docker", "expected"),
    [
        ({"CHIMEWAYD_TEST_DSN": DSN}, True, Source.DSN),
        ({"CHIMEWAYD_TEST_DSN": ""}, True, Source.DOCKER),
        ({}, True, Source.DOCKER),
        ({}, False, Source.EMBEDDED),
        ({"CHIMEWAYD_TEST_PG": "auto"}, False, Source.EMBEDDED),
    ],
)
def test_auto_prefers_a_dsn_then_docker_then_the_embedded_server(
    environment: dict[str, str], docker: bool, expected: Source
) -> None:
    assert choose(environment, docker=docker) is expected


@pytest.mark.parametrize("source", list(Source))
def test_a_forced_choice_wins_over_what_auto_would_take(source: Source) -> None:
    environment = {"CHIMEWAYD_TEST_PG": source.value, "CHIMEWAYD_TEST_DSN": DSN}

    assert choose(environment, docker=True) is source


def test_forced_dsn_without_a_dsn_is_refused() -> None:
    with pytest.raises(ChoiceError, match="CHIMEWAYD_TEST_DSN is not set"):
        choose({"CHIMEWAYD_TEST_PG": "dsn"}, docker=True)


def test_forced_docker_without_an_engine_is_refused_and_names_the_address() -> None:
    environment = {"CHIMEWAYD_TEST_PG": "docker", "DOCKER_HOST": "tcp://127.0.0.1:1"}

    with pytest.raises(ChoiceError, match=r"no engine answers at tcp://127\.0\.0\.1:1"):
        choose(environment, docker=False)


def test_an_unknown_choice_is_refused_and_names_the_known_ones() -> None:
    with pytest.raises(ChoiceError, match="=podman: unknown; allowed: auto, dsn, docker, embedded"):
        choose({"CHIMEWAYD_TEST_PG": "podman"}, docker=True)


def test_the_version_is_a_number_or_refused() -> None:
    assert databases.wanted_version({}) is None
    assert databases.wanted_version({"CHIMEWAYD_TEST_PG_VERSION": "16"}) == 16
    with pytest.raises(ChoiceError, match="CHIMEWAYD_TEST_PG_VERSION=new: not a major version"):
        databases.wanted_version({"CHIMEWAYD_TEST_PG_VERSION": "new"})


@pytest.mark.parametrize(("answer", "alive"), [(b"200 OK", True), (b"503 Unavailable", False)])
def test_an_engine_is_one_that_answers_its_socket_with_200(
    tmp_path: Path, answer: bytes, alive: bool
) -> None:
    def engine(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(1024)
            client.sendall(b"HTTP/1.0 " + answer + b"\r\n\r\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        listener.settimeout(10)
        thread = Thread(target=engine, args=[listener])
        thread.start()

        heard = databases.docker_answers(f"unix://{tmp_path}/docker.sock")

        thread.join()
    assert heard is alive


def test_a_socket_that_is_not_there_is_no_engine(tmp_path: Path) -> None:
    assert not databases.docker_answers(f"unix://{tmp_path}/docker.sock")


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://ada:pw@db:5433/postgres", "postgresql://ada:pw@db:5433/clone"),
        (
            "postgresql://ada@/postgres?host=/tmp/x&port=1",
            "postgresql://ada@/clone?host=/tmp/x&port=1",
        ),
        ("postgresql:///postgres?host=/tmp/x", "postgresql:///clone?host=/tmp/x"),
        ("postgresql://ada@db", "postgresql://ada@db/clone"),
    ],
)
def test_another_database_of_the_same_server_keeps_the_rest_of_the_dsn(
    dsn: str, expected: str
) -> None:
    assert databases.with_database(dsn, "clone") == expected
