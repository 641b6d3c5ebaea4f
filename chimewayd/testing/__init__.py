"""The test kit for adapters, ours and yours: one suite of promises for all of them.

    from chimewayd.testing import CANARY, Provider, ProviderPromises

    class Loft(Provider): …                          the far side, in the hands of the suite

    class TestPigeon(ProviderPromises):              pytest collects what the class inherits
        kind = "pigeon"
        answers = (("accepted", Succeeded), ("full", Temporary), ("moved", Bounced))

        @pytest.fixture
        async def provider(self) -> AsyncIterator[Provider]: …

`AdapterPromises` is the part that also holds for an adapter that calls nobody.
It needs pytest, which the daemon does not; `pytest -p chimewayd.testing.table` prints what was
shown, a row an adapter and a column a promise.
"""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "chimewayd.testing needs pytest, which is not installed: pip install pytest", name="pytest"
    ) from error

# Before the import: a failed assert of the suite then shows its values, as in a test file.
pytest.register_assert_rewrite("chimewayd.testing.promises")

from chimewayd.testing.promises import AdapterPromises, ProviderPromises  # noqa: E402 - see above
from chimewayd.testing.provider import (  # noqa: E402 - see above
    CANARY,
    Promise,
    Provider,
    Target,
    ordinary_delivery,
)

__all__ = [
    "CANARY",
    "AdapterPromises",
    "Promise",
    "Provider",
    "ProviderPromises",
    "Target",
    "ordinary_delivery",
]
