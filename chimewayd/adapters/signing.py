"""Sign a webhook as Standard Webhooks 1.0 says: HMAC-SHA256 over id, timestamp and body.

Source: Standard Webhooks 1.0, "Signature scheme" and "Verifying webhook authenticity".
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of each secret, no secret itself
SHORTEST_KEY_BYTES = 24
LONGEST_KEY_BYTES = 64


def signing_key(secret: str) -> bytes:
    """Decode a `whsec_…` secret to its key.

    Raises:
        ValueError: it is no such secret; the message does not hold it.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"it does not start with {SECRET_PREFIX}")
    encoded = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    padding = "=" * (-len(encoded) % 4)
    try:
        key = base64.b64decode(encoded + padding, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {SECRET_PREFIX} is not base64") from None
    if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES:
        raise ValueError(
            f"its key is {len(key)} bytes long, not {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES}"
        )
    return key


def signature(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one signature a key, separated by spaces.

    `timestamp` is in seconds since the epoch, and the same as in `webhook-timestamp`.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
