"""The values that travel: what an adapter of somebody else may make of them."""

from typing import Any

import pytest

from chimewayd.models import Outcome, OutcomeKind, Temporary, kind_of


def outcome_class(base: type[Outcome], **named: Any) -> type[Outcome]:
    return type("Own", (base,), named)


@pytest.mark.parametrize("kind", ["weird", "lost", None, 5])
def test_outcome_of_a_kind_that_there_is_not_is_refused_where_it_is_defined(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"Own.kind is .*, which is no OutcomeKind"):
        outcome_class(Outcome, kind=kind)


def test_outcome_of_an_adapters_own_has_the_kind_that_it_names_or_inherits() -> None:
    bounced = outcome_class(Outcome, kind=OutcomeKind.BOUNCED)

    assert kind_of(bounced()) is OutcomeKind.BOUNCED
    assert kind_of(outcome_class(Temporary)()) is OutcomeKind.TEMPORARY
