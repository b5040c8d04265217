"""How many bytes the dashboard sends to its terminal: in a pty of 160x45, in true colour, from one
sight on the screen to the next. No time is measured: a second goes by when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tui.all_views import VIEWS
from tui.counted import Counted, counted
from tui.paced import CHANGED

IDLE, TICK, CONFIRM, CHANGE, PALETTE = 60, 1_200, 3_000, 9_000, 6_000
NAMES = tuple(view.name for view in VIEWS)
SECONDS = 5
SYNCHRONIZED = b"\x1b[?2026h"
# each waits for many sights of a process; the machine may be busy with others
pytestmark = pytest.mark.timeout(300)

Gates = Callable[[str, float, int], None]


@contextmanager
def gates() -> Iterator[Gates]:
    """Prints every figure; at the end none may be above its most, or be nothing at all."""
    found: dict[str, tuple[float, int]] = {}

    def note(name: str, figure: float, most: int) -> None:
        found[name] = (figure, most)
        print(f"{name}: {figure:.0f} B, at most {most}")

    yield note
    assert not {name: each for name, each in found.items() if not 0 < each[0] <= each[1]}


def open_view(seen: Counted, view: str) -> int:
    """Go to a view by its name; the bytes from the enter that opens it."""
    type_line(seen, view)
    # what is typed, and beside it the names that it may become
    seen.wait(lambda screen: line_at(screen, -2).count(view) > 1)
    if view == "overview":
        return seen.cost("\r", without="overview > ")
    return seen.cost("\r", f"overview > {view}")


def type_line(seen: Counted, text: str) -> None:
    seen.press(f":{text}")
    seen.wait(lambda screen: f":{text}" in line_at(screen, -2))
    seen.tick()


def line_at(screen: str, number: int) -> str:
    return screen.splitlines()[number]


@pytest.mark.parametrize("changed", [0, CHANGED])
def test_a_second_in_every_view(tmp_path: Path, changed: int) -> None:
    """With 0 changes that of an idle fleet, with 10 that of a tick with 10 changed cells."""
    with gates() as gate, counted(tmp_path, changed=changed) as seen:
        for view in NAMES:
            if view != "overview":
                open_view(seen, view)
            gate(f"{view}, {changed} changes", seen.ticks(SECONDS), TICK if changed else IDLE)
        assert SYNCHRONIZED in seen.output


def test_a_change_of_view_there_and_back(tmp_path: Path) -> None:
    with gates() as gate, counted(tmp_path) as seen:
        for view in NAMES:
            if view == "overview":
                open_view(seen, "pools")
                gate("to overview", open_view(seen, view), CHANGE)
                continue
            gate(f"to {view}", open_view(seen, view), CHANGE)
            gate(f"back from {view}", seen.cost("q", without="overview > "), CHANGE)


def test_a_change_to_what_has_no_name_among_the_views(tmp_path: Path) -> None:
    with gates() as gate, counted(tmp_path) as seen:
        for view, keys, sight in (
            ("pool", "d", "overview > pool"),
            ("help", "?", "LOOK"),
            ("doctor", ":doctor\r", "checked at"),
            ("audit", ":audit\r", "overview > audit"),
        ):
            gate(f"to {view}", seen.cost(keys, sight), CHANGE)
            gate(f"a second in {view}", seen.ticks(SECONDS), IDLE)
            seen.cost("q", without=sight)


def test_the_palette_over_the_largest_views(tmp_path: Path) -> None:
    with gates() as gate, counted(tmp_path) as seen:
        for view in ("overview", "pools", "queues"):
            if view != "overview":
                open_view(seen, view)
            opened = seen.cost("\x10", "Search for commands")
            gate(f"palette over {view}", opened, PALETTE)
            closed = seen.cost("\x1b", without="Search for commands")
            gate(f"palette away from {view}", closed, PALETTE)


@pytest.mark.parametrize("effect", ["POOL", "FLEET"])
def test_a_confirmation_and_its_answer(tmp_path: Path, effect: str) -> None:
    with gates() as gate, counted(tmp_path, effect=effect) as seen:
        for view in ("pools", "tenants"):
            open_view(seen, view)
            type_line(seen, "pause until 2h why OPS-881 loop of a tool")
            gate(f"asked in {view}", seen.cost("\r", "do it for"), CONFIRM)
            gate(f"done in {view}", seen.cost("y", "done; undo", without="do it for"), CONFIRM)


def test_a_key_that_moves_the_cursor_and_one_that_opens_a_prompt(tmp_path: Path) -> None:
    with gates() as gate, counted(tmp_path) as seen:
        gate("cursor", seen.cost("j", ">tenant-00…ent-0001"), TICK)
        gate("filter", seen.cost("/", "text or regex"), CONFIRM)
        gate("filter left", seen.cost("\x03", without="text or regex"), CONFIRM)
