"""What is kept of a provider's words: without our secrets, however it spells them."""

import pytest

from chimewayd.adapters.evidence import clean, secret_words, without_recipient
from chimewayd.models import Bounced, Succeeded

SECRET = 'Basic c4n"ary/se+cret=='


@pytest.mark.parametrize(
    "spelt",
    [
        'c4n"ary/se+cret==',
        r"c4n\"ary/se+cret==",
        r"c4n\"ary\/se+cret==",
        r"c4n\u0022ary/se\u002Bcret==",
    ],
    ids=["as it is", "JSON", "PHP", ".NET"],
)
def test_secret_is_struck_out_as_writers_of_json_spell_it(spelt: str) -> None:
    said = clean(f'{{"you said": "Basic {spelt}"}}', secret_words([SECRET]))

    assert said == '{"you said": "[redacted]"}'


@pytest.mark.parametrize(
    ("recipient", "said", "kept"),
    [
        ("ada@example.org", "<Ada@Example.org>: unknown", "<[redacted]>: unknown"),
        ("https://a.example/b", r'{"to": "https:\/\/a.example\/b"}', '{"to": "[redacted]"}'),
        ("ada@example.org", "no such mailbox", "no such mailbox"),
        ("42", "error 42", "error 42"),
    ],
    ids=["in other letters", "as JSON of PHP", "not repeated", "too short to be told from others"],
)
def test_recipient_is_struck_out_of_what_an_outcome_says(
    recipient: str, said: str, kept: str
) -> None:
    outcome = without_recipient(Bounced(detail=said, response=said, status_code=550), recipient)

    assert outcome == Bounced(detail=kept, response=kept, status_code=550)


@pytest.mark.parametrize("returned", [Succeeded(), None, "ada@example.org"])
def test_what_says_nothing_or_is_no_outcome_stays_as_it_is(returned: object) -> None:
    assert without_recipient(returned, "ada@example.org") is returned
