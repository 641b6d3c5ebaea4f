"""A stand-in for Google: a token endpoint that checks what a service account signed."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from chimewayd.adapters import make
from chimewayd.adapters.base import Adapter
from chimewayd.testing.receiver import HERE, Answer, Receiver, receiver

EMAIL = "sender@shop-1.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def private_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def service_account(token_uri: str, **changes: object) -> str:
    """Return the JSON of a key, as Google hands it out."""
    pem = private_key().private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    document = {
        "type": "service_account",
        "project_id": "shop-1",
        "private_key_id": "4f2c",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "token_uri": token_uri,
    }
    return json.dumps(document | changes)


class TokenEndpoint(Receiver):
    """Gives a new token to whoever signed rightly; `answers` come first."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []
        self.lasts_seconds = 3600.0
        self.claims: list[dict[str, Any]] = []
        self.pattern = "token-{}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        said = await super().answer(request)
        if said.status != web.HTTPOk.status_code:
            return said
        fields = parse_qs(self.requests[-1].body.decode())
        assert fields["grant_type"] == [GRANT]
        self.claims.append(self._verified(fields["assertion"][0]))
        self.tokens.append(self.pattern.format(len(self.tokens) + 1))
        return web.json_response(
            {
                "access_token": self.tokens[-1],
                "expires_in": self.lasts_seconds,
                "token_type": "Bearer",
            }
        )

    def _verified(self, assertion: str) -> dict[str, Any]:
        signed, _, signature = assertion.rpartition(".")
        head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        private_key().public_key().verify(
            _decoded(signature), signed.encode(), PKCS1v15(), SHA256()
        )
        assert head == {"alg": "RS256", "typ": "JWT", "kid": "4f2c"}
        assert claims["iss"] == EMAIL
        assert claims["aud"] == f"{self.url}/token"
        assert claims["iat"] <= time.time() < claims["exp"] <= claims["iat"] + 3600
        found: dict[str, Any] = claims
        return found


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    async with receiver(hooks=endpoint):
        yield endpoint


def fcm(tokens: TokenEndpoint, hooks: Receiver, timeout: timedelta) -> Adapter:
    """Return a channel between a token endpoint and an API of our own."""
    account = service_account(f"{tokens.url}/token")
    settings = {**HERE, "service_account": account, "base_url": hooks.url}
    return make("push", "fcm", settings, timeout)


def answer(status: int, document: object) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
