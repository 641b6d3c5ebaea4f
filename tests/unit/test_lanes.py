"""What a call that ends says of the room there is."""

from hypothesis import given
from hypothesis import strategies as st

from chimewayd.lanes import Load


@given(
    limit=st.integers(1, 20),
    waits=st.booleans(),
    open_count=st.integers(1, 60),
    in_hand=st.integers(0, 100),
    expected=st.integers(0, 20),
)
def test_call_that_ends_says_once_that_it_is_time_to_refill(
    *, limit: int, waits: bool, open_count: int, in_hand: int, expected: int
) -> None:
    load = Load(limit)
    load.allow(limit, waits=waits)
    load.open, load.in_hand, load.expected = open_count, in_hand, expected
    was_low = load.is_low

    says_so = load.finish()

    assert says_so == (load.is_low and not was_low)
