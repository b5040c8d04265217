"""Numbers as bars: the newest at the right, unknown as a gap, nothing as the lowest bar."""

from __future__ import annotations

import pytest

from agentdash.tui.charts import sparkline
from agentdash.tui.glyphs import ASCII, UNICODE
from controller.model.snapshot import NOT_KNOWN


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ((0, 1, 2, 3, 4, 5, 6, 7), 8, "▁▂▃▄▅▆▇█"),
        ((0, 0, 0), 3, "▁▁▁"),
        ((NOT_KNOWN, 0, 70), 3, "·▁█"),
        ((1, 1000), 2, "▂█"),
        ((1, 2, 3), 10, "▄▆█"),
        ((), 5, ""),
        ((3,), 0, ""),
    ],
)
def test_a_value_is_as_high_as_its_part_of_the_largest(
    values: tuple[int, ...], width: int, bars: str
) -> None:
    assert sparkline(values, width, UNICODE) == bars


def test_values_that_share_a_cell_show_the_largest_and_the_newest_cell_is_full() -> None:
    assert sparkline((9, 0, 0, 0, 0, 0, 9), 3, UNICODE) == "█▁█"
    assert sparkline((NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, 4), 2, UNICODE) == "·█"


def test_two_rows_can_be_drawn_on_one_scale() -> None:
    assert sparkline((7,), 1, UNICODE, top=14) == "▅"
    assert sparkline((20,), 1, UNICODE, top=14) == "█"


def test_an_ascii_terminal_gets_ascii() -> None:
    assert sparkline((0, NOT_KNOWN, 7), 3, ASCII) == "_ #"
