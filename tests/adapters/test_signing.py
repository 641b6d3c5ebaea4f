"""Signatures of webhooks, checked with somebody else's code, and when a secret signs."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook, WebhookVerificationError

from chimewayd.adapters import make
from chimewayd.adapters.signing import signature, signer
from chimewayd.adapters.webhook import DatedSecret, WebhookAdapter, WebhookSettings
from chimewayd.models import Delivery, Misconfigured, Succeeded
from chimewayd.testing.receiver import HERE, Received, receiver

pytestmark = pytest.mark.anyio

NEW = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no le").decode()
OLD = "whsec_" + base64.b64encode(bytes(range(24))).decode()
LONG = timedelta(seconds=10)
LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=1)


def verifies(secret: str, request: Received) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


async def received(delivery: Delivery, **settings: object) -> Received:
    async with receiver() as hooks, make("hooks", "webhook", {**HERE, **settings}, LONG) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=hooks.url))

    assert isinstance(outcome, Succeeded)
    return hooks.requests[0]


async def test_request_is_signed_with_each_secret_that_has_not_expired(delivery: Delivery) -> None:
    request = await received(delivery, secret=NEW, secrets=[{"secret": OLD, "expires_at": LATER}])

    assert verifies(NEW, request)
    assert verifies(OLD, request)


async def test_secret_that_has_expired_signs_no_more(delivery: Delivery) -> None:
    old = {"secret": OLD, "expires_at": LONG_AGO}

    request = await received(delivery, secrets=[old, {"secret": NEW}])

    assert verifies(NEW, request)
    assert not verifies(OLD, request)


async def test_nothing_is_sent_unsigned_when_the_last_secret_has_expired(
    delivery: Delivery,
) -> None:
    # Valid when the daemon started, which the settings themselves insist on.
    old = DatedSecret.model_validate({"secret": OLD, "expires_at": LONG_AGO})
    settings = WebhookSettings.model_validate(HERE).model_copy(update={"secrets": (old,)})

    async with receiver() as hooks, WebhookAdapter(settings, LONG) as adapter:
        outcome = await adapter.deliver(delivery._replace(recipient=hooks.url))

    assert isinstance(outcome, Misconfigured)
    assert hooks.requests == []


@pytest.mark.parametrize("form", ["seed", "seed and public key"])
async def test_ed25519_signature_is_verified_with_the_public_key(
    delivery: Delivery, form: str
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = private.public_key()
    key = bytes(range(32)) + (b"" if form == "seed" else public.public_bytes_raw())

    request = await received(delivery, secret="whsk_" + base64.b64encode(key).decode())

    version, _, encoded = request.headers["webhook-signature"].partition(",")
    timestamp = request.headers["webhook-timestamp"]
    content = f"{delivery.delivery_id}.{timestamp}.".encode() + request.body
    assert version == "v1a"
    public.verify(base64.b64decode(encoded), content)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(encoded), content + b" ")


def test_several_keys_give_several_signatures() -> None:
    signers = (signer(NEW), signer(OLD), signer("whsk_" + base64.b64encode(bytes(32)).decode()))

    all_of_them = signature(signers, "id", 1, b"{}")

    assert all_of_them.split(" ") == [signature([one], "id", 1, b"{}") for one in signers]
    assert [one.partition(",")[0] for one in all_of_them.split(" ")] == ["v1", "v1", "v1a"]
