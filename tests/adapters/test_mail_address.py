"""Addresses: exactly one, or refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chimewayd.adapters.mail_address import parse_address, parse_mailbox


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada+tag@Example.ORG", "Ada+tag@example.org"),
        ("a..b@docomo.example", "a..b@docomo.example"),
        ("root@localhost", "root@localhost"),
        ("ada@exämple.org", "ada@xn--exmple-cua.org"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("ädä@example.org", "ädä@example.org"),
    ],
)
def test_address_is_read(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b",
        "ada",
        "a@b, c@d",
        "a@b,c@d",
        "a@b;c@d",
        "Ada <a@b>",
        "<a@b>",
        "a b@c",
        '"a b"@c',
        "a@b@c",
        "group:a@b;",
        "a@b\r\nRCPT TO:<c@d>",
        "a@b\n",
        "a\0@b",
        "a@[127.0.0.1]",
        "a@b c",
        "a@b> SIZE=1",
        "a@-b.org",
        "a@b..org",
        "a@.org",
        ".a@b",
        "a.@b",
        "a\u2028@b",
        "a\u00a0@b",
        "a@b\u2028",
        "a@" + "b" * 64 + ".org",
        "a" * 65 + "@b.org",
        "a@" + ".".join(["b" * 60] * 5),
        "a(comment)@b.org",
        "a\\@b.org",
    ],
)
def test_address_that_is_not_exactly_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?:is|has|holds) ") as caught:
        parse_address(text)

    assert text not in str(caught.value) or len(text) < 3


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("ada@example.org", "", "ada@example.org"),
        (" <ada@example.org> ", "", "ada@example.org"),
        ("Ada  Lovelace <ada@example.org>", "Ada  Lovelace", "ada@example.org"),
        ('"Shop <best>" <shop@example.org>', "Shop <best>", "shop@example.org"),
        ('"a \\"b\\"" <a@b>', 'a "b"', "a@b"),
    ],
)
def test_mailbox_is_a_name_and_an_address(text: str, name: str, address: str) -> None:
    mailbox = parse_mailbox(text)

    assert (mailbox.name, str(mailbox.address)) == (name, address)


@pytest.mark.parametrize(
    "text", ["", "<a@b", "a@b>", "<a@b>, <c@d>", "a > <c@d>", "<<a@b>>", "<a@b> c", " " * 20_000]
)
def test_text_that_is_not_one_mailbox_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?:is|has|holds) "):
        parse_mailbox(text)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_one_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return

    assert str(address).count("@") == 1
    assert not set(str(address)) & set(' \r\n\t<>,;:"()[]\\\0')
    assert address.domain.isascii()
