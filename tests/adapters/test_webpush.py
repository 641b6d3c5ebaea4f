"""Web push: the RFCs' own example, and a stand-in for a browser that decrypts what arrives."""

import base64
import json
import struct
import time
from collections.abc import Mapping
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chimewayd.adapters import make
from chimewayd.adapters.push_encryption import (
    MESSAGE_LIMIT_BYTES,
    decoded,
    encrypt,
    private_key,
    public_point,
)
from chimewayd.errors import ConfigError
from chimewayd.models import Delivery, Outcome, Permanent, Succeeded
from chimewayd.testing.receiver import HERE, Received, Receiver, receiver

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=10)
# RFC 8291, section 5 and appendix A.
MESSAGE = b"When I grow up, I want to be a watermelon"
BROWSER = private_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
BROWSER_PUBLIC = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
EPHEMERAL = private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = decoded("DGv6ra1nlYgDCS1FRnbzlw")
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6"
    "TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulc"
    "y4a-fN"
)
SETTINGS = {
    "private_key": base64.urlsafe_b64encode(bytes(range(1, 33))).decode(),
    "subject": "mailto:ops@example.org",
}


def subscription(endpoint: str, **keys: object) -> str:
    return json.dumps(
        {"endpoint": endpoint, "keys": {"p256dh": BROWSER_PUBLIC, "auth": AUTH} | keys}
    )


def decrypted(body: bytes) -> bytes:
    """Decrypt as a browser does: written from RFC 8188 and 8291, apart from what encrypts."""
    salt, (size, length) = body[:16], struct.unpack("!IB", body[16:21])
    server, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(body) <= size == 4096
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), server)
    shared = BROWSER.exchange(ec.ECDH(), point)
    info = b"WebPush: info\0" + decoded(BROWSER_PUBLIC) + server
    secret = HKDF(SHA256(), 32, decoded(AUTH), info).derive(shared)
    key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
    record = AESGCM(key).decrypt(nonce, sealed, None)
    return record.rstrip(b"\0").removesuffix(b"\x02")


async def attempt(
    delivery: Delivery,
    hooks: Receiver,
    payload_json: str = '{"title": "Hi"}',
    keys: Mapping[str, object] | None = None,
) -> Outcome:
    async with make("push", "webpush", {**HERE, **SETTINGS}, LONG) as adapter:
        recipient = subscription(hooks.url + "/push/abc", **(keys or {}))
        return await adapter.deliver(
            delivery._replace(recipient=recipient, payload_json=payload_json)
        )


def test_encryption_gives_the_rfcs_own_example() -> None:
    body = encrypt(MESSAGE, decoded(BROWSER_PUBLIC), decoded(AUTH), salt=SALT, ephemeral=EPHEMERAL)

    assert body == decoded(BODY)
    assert decrypted(body) == MESSAGE


async def test_browser_reads_the_payload_as_it_is_stored(delivery: Delivery) -> None:
    payload = '{"b":1,  "title": "ü"}'

    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, payload)

    assert isinstance(outcome, Succeeded)
    (request,) = hooks.requests
    assert decrypted(request.body) == payload.encode()
    assert request.headers["Content-Encoding"] == "aes128gcm"
    assert request.headers["TTL"] == "86400"
    assert request.headers["Urgency"] == "normal"
    assert 0 < len(request.headers["Topic"]) <= 32


async def test_two_messages_share_no_key_and_no_salt(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await attempt(delivery, hooks)
        await attempt(delivery, hooks)

    first, second = (request.body for request in hooks.requests)
    assert first[:16] != second[:16]
    assert first[21:86] != second[21:86]
    assert hooks.requests[0].headers["Topic"] == hooks.requests[1].headers["Topic"]


async def test_service_can_check_who_sends(delivery: Delivery) -> None:
    async with receiver() as hooks:
        await attempt(delivery, hooks)

    claims = verified(hooks.requests[0])
    assert claims["aud"] == hooks.url
    assert claims["sub"] == "mailto:ops@example.org"
    assert 0 < float(claims["exp"]) - time.time() <= 86_400


def verified(request: Received) -> Mapping[str, float | str]:
    """Check the token as a push service does (RFC 8292); return its claims."""
    scheme, _, parameters = request.headers["Authorization"].partition(" ")
    token, key = (part.split("=", 1)[1] for part in parameters.split(", "))
    signed, _, encoded = token.rpartition(".")
    raw = decoded(encoded)
    numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(key))
    public.verify(utils.encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(SHA256()))
    assert scheme == "vapid"
    assert decoded(key) == public_point(private_key(SETTINGS["private_key"]))
    claims: Mapping[str, float | str] = json.loads(decoded(signed.split(".")[1]))
    return claims


async def test_longest_payload_is_sent_and_a_longer_one_is_not(delivery: Delivery) -> None:
    fits = '{"a":"' + "x" * (MESSAGE_LIMIT_BYTES - 8) + '"}'

    async with receiver() as hooks:
        sent = await attempt(delivery, hooks, fits)
        refused = await attempt(delivery, hooks, fits + " ")

    assert isinstance(sent, Succeeded)
    assert isinstance(refused, Permanent)
    assert [len(request.body) for request in hooks.requests] == [4096]


@pytest.mark.parametrize(
    "keys",
    [
        {"p256dh": None},
        {"p256dh": "c4nary!"},
        {"p256dh": base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode()},
        {"p256dh": "BA"},
        {"auth": 5},
        {"auth": "c4naryc4nary"},
    ],
)
async def test_subscription_with_a_bad_key_is_permanent_and_not_sent(
    delivery: Delivery, keys: Mapping[str, object]
) -> None:
    async with receiver() as hooks:
        outcome = await attempt(delivery, hooks, keys=keys)

    assert isinstance(outcome, Permanent)
    assert "c4nary" not in repr(outcome)
    assert hooks.requests == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"subject": "mailto:a@b.example"}, "private_key"),
        ({**SETTINGS, "private_key": "c4nary"}, "private_key"),
        ({**SETTINGS, "private_key": "A" * 43}, "private_key"),
        ({**SETTINGS, "subject": "c4nary"}, "subject"),
        ({**SETTINGS, "ttl": "29d"}, "ttl"),
        ({**SETTINGS, "urgency": "c4nary"}, "urgency"),
    ],
)
def test_wrong_setting_is_named_without_its_value(
    settings: Mapping[str, object], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("push", "webpush", settings, LONG)

    assert caught.value.setting == f"channels.push.settings.{named}"
    assert caught.value.allowed
    assert "c4nary" not in str(caught.value)
