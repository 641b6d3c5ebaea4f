"""The settings that every adapter has that speaks HTTP, and the TLS context that they make."""

import base64
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from yarl import URL

from chimewayd.adapters.address_guard import Network, refuse_opening
from chimewayd.adapters.base import AdapterSettings
from chimewayd.durations import Duration


class HttpSettings(AdapterSettings):
    """What holds for each HTTP request of a channel."""

    connect_timeout: Duration = Field(
        default=timedelta(seconds=5), gt=timedelta(), description="a duration above zero, as in 5s"
    )
    first_byte_timeout: Duration | None = Field(
        default=None, gt=timedelta(), description="a duration above zero, as in 10s"
    )
    allow_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="internal networks that may be called all the same, as in 10.1.0.0/16",
    )
    proxy: SecretStr | None = Field(
        default=None, description="http:// or https://, user and password if wanted, host and port"
    )
    ca_file: Path | None = Field(
        default=None, description="a file of certificates in PEM that are trusted and no others"
    )
    client_key: Path | None = Field(
        default=None, description="a file with the private key in PEM, without a passphrase"
    )
    client_certificate: Path | None = Field(
        default=None,
        validate_default=True,
        description="a file with the certificate in PEM, then its chain",
    )
    verify_tls: bool = Field(
        default=True, description="false accepts any certificate: for a test system only"
    )

    @field_validator("allow_networks")
    @classmethod
    def _open_internal_networks(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        for network in networks:
            refuse_opening(network)
        return networks

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None:
            try:
                url = URL(proxy.get_secret_value())
            except ValueError:
                raise ValueError("is not a valid URL") from None
            if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/"):
                raise ValueError("is not the URL of an HTTP proxy")
            # Refused with the first request otherwise, and then each recipient would be at fault.
            if ":" in (url.user or "") or not _login(url):
                raise ValueError("has a user or a password that HTTP cannot carry")
        return proxy

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, file: Path | None) -> Path | None:
        if file is not None:
            _trust(file)
        return file

    @field_validator("client_certificate")
    @classmethod
    def _has_its_key(cls, certificate: Path | None, info: ValidationInfo) -> Path | None:
        key = info.data.get("client_key")
        if certificate is not None:
            _identify(ssl.create_default_context(), certificate, key)
        elif key is not None:
            raise ValueError("is missing beside client_key")
        return certificate

    def dangers(self) -> Iterator[tuple[str, str]]:
        if not self.verify_tls:
            yield "verify_tls", "no certificate is checked: anybody on the way can read and answer"

    def proxy_secrets(self) -> tuple[str, ...]:
        """List what the proxy is told and nobody else may be."""
        return () if self.proxy is None else login_secrets(URL(self.proxy.get_secret_value()))

    def tls(self) -> ssl.SSLContext | bool:
        """Return what aiohttp takes as `ssl`; True is its own context, shared by all sessions."""
        if self.verify_tls and self.ca_file is None and self.client_certificate is None:
            return True
        context = ssl.create_default_context() if self.ca_file is None else _trust(self.ca_file)
        if self.client_certificate is not None:
            _identify(context, self.client_certificate, self.client_key)
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def login_secrets(url: URL) -> tuple[str, ...]:
    """List an address's password in each form in which it goes there, which may repeat it."""
    if url.password is None or url.raw_password is None:
        return ()
    return (url.password, url.raw_password, base64.b64encode(_login(url)).decode())


def _login(url: URL) -> bytes:
    """Return user and password as they are sent, which is in Latin-1; empty: they cannot be."""
    try:
        return f"{url.user or ''}:{url.password or ''}".encode("latin-1")
    except UnicodeEncodeError:
        return b""


def _trust(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        raise ValueError("names a file that holds no certificate in PEM") from None
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None


def _identify(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError:
        raise ValueError(
            "names no certificate in PEM, or client_key not its key, or that has a passphrase"
        ) from None
    except OSError as error:
        raise ValueError(
            f"or client_key names a file that cannot be read: {error.strerror}"
        ) from None
