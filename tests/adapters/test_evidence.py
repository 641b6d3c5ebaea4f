"""What is kept of a provider's words: without our secrets, however it spells them."""

import pytest

from chimewayd.adapters.evidence import clean, secret_words

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
