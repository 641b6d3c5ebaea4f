"""How long a claim is ours, on our own clock."""

from deliveries import deliveries

from chimewayd.leases import Leases


def test_call_fits_only_if_it_ends_within_the_lease() -> None:
    leases = Leases(25)
    leases.begin(deliveries(1, claim_id=1), sent_at=100)

    assert leases.fits(1, now=110, call_seconds=15)
    assert not leases.fits(1, now=110.5, call_seconds=15)


def test_call_of_a_claim_that_is_not_ours_never_fits() -> None:
    leases = Leases(60)

    assert not leases.fits(1, now=0.5, call_seconds=0.1)


def test_claim_of_nothing_is_no_lease() -> None:
    leases = Leases(60)

    leases.begin([], sent_at=100)

    assert leases.claim_ids == []


def test_extended_lease_counts_from_when_the_heartbeat_was_sent() -> None:
    leases = Leases(10)
    leases.begin(deliveries(1, claim_id=1), sent_at=100)

    leases.extend([1], sent_at=105)

    assert leases.fits(1, now=115, call_seconds=0)
    assert not leases.fits(1, now=115.5, call_seconds=0)


def test_we_are_heard_before_the_first_claim_and_until_heartbeats_stay_out() -> None:
    leases = Leases(60)
    said = [leases.is_heard(now=1_000)]

    leases.begin([], sent_at=1_000)
    said += [leases.is_heard(now=1_015), leases.is_heard(now=1_015.5)]
    leases.extend([], sent_at=1_020)

    assert [*said, leases.is_heard(now=1_021)] == [True, True, False, True]


def test_nothing_begins_when_we_were_almost_silent_for_too_long() -> None:
    leases = Leases(60)
    leases.begin(deliveries(1, claim_id=1), sent_at=100)
    assert leases.fits(1, now=115, call_seconds=1)
    assert not leases.fits(1, now=115.5, call_seconds=1)

    leases.extend([1], sent_at=110)
    leases.begin(deliveries(1, claim_id=2), sent_at=124)

    assert leases.fits(2, now=125, call_seconds=1)
    assert not leases.fits(2, now=125.5, call_seconds=1)


def test_heartbeat_does_not_bring_back_a_lease_that_ended() -> None:
    leases = Leases(60)
    leases.begin(deliveries(1, claim_id=1), sent_at=100)
    leases.leave(deliveries(1, claim_id=1))

    leases.extend([1], sent_at=130)

    assert leases.claim_ids == []
    assert not leases.fits(1, now=130, call_seconds=0)


def test_lease_is_kept_until_the_last_delivery_of_the_claim_leaves() -> None:
    leases = Leases(60)
    leases.begin(deliveries(2, claim_id=1), sent_at=100)
    leases.begin(deliveries(1, claim_id=2), sent_at=100)

    leases.leave(deliveries(1, claim_id=1))
    assert leases.claim_ids == [1, 2]

    leases.leave(deliveries(1, claim_id=1))
    assert leases.claim_ids == [2]


def test_drop_tells_which_leases_we_thought_were_ours() -> None:
    leases = Leases(60)
    leases.begin(deliveries(2, claim_id=1), sent_at=100)

    assert leases.drop([1, 5]) == [1]
    assert leases.drop([1]) == []


def test_call_of_a_dropped_lease_does_not_fit() -> None:
    leases = Leases(60)
    leases.begin(deliveries(2, claim_id=1), sent_at=100)

    leases.drop([1])

    assert not leases.fits(1, now=101, call_seconds=1)


def test_last_delivery_of_a_dropped_lease_may_still_leave() -> None:
    leases = Leases(60)
    leases.begin(deliveries(1, claim_id=1), sent_at=100)
    leases.drop([1])

    leases.leave(deliveries(1, claim_id=1))

    assert leases.claim_ids == []


def test_moment_of_a_claim_is_forgotten_with_it() -> None:
    leases = Leases(60)
    recorded, lost = deliveries(1, claim_id=1), deliveries(1, claim_id=2)
    leases.begin(recorded, sent_at=100)
    leases.begin(lost, sent_at=200)
    assert leases.claimed_at == {1: 100, 2: 200}

    leases.leave(recorded)
    leases.drop([2])

    assert leases.claimed_at == {}


def test_lease_that_ran_out_is_told_until_it_is_extended_or_left() -> None:
    leases = Leases(60.0)
    held = deliveries(2, claim_id=7)
    leases.begin(held, sent_at=100.0)

    assert not leases.has_ended(159.0)
    assert leases.has_ended(160.0)
    leases.extend([7], sent_at=170.0)
    assert not leases.has_ended(171.0)
    leases.leave(held)
    assert not leases.has_ended(1000.0)
