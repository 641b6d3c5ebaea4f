"""What of a recipient people see."""

import pytest

from chimewayd.cli.recipient import shown

KEY = "canary0123456789abcdefghij"


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("ada@example.org", "ada@example.org"),
        ("+4915123456789", "+4915123456789"),
        ("https://hooks.example.org/orders/new", "https://hooks.example.org/orders/new"),
        (
            f"https://hooks.slack.com/services/T0/B0/{KEY}",
            "https://hooks.slack.com/services/T0/B0/***",
        ),
        (f"https://discord.com/api/webhooks/123/{KEY}", "https://discord.com/api/webhooks/123/***"),
        (f"https://h.example/invoke?sig={KEY}&v=1", "https://h.example/invoke?***"),
        (f"https://h.example?sig={KEY}", "https://h.example?***"),
        (f"https://me:{KEY}@h.example/x", "https://***@h.example/x"),
        (f"https://h.example/x#{KEY}", "https://h.example/x?***"),
        (
            f'{{"endpoint": "https://push.example.org/{KEY}", "keys": {{"auth": "a"}}}}',
            '{"endpoint": "https://push.example.org/***", "keys": {"auth": "a"}}',
        ),
    ],
)
def test_key_in_an_address_is_struck_out_and_the_rest_is_not(recipient: str, expected: str) -> None:
    assert shown(recipient) == expected
