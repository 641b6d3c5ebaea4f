"""The promises of the log adapter."""

import pytest

from chimewayd.testing import AdapterPromises, Target


class TestLog(AdapterPromises):
    kind = "log"

    @pytest.fixture
    def provider(self) -> Target:
        return Target()
