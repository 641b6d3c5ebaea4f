"""The fake that tests of the stages use is held to the same, as far as it calls nobody."""

from datetime import timedelta

import pytest
from stage import Scripted, scripted, succeed

from chimewayd.testing import AdapterPromises, Target, promises


class TestScripted(AdapterPromises):
    kind = "the tests' fake"

    def adapter(self, target: Target, timeout: timedelta = promises.LONG) -> Scripted:  # noqa: ARG002 - the suite's
        return scripted(succeed)

    @pytest.fixture
    def provider(self) -> Target:
        return Target()
