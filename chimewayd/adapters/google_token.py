"""Get and keep the access token of a Google service account.

    key ─▶ signed claims ─▶ token_uri ─▶ access token ─▶ kept until shortly before its end
                              │
               one call at a time; who waited meanwhile takes its answer, good or bad

Shortly before the end one caller renews while the others go on with the token they have, and if
that fails, so does the one: only a token that has ended makes anybody wait.

Source: RFC 7523 section 2.1 (the grant), RFC 7519 (JWT), RFC 6749 section 5 (answers).
"""

import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, TypeGuard
from urllib.parse import urlencode

import anyio
import orjson
from yarl import URL

try:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "it needs a package that is not installed: pip install 'chimewayd[fcm]'",
        name="cryptography",
    ) from error

from chimewayd.adapters.evidence import DETAIL_LIMIT_BYTES, clean
from chimewayd.adapters.http_call import Answer
from chimewayd.adapters.http_outcome import describe
from chimewayd.adapters.messaging import find
from chimewayd.models import Misconfigured, Outcome, Unavailable

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLAIMS_SECONDS = 3600
"""Google takes no longer ones."""
_RENEW_BEFORE_SECONDS = 300.0
_TRY_AGAIN_SECONDS = 30.0
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

Post = Callable[[URL, bytes, Mapping[str, str], timedelta], Awaitable[Answer | Outcome]]
"""Makes one request within a time, or says how it ended without an answer."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The key file of a service account, as far as it is needed."""

    project_id: str
    client_email: str
    key_id: str
    private_key: RSAPrivateKey
    token_uri: URL

    @classmethod
    def read(cls, text: str) -> "ServiceAccount":
        """Read the JSON that Google hands out.

        Raises:
            ValueError: it is no such key; the message does not hold any of it.
        """
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError("is not the JSON of a service account's key") from None
        names = ("project_id", "client_email", "private_key_id", "private_key", "token_uri")
        values = [find(document, name) or "" for name in names]
        if "" in values:
            missing = [name for name, value in zip(names, values, strict=True) if not value]
            raise ValueError(f"is no key of a service account: it has no {', '.join(missing)}")
        project_id, client_email, key_id, pem, token_uri = values
        return cls(project_id, client_email, key_id, _rsa(pem), _web_address(token_uri))

    def assertion(self, scope: str, now: int) -> str:
        """Return signed claims that ask for a token; `now` in seconds of Unix time."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {
            "iss": self.client_email,
            "scope": scope,
            "aud": str(self.token_uri),
            "iat": now,
            "exp": now + _CLAIMS_SECONDS,
        }
        signed = f"{_encoded(orjson.dumps(head))}.{_encoded(orjson.dumps(claims))}"
        return f"{signed}.{_encoded(self.private_key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


@dataclass(slots=True, eq=False)
class AccessToken:
    """One token, and what is known of it; compared by identity."""

    value: str
    ends_at: float
    """Monotonic clock, seconds."""
    was_accepted: bool = False
    """Whether the provider took it at least once."""


class TokenStore:
    """The token of one channel."""

    def __init__(self, account: ServiceAccount, scope: str, post: Post) -> None:
        self._account = account
        self._scope = scope
        self._post = post
        self._token: AccessToken | None = None
        self._renew_at = 0.0
        self._lock = anyio.Lock()
        self._calls = 0
        self._failure: Outcome | None = None

    async def get(self, within: timedelta) -> AccessToken | Outcome:
        """Return a token that is good now, or why there is none: a fault of ours."""
        now = time.monotonic()
        token = self._token if self._token and self._token.ends_at > now else None
        if token and (now < self._renew_at or self._lock.locked()):
            return token
        if token is None:
            # One that has ended is of no use, whatever comes of the call.
            self._token = None
        calls, ends_at = self._calls, now + within.total_seconds()
        with anyio.move_on_after(within.total_seconds()):
            async with self._lock:
                if calls == self._calls:
                    await self._call(timedelta(seconds=ends_at - time.monotonic()))
                return self._token or token or self._failure or self._late()
        return token or self._late()

    def drop(self, token: AccessToken) -> None:
        """Forget a token that was refused, unless there is a newer one already."""
        if self._token is token:
            self._token = None

    async def _call(self, within: timedelta) -> None:
        assertion = self._account.assertion(self._scope, int(time.time()))
        form = {"grant_type": GRANT, "assertion": assertion}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        asked_at = time.monotonic()
        # However this ends, and if it is cut: the very next delivery need not wait for it again.
        self._renew_at = asked_at + _TRY_AGAIN_SECONDS
        answer = await self._post(
            self._account.token_uri, urlencode(form).encode(), headers, within
        )
        self._calls += 1
        found = self._read(answer, asked_at, assertion)
        if isinstance(found, AccessToken):
            self._token, self._failure = found, None
            lasts = found.ends_at - asked_at
            self._renew_at = found.ends_at - min(_RENEW_BEFORE_SECONDS, lasts / 10)
        else:
            self._failure = found

    def _read(
        self, answer: Answer | Outcome, asked_at: float, assertion: str
    ) -> AccessToken | Outcome:
        if isinstance(answer, Misconfigured):
            return answer
        if isinstance(answer, Outcome):
            # However it ended, no message has left.
            return Unavailable(detail=answer.detail or f"{self._where()}: no answer")
        document = _document(answer.body)
        detail = f"{self._where()}: {describe(answer.status)}: no token"
        if answer.status == HTTPStatus.OK:
            value, lasts = document.get("access_token"), document.get("expires_in")
            if _is_header_text(value) and isinstance(lasts, int | float) and lasts > 0:
                return AccessToken(value, asked_at + float(lasts))
            return Unavailable(detail=detail, status_code=answer.status)
        said = [document.get(name) for name in ("error", "error_description")]
        detail = ": ".join([detail, *(text for text in said if isinstance(text, str))])
        is_refusal = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        kind = Misconfigured if is_refusal and answer.status not in _PASSING else Unavailable
        return kind(
            detail=clean(detail, [assertion], limit_bytes=DETAIL_LIMIT_BYTES),
            status_code=answer.status,
        )

    def _late(self) -> Outcome:
        return Unavailable(detail=f"{self._where()}: no answer in time")

    def _where(self) -> str:
        return self._account.token_uri.authority


def _rsa(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("holds a private_key that cannot be read") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("holds a private_key that is none of RSA")  # noqa: TRY004 - data
    return key


def _web_address(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise ValueError("holds a token_uri that is no http or https URL")
    return url


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _is_header_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
