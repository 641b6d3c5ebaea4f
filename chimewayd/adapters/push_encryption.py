"""Encrypt a push message for one subscription, and say who sends it.

    ephemeral key, subscription's key ─▶ shared secret ─▶ with its auth secret: key and nonce
    salt ‖ record size ‖ ephemeral public key ‖ AES-GCM(message ‖ 2)

Source: RFC 8291 (encryption), RFC 8188 section 2.1 (aes128gcm), RFC 8292 (VAPID).
"""

import base64
import struct

import orjson

try:
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "it needs a package that is not installed: pip install 'chimewayd[webpush]'",
        name="cryptography",
    ) from error

AUTH_BYTES = 16
SALT_BYTES = 16
PRIVATE_KEY_BYTES = 32
RECORD_BYTES = 4096
_POINT_BYTES = 65
_HEADER_BYTES = SALT_BYTES + 4 + 1 + _POINT_BYTES
_TAG_AND_DELIMITER_BYTES = 17
MESSAGE_LIMIT_BYTES = RECORD_BYTES - _HEADER_BYTES - _TAG_AND_DELIMITER_BYTES
"""All that a push service has to take is 4096 bytes, encrypted (RFC 8030 section 7.2)."""
_LAST_RECORD = b"\x02"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key for one message."""
    return ec.generate_private_key(ec.SECP256R1())


def encrypt(
    message: bytes,
    subscriber: bytes,
    auth: bytes,
    *,
    salt: bytes,
    ephemeral: ec.EllipticCurvePrivateKey,
) -> bytes:
    """Return the body; `subscriber` is the subscription's p256dh, a point of P-256.

    Raises:
        ValueError: `subscriber` is no such point.
    """
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), subscriber)
    ours = public_point(ephemeral)
    shared = ephemeral.exchange(ec.ECDH(), theirs)
    secret = _derive(shared, auth, b"WebPush: info\0" + subscriber + ours, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + struct.pack("!IB", RECORD_BYTES, len(ours)) + ours
    return header + AESGCM(key).encrypt(nonce, message + _LAST_RECORD, None)


def vapid(private: ec.EllipticCurvePrivateKey, origin: str, subject: str, expires_at: int) -> str:
    """Return the Authorization header for a push service; `expires_at` in seconds of Unix time."""
    head = _encoded(orjson.dumps({"typ": "JWT", "alg": "ES256"}))
    claims = _encoded(orjson.dumps({"aud": origin, "exp": expires_at, "sub": subject}))
    signed = f"{head}.{claims}"
    r, s = utils.decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(SHA256())))
    raw = r.to_bytes(PRIVATE_KEY_BYTES, "big") + s.to_bytes(PRIVATE_KEY_BYTES, "big")
    return f"vapid t={signed}.{_encoded(raw)}, k={_encoded(public_point(private))}"


def private_key(encoded: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key of P-256 in base64url, as tools for VAPID write it.

    Raises:
        ValueError: it is no such key; the message does not hold it.
    """
    raw = decoded(encoded)
    if len(raw) != PRIVATE_KEY_BYTES:
        raise ValueError(f"has {len(raw)} bytes, not {PRIVATE_KEY_BYTES}")
    try:
        return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    except ValueError:
        raise ValueError("is no key of P-256") from None


def public_point(private: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public half as an uncompressed point."""
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def decoded(encoded: str) -> bytes:
    """Decode base64url, with padding or without.

    Raises:
        ValueError: it is none.
    """
    text = encoded.rstrip("=")
    if not text.isascii() or not text.replace("-", "").replace("_", "").isalnum():
        raise ValueError("is not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
