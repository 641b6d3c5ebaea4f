"""Addresses of the HTTP endpoint: what is read, what is refused, and who may reach them."""

from pathlib import Path

import pytest

from chimewayd.config import load
from chimewayd.errors import ConfigError
from chimewayd.http_address import of_member, parse


@pytest.mark.parametrize(
    ("text", "is_public"),
    [
        ("127.0.0.1:9464", False),
        ("127.8.0.1:0", False),
        ("[::1]:9464", False),
        ("unix:/run/chimewayd/http", False),
        ("0.0.0.0:9464", True),
        ("[::]:9464", True),
        ("10.0.0.7:9464", True),
        ("[2001:db8::1]:9464", True),
        ("[::ffff:a00:7]:80", True),
    ],
)
def test_address_is_read_and_known_for_public_or_not(text: str, is_public: bool) -> None:
    address = parse(text)

    assert str(address) == text
    assert address.is_public is is_public


def test_localhost_is_this_machine() -> None:
    assert str(parse("localhost:9464")) == "127.0.0.1:9464"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("65536", "has a port above 65535"),
        (":99999", "has a port above 65535"),
        (":", "must be an address and a port"),
        ("::9464", "must be an address and a port"),
        ("*:9464", "must be an IP address"),
        ("-1", "must be an address and a port"),
        ("94 64", "must be an address and a port"),
        ("9464\n", "must be an address and a port"),
        ("946400", "must be an address and a port"),
        ("٩٤٦٤", "must be an address and a port"),
        ("127.0.0.1", "must be an address and a port"),
        ("127.0.0.1:", "must be an address and a port"),
        ("127.0.0.1:-1", "must be an address and a port"),
        ("::1:9464", "must be an address and a port"),
        ("", "must be an address and a port"),
        ("127.0.0.1:65536", "has a port above 65535"),
        ("db.example.org:9464", "must be an IP address"),
        ("127.1:9464", "must be an IP address"),
        ("[127.0.0.1.]:9464", "must be an IP address"),
        ("unix:http", "must name a file by its whole path"),
        ("unix:/run/", "must name a file by its whole path"),
        ("unix:/" + "x" * 120, "has a path of more than"),
    ],
)
def test_what_is_no_address_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(text)


@pytest.mark.parametrize(
    ("written", "port"),
    [("9464", 9464), ('"9464"', 9464), ('":9464"', 9464), ("0x24F8", 9464), ("0", 0), ('":0"', 0)],
)
def test_port_alone_is_this_machines(tmp_path: Path, written: str, port: int) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"http_listen = {written}\n")

    address = load(file, {}).http_listen

    assert str(address) == f"127.0.0.1:{port}"
    assert address is not None
    assert not address.is_public


@pytest.mark.parametrize("variable", ["9464", ":9464"])
def test_port_alone_in_the_environment_is_this_machines(variable: str) -> None:
    settings = load(environment={"CHIMEWAYD_HTTP_LISTEN": variable})

    assert str(settings.http_listen) == "127.0.0.1:9464"


def test_port_alone_is_public_in_no_process() -> None:
    alone = [parse(f"{colon}{port}") for port in range(0, 65535, 257) for colon in ("", ":")]

    assert not [str(address) for address in alone if address.is_public]
    assert not [str(address) for address in alone if of_member(address, 2).is_public]


@pytest.mark.parametrize("written", ["true", "9464.0", "-1", "65536", "[9464]"])
def test_what_is_no_port_is_refused(tmp_path: Path, written: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"http_listen = {written}\n")

    with pytest.raises(ConfigError, match=r"^http_listen .*(must be an address|above 65535)"):
        load(file, {})


@pytest.mark.parametrize(
    ("text", "third"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9466"),
        (":9464", "127.0.0.1:9466"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/run/chimewayd/http", "unix:/run/chimewayd/http-3"),
        ("unix:/run/chimewayd/http.sock", "unix:/run/chimewayd/http-3.sock"),
    ],
)
def test_each_of_several_processes_has_an_address_of_its_own(text: str, third: str) -> None:
    assert str(of_member(parse(text), 3)) == third


def test_process_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no port for process 3"):
        of_member(parse("127.0.0.1:65534"), 3)


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464"])
def test_public_address_wants_a_token(address: str) -> None:
    public = {"CHIMEWAYD_HTTP_LISTEN": address}
    token = {"CHIMEWAYD_HTTP_TOKEN": "a-token-that-nobody-guesses"}

    with pytest.raises(ConfigError, match="no http_token is set"):
        load(environment=public)
    assert load(environment=public | token).http_listen == parse(address)


def test_token_that_somebody_may_guess_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 characters or more") as refused:
        load(environment={"CHIMEWAYD_HTTP_TOKEN": "letmein"})
    assert "letmein" not in str(refused.value)
