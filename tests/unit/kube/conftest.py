"""The recorded answers of a real API server, and a clock that stands still."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kubernetes"


class HandClock:
    """A clock that a test moves; `now` is in Unix seconds, `monotonic` counts from zero."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.wall = now
        self.passed = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.passed

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds


class Recorded:
    """The recorded steps, by file and name."""

    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (file.stem, step)
            for file in sorted(FIXTURES.glob("*.json"))
            for step in json.loads(file.read_text())
        ]

    def answer(self, file: str, step: str) -> dict[str, Any]:
        found = json.loads((FIXTURES / f"{file}.json").read_text())
        return next(known["response"] for known in found if known["step"] == step)

    def body(self, file: str, step: str) -> bytes:
        return json.dumps(self.answer(file, step)["body"]).encode()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
