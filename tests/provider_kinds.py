"""A channel to each kind of provider that speaks HTTP, and a recipient that it takes."""

import json
from collections.abc import Mapping

from google_stand_in import service_account
from provider_canaries import ACCOUNT, PLANTED, WEBPUSH_KEY, WEBPUSH_POINT

SUBSCRIPTION = json.dumps(
    {
        "endpoint": "https://push.example.org/1",
        "keys": {"p256dh": WEBPUSH_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
    }
)
PROVIDERS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "slack": ({"token": PLANTED["slack"]}, "C0123"),
    "discord": ({"token": PLANTED["discord"]}, "123456789012345678"),
    "telegram": ({"token": PLANTED["telegram"]}, "42"),
    "twilio": (
        {"account_sid": ACCOUNT, "auth_token": PLANTED["twilio"], "sender": "+15005550006"},
        "+4915123456789",
    ),
    "teams": ({}, "https://teams.example.org/hook"),
    "webpush": (
        {"private_key": WEBPUSH_KEY, "subject": "mailto:ops@example.org"},
        SUBSCRIPTION,
    ),
    "fcm": ({"service_account": service_account("https://token.example.org/")}, "app-1:t0k"),
    "webhook": ({}, "https://hooks.example.org/"),
}
