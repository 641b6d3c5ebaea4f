"""The promises of the exec adapter."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lifeline import Lifeline

from chimewayd.models import Bounced, Misconfigured, Permanent, Succeeded, Temporary, Unavailable
from chimewayd.testing import CANARY, Provider, ProviderPromises


class CommandProvider(Provider):
    """A script that notes what it is given; an answer is an exit status."""

    def __init__(self, script: Callable[[str], str], lifeline: Lifeline, folder: Path) -> None:
        self._write = script
        self._lifeline = lifeline
        self._seen = folder / "seen"
        self._said = folder / "said"
        self._answer = folder / "answer"
        self.settings = {"command": [script("")], "environment": {"TOKEN": CANARY}}
        self.answer(0)

    def answer(self, answer: int) -> None:
        self._write(f"cat >> {self._seen}; exit {answer}")

    def say(self, text: str) -> None:
        self._said.write_text(text)
        self._answer.write_text(json.dumps({"detail": text, "provider_message_id": text}))
        self._write(f"cat >> {self._seen}; cat {self._said} >&2; cat {self._answer}; exit 75")

    def hang(self) -> None:
        self._write(f"exec 9>{self._lifeline.path}; sleep 600 & echo here >&9; sleep 600")

    async def called(self) -> None:
        assert await self._lifeline.line() == "here"

    async def left_alone(self) -> None:
        await self._lifeline.end()

    def keys(self) -> list[str]:
        calls = self._seen.read_text().splitlines()
        return [json.loads(call)["delivery_id"] for call in calls]


class TestExec(ProviderPromises):
    kind = "exec"
    answers = (
        (0, Succeeded),
        (64, Permanent),
        (67, Bounced),
        (75, Temporary),
        (78, Misconfigured),
        (69, Unavailable),
        (1, Temporary),
    )

    @pytest.fixture
    def provider(
        self, script: Callable[[str], str], lifeline: Lifeline, tmp_path: Path
    ) -> Provider:
        return CommandProvider(script, lifeline, tmp_path)
