"""Sign a webhook as Standard Webhooks 1.0 says: over its id, its timestamp and its body.

    whsec_…   v1    HMAC-SHA256; the receiver knows the same secret
    whsk_…    v1a   ed25519; the receiver knows the public key, whpk_…

Source: Standard Webhooks 1.0, "Signature scheme" and "Verifying webhook authenticity".
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

HMAC_PREFIX = "whsec_"
ED25519_PREFIX = "whsk_"
SHORTEST_KEY_BYTES = 24
LONGEST_KEY_BYTES = 64
SEED_BYTES = 32

Signer: TypeAlias = Callable[[bytes], str]
"""Signs a content and returns version and signature, as in `v1,…`."""


def signer(secret: str) -> Signer:
    """Return what signs with a `whsec_…` or `whsk_…` secret.

    Raises:
        ValueError: it is no such secret, or the package that signs is missing; the message does
            not hold it.
    """
    if secret.startswith(HMAC_PREFIX):
        key = _decode(secret, HMAC_PREFIX)
        if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES:
            raise ValueError(
                f"its key is {len(key)} bytes long, not {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES}"
            )
        return partial(_sign_hmac, hmac.new(key, digestmod=hashlib.sha256))
    if secret.startswith(ED25519_PREFIX):
        return _ed25519(_decode(secret, ED25519_PREFIX))
    raise ValueError(f"it does not start with {HMAC_PREFIX} or {ED25519_PREFIX}")


def signature(signers: Iterable[Signer], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one signature a key, separated by spaces.

    `timestamp` is in seconds since the epoch, and the same as in `webhook-timestamp`.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(sign(content) for sign in signers)


def _sign_hmac(keyed: hmac.HMAC, content: bytes) -> str:
    # A copy of what has taken the key in costs half of beginning with the key.
    mac = keyed.copy()
    mac.update(content)
    return _signed("v1", mac.digest())


def _ed25519(key: bytes) -> Signer:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - an extra
            Ed25519PrivateKey,
        )
    except ModuleNotFoundError:
        raise ValueError(
            "it needs a package that is not installed: pip install 'chimewayd[ed25519]'"
        ) from None
    # Written as the seed alone, or with the public key behind it as other tools do.
    if len(key) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise ValueError(f"its key is {len(key)} bytes long, not {SEED_BYTES} or {2 * SEED_BYTES}")
    private = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES])
    if key[SEED_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError("its public half does not belong to its private half")
    return lambda content: _signed("v1a", private.sign(content))


def _decode(secret: str, prefix: str) -> bytes:
    encoded = secret.removeprefix(prefix).rstrip("=")
    padding = "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {prefix} is not base64") from None


def _signed(version: str, digest: bytes) -> str:
    return f"{version},{base64.b64encode(digest).decode()}"
