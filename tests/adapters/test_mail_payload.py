"""Payloads of mails: what is wrong is named by its field."""

import pytest

from chimewayd.adapters.mail_payload import parse_payload


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ('{"text": "x"}', "payload.subject: is missing"),
        ('{"subject": "x"}', "payload: needs text"),
        ('{"subject": 1, "text": "x"}', "payload.subject: must be"),
        ('{"subject": "x", "text": 1}', "payload.text: must be"),
        ('{"subject": "a\\r\\nBcc: b@c", "text": "x"}', "payload.subject: holds a control"),
        ('{"subject": "a\\u2028b", "text": "x"}', "payload.subject: holds a control"),
        ('{"subject": "a", "text": "\\u0000"}', "payload.text: holds a NUL"),
        ('{"subject": "a", "text": "x", "cc": "b@c"}', "payload.cc: is no field of a mail"),
        ('{"subject": "a", "text": "x", "from": "c4nary"}', "payload.from: is not an address"),
        ('{"subject": "a", "text": "x", "from": "a@b\\r\\nX: c4nary"}', "payload.from: holds"),
        ('{"subject": "a", "text": "x", "reply_to": "a@b, c4nary@d"}', "payload.reply_to: is not"),
        (f'{{"subject": "a", "text": "x", "from": "{"c4nary" * 70}"}}', "payload.from: String"),
        ('{"subject": "a", "text": "x", "headers": []}', "payload.headers: must be"),
        ('{"subject": "a", "text": "x", "unsubscribe": {}}', "payload.unsubscribe: needs"),
        (
            '{"subject": "a", "text": "x", "unsubscribe": {"url": "http://c4nary"}}',
            "payload.unsubscribe.url: must be an https URL",
        ),
        (
            '{"subject": "a", "text": "x", "unsubscribe": {"url": "https://a>,<b"}}',
            "payload.unsubscribe.url: must be an https URL",
        ),
        (
            '{"subject": "a", "text": "x", "unsubscribe": {"mailto": "a@b?x=>c4nary"}}',
            "payload.unsubscribe.mailto: must be an address",
        ),
        ("[]", "payload: must be"),
        ("c4nary", "payload: Invalid JSON"),
    ],
)
def test_wrong_field_is_named_without_its_value(payload: str, field: str) -> None:
    with pytest.raises(ValueError, match=r"^payload") as caught:
        parse_payload(payload)

    assert str(caught.value).startswith(field)
    assert "c4nary" not in str(caught.value)
