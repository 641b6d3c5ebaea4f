"""What an exit status and the last line mean: plain decisions against tables."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimewayd.adapters.exit_outcome import LONGEST_RETRY_AFTER, Answer, judge, read_answer
from chimewayd.models import (
    Bounced,
    Misconfigured,
    Outcome,
    Permanent,
    Succeeded,
    Temporary,
    Unavailable,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0, Succeeded),
        (64, Permanent),
        (65, Permanent),
        (66, Permanent),
        (67, Bounced),
        (68, Bounced),
        (69, Unavailable),
        (70, Temporary),
        (71, Temporary),
        (72, Temporary),
        (73, Temporary),
        (74, Temporary),
        (75, Temporary),
        (76, Temporary),
        (77, Misconfigured),
        (78, Misconfigured),
        (126, Misconfigured),
        (127, Misconfigured),
        (1, Temporary),
        (2, Temporary),
        (255, Temporary),
        (-9, Temporary),
    ],
)
def test_each_exit_status_has_its_meaning(status: int, kind: type[Outcome]) -> None:
    outcome = judge(status, b"", "said")

    assert type(outcome) is kind
    assert outcome.response == "said"


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (b"", Answer()),
        (b"done\n", Answer()),
        (b"[1]\n", Answer()),
        (b'{"detail": "a"}\nbye\n', Answer()),
        (b'{"provider_message_id": 5, "retry_after": "7", "detail": {}}', Answer()),
        (b'{"retry_after": -1}', Answer()),
        (b'{"retry_after": true}', Answer()),
        (b'{"retry_after": 1e400}', Answer()),
        (b'{"retry_after": 1e300}', Answer(retry_after=LONGEST_RETRY_AFTER)),
        (b'{"retry_after": 0}', Answer(retry_after=timedelta())),
        (b'{"detail": "a\\u0000b"}', Answer(detail="a b")),
        (b'{"detail": "\\ud800"}', Answer()),
        (b'{"detail": "' + b"x" * 9000 + b'"}', Answer(detail="x" * 500)),
        (b'{"provider_message_id": "' + b"x" * 9000 + b'"}', Answer("x" * 255)),
        (b"\xff\xfe{", Answer()),
    ],
)
def test_answer_is_read_as_far_as_it_is_well_said(output: bytes, answer: Answer) -> None:
    assert read_answer(output) == answer


@given(st.binary(max_size=200))
def test_reading_an_answer_never_raises(output: bytes) -> None:
    assert isinstance(read_answer(output), Answer)
