"""A smtp channel to a relay of the tests, and deliveries that are mails."""

import json
from datetime import timedelta

from chimewayd.adapters import make
from chimewayd.adapters.base import Adapter
from chimewayd.models import Delivery

LONG = timedelta(seconds=20)


def smtp(port: int, deadline: timedelta = LONG, **settings: object) -> Adapter:
    """Make the adapter of a channel that goes to this port without TLS, or as `settings` say."""
    usual = {"host": "localhost", "port": port, "tls": "none", "from": "Shop <shop@example.org>"}
    return make("email", "smtp", {**usual, **settings}, deadline)


def mail_to(delivery: Delivery, recipient: str = "ada@example.org", **payload: object) -> Delivery:
    """Make it a delivery of a mail."""
    payload = {"subject": "Hi", "text": "Hello"} | payload
    return delivery._replace(recipient=recipient, payload_json=json.dumps(payload))
