"""The settings of a smtp channel: each mistake is named by its field, and its value is not told."""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from chimewayd.adapters import make
from chimewayd.adapters.smtp import SmtpAdapter
from chimewayd.adapters.smtp_settings import SmtpSettings
from chimewayd.errors import ConfigError, ConfigErrors

LONG = timedelta(seconds=10)
RIGHT: Mapping[str, object] = {"host": "mail.example.org", "from": "Shop <shop@example.org>"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": "c4nary host"}, "host"),
        ({"host": "c4nary\r\nhost"}, "host"),
        ({"host": ""}, "host"),
        ({"host": "c4nary..example"}, "host"),
        ({"host": "c4nary" * 11}, "host"),
        ({"from": "c4nary"}, "from"),
        ({"from": "a@example.org, c4nary@example.org"}, "from"),
        ({"from": "c4nary\r\nBcc: <a@example.org>"}, "from"),
        ({"reply_to": "c4nary@"}, "reply_to"),
        ({"envelope_from": "c4nary"}, "envelope_from"),
        ({"envelope_from": "{delivery_id}{delivery_id}@c4nary.org"}, "envelope_from"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": True}, "port"),
        ({"tls": "c4nary"}, "tls"),
        ({"tls": "none", "username": "a", "password": "c4nary"}, "tls"),
        ({"username": "c4nary"}, "password"),
        ({"password": "c4nary"}, "password"),
        ({"ca_file": "/c4nary"}, "ca_file"),
        ({"helo_name": "c4nary name"}, "helo_name"),
        ({"headers": {"Subject": "c4nary"}}, "headers"),
        ({"headers": {"Content-Type": "c4nary"}}, "headers"),
        ({"headers": {"X-A": "c4nary\nX-B: c"}}, "headers"),
        ({"headers": {"X A": "c4nary"}}, "headers"),
        ({"headers": {"X-A": "c4nary", "x-a": "c4nary"}}, "headers"),
        ({"allowed_headers": ["X-*-c4nary"]}, "allowed_headers"),
        ({"from_domains": ["c4nary@example.org"]}, "from_domains"),
        ({"message_id_domain": "c4nary domain"}, "message_id_domain"),
        ({"notify": ["c4nary"]}, "notify.0"),
        ({"max_attachments": -1}, "max_attachments"),
        ({"max_attachment_bytes": -1}, "max_attachment_bytes"),
        ({"connections": 0}, "connections"),
        ({"messages_per_connection": 0}, "messages_per_connection"),
        ({"connection_age": "0s"}, "connection_age"),
        ({"idle_timeout": "0s"}, "idle_timeout"),
        ({"connect_timeout": "c4nary"}, "connect_timeout"),
        ({"c4nary": 1}, "c4nary"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("email", "smtp", {**RIGHT, **settings}, LONG)

    assert caught.value.setting == f"channels.email.settings.{named}"
    assert named == "c4nary" or "c4nary" not in str(caught.value)


def test_missing_settings_are_named_as_they_are_written() -> None:
    with pytest.raises(ConfigErrors) as caught:
        make("email", "smtp", {}, LONG)

    named = {error.setting for error in caught.value.errors}
    assert named == {"channels.email.settings.host", "channels.email.settings.from"}


def test_misspelt_setting_is_answered_with_the_names_of_files() -> None:
    with pytest.raises(ConfigError) as caught:
        make("email", "smtp", {**RIGHT, "form": "c4nary"}, LONG)

    assert "did you mean 'from'?" in str(caught.value)


def test_authority_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("c4nary")

    with pytest.raises(ConfigError) as caught:
        make("email", "smtp", {**RIGHT, "ca_file": str(tmp_path / "ca.pem")}, LONG)

    assert caught.value.setting == "channels.email.settings.ca_file"


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("implicit", 465), ("none", 25)])
def test_port_is_the_usual_one_of_the_kind_of_tls(tls: str, port: int) -> None:
    assert SmtpSettings.model_validate({**RIGHT, "tls": tls}).relay_port == port


def test_certificate_and_name_are_checked_unless_said_otherwise(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings = {**RIGHT, "ca_file": str(tmp_path / "ca.pem")}

    checked = SmtpSettings.model_validate(settings).tls_context()
    unchecked = SmtpSettings.model_validate(settings | {"verify_tls": False}).tls_context()

    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert checked.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert unchecked.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_password_may_go_in_clear_text_to_this_host(host: str) -> None:
    login = {"tls": "none", "username": "shop", "password": "c4nary"}

    assert isinstance(make("email", "smtp", {**RIGHT, **login, "host": host}, LONG), SmtpAdapter)


def test_password_goes_in_clear_text_where_that_is_said() -> None:
    login = {"tls": "none", "username": "shop", "password": "c4nary", "allow_plaintext_auth": True}

    assert isinstance(make("email", "smtp", {**RIGHT, **login}, LONG), SmtpAdapter)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, []),
        ({"tls": "none"}, ["tls"]),
        ({"verify_tls": False}, ["verify_tls"]),
        (
            {"tls": "none", "username": "a", "password": "b", "allow_plaintext_auth": True},
            ["tls", "allow_plaintext_auth"],
        ),
        ({"tls": "none", "host": "localhost"}, []),
    ],
)
def test_danger_on_the_way_is_named(settings: Mapping[str, object], named: list[str]) -> None:
    dangers = SmtpSettings.model_validate({**RIGHT, **settings}).dangers()

    assert [setting for setting, _ in dangers] == named
