"""What a person finds in a terminal, with the fewest keys: each question with a most of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tui.recording import screen_of
from tui.terminal import Terminal, terminal

RUN = """
import sys
from msgspec.structs import replace
from agentdash.tui.app import run_dashboard
from tui import fleet_scenarios, operators, scenarios
from tui.test_tasks import PAGE
fleet = replace(fleet_scenarios.over_budget(), attached=True)
feed = scenarios.FakeFeed(fleet)
feed.before = tuple(
    replace(fleet, sequence=fleet.sequence - ago, at=fleet.at - ago) for ago in range(360, 0, -1)
)
operator = operators.FakeOperator()
operator.found = PAGE
operator.stands(fleet_scenarios.PAUSE)
operator.changes = operators.some_changes()
sys.exit(
    run_dashboard(
        feed,
        clock=scenarios.FixedClock(),
        on_ready=lambda: None,
        engine_error=lambda: None,
        operator=operator,
    )
)
"""


_FITTED = "import os; from agentdash.output import fit_terminal; fit_terminal(os.environ)"


@contextmanager
def walk(size: tuple[int, int], term: str = "xterm-256color") -> Iterator[Walk]:
    with terminal(_FITTED + RUN, size=size, environment={"TERM": term}) as seen:
        walker = Walk(seen, size)
        walker.finds(">globex/canary")
        yield walker


class Walk:
    """A person before a screen."""

    def __init__(self, seen: Terminal, size: tuple[int, int]) -> None:
        self._seen = seen
        self._screen, self._stream = screen_of(size)
        self._fed = 0

    @property
    def lines(self) -> list[str]:
        return list(self._screen.display)

    @property
    def written(self) -> bytes:
        return self._seen.output

    def press(self, keys: str) -> None:
        self._seen.type(keys.encode())

    def finds(self, pattern: str) -> None:
        def is_shown(output: bytes) -> bool:
            text = output.decode("utf-8", "ignore")
            self._stream.feed(re.sub(r"\x1b\[[<>=][0-9;]*[a-zA-Z]", "", text[self._fed :]))
            self._fed = len(text)
            return re.search(pattern, "\n".join(self._screen.display)) is not None

        try:
            self._seen.read_until(is_shown)
        except AssertionError as error:
            raise AssertionError("\n".join((str(error), *self._screen.display))) from None


# what is pressed, and what is seen then; a yes counts as soon as the question can be read
_LONGEST = (("wL\x0b", r"cancel normal-1\? y/N +esc leaves"), ("y", "normal-1 is cancelled"))
QUESTIONS = {
    "the pool in most trouble, and why": (1, [("d", r"globex/canary +!! blind since")]),
    "the task that has waited longest, cancelled": (5, _LONGEST),
    "what a tenant spent today by model": (3, [("$j", r"used today(?s:.)*opus .* 0\.64 USD")]),
    "the model that its provider refuses": (1, [("m", r">[^ ]+ +!!(?s:.)*refused")]),
    "what stands, and who asked": (1, [("i", r"what stands now \[[1-9](?s:.)*(ann|mara)@")]),
    "five minutes ago": (6, [("{" * 5, r"PAST 2026-03-02 11:59:4\dZ, 5m0\ds ago")]),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=["80x24", "160x45"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_person_finds_it_with_few_keys(question: str, size: tuple[int, int]) -> None:
    most, steps = QUESTIONS[question]
    assert sum(len(keys) for keys, _ in steps) <= most
    with walk(size) as walker:
        for keys, sight in steps:
            walker.press(keys)
            walker.finds(sight)


@pytest.mark.timeout(120)
def test_on_a_dumb_terminal_it_is_drawn_as_large_as_that_is_in_few_colours_and_goes_on() -> None:
    with walk((90, 30), "dumb") as walker:
        walker.press("d")
        walker.finds(r"overview > pool")
        assert "overview > pool" in walker.lines[29]
        assert b"38;2;" not in walker.written
