"""Lines: widths are kept whatever the text, and nothing harmful passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdash.tui import figures
from agentdash.tui.actions import ACTIONS
from agentdash.tui.glyphs import ASCII, UNICODE, Glyphs
from agentdash.tui.header import banner_lines, crumb_line, header_lines, hint_line
from agentdash.tui.helping import help_lines
from agentdash.tui.lines import (
    Line,
    Span,
    crop,
    cut,
    cut_head,
    ends,
    fit,
    line,
    line_width,
    width_of,
    wrap,
)
from agentdash.tui.view import Scene, pool_rows, totals
from agentdash.tui.why import decision_lines, now_lines, reading_lines
from controller.model.snapshot import Snapshot
from tui import scenarios


@given(st.text(), st.integers(min_value=0, max_value=40), st.booleans())
def test_fitted_text_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    assert width_of(fit(text, width, right=right)) == width
    assert width_of(fit(text, width, keep_end=right)) == width


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_wrapped_text_is_never_wider_and_loses_nothing_but_blanks(text: str, width: int) -> None:
    parts = wrap(text, width)
    assert all(width_of(part) <= max(width, 2) for part in parts)
    kept = "".join("".join(parts).split())
    assert len(kept) == len("".join(cut(text, 10_000).split()))


def test_cut_text_says_so() -> None:
    assert cut("abcdefgh", 5) == "abcd…"
    assert cut("abcdefgh", 5, "..") == "abc.."
    assert cut("日本語", 5) == "日本…"
    assert cut_head("tenant-009/agent-0099", 12) == "…/agent-0099"
    assert cut_head("日本語", 5) == "…本語"


def test_escapes_and_bidi_marks_never_come_through() -> None:
    assert not set(cut(scenarios.EVIL, 200)) & set("\x1b\x07\x9b\u202e\u200b")


def test_the_right_end_goes_when_there_is_no_room() -> None:
    assert ends(("left",), ("right",), 20).spans[-1].text == "right"
    assert ends(("left",), ("right",), 8) == line("left")


def test_a_cropped_line_keeps_its_tones() -> None:
    assert crop(line("abc", Span("defg")), 5) == line("abc", Span("de"))


@pytest.mark.parametrize(
    ("number", "width", "shown"),
    [
        (0, 7, "0"),
        (1240, 7, "1,240"),
        (1240, 4, "1.2k"),
        (999_999, 4, "1.0M"),
        (52_340, 5, "52.3k"),
    ],
)
def test_counts_are_grouped_or_shortened(number: int, width: int, shown: str) -> None:
    assert figures.count(number, width) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (47.9, "47s"), (124, "2m04s"), (11_520, "3h12m"), (439_200, "5d02h")],
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    assert figures.age(seconds) == shown


def scene_of(snapshot: Snapshot, glyphs: Glyphs = UNICODE) -> Scene:
    rows = pool_rows(snapshot)
    return Scene(
        "agentdash",
        scenarios.NOW,
        scenarios.NOW,
        snapshot=snapshot,
        rows=rows,
        totals=totals(rows),
        held_back=3,
        trouble="it broke",
        glyphs=glyphs,
    )


SNAPSHOTS = {
    "calm": scenarios.calm(),
    "stale": scenarios.stale(),
    "disconnected": scenarios.disconnected(),
    "hostile": scenarios.hostile(),
    "empty": scenarios.empty(),
}


def everything(scene: Scene, width: int) -> list[Line]:
    """Every line that a screen of this width may show beside its tables."""
    found = [
        *header_lines(scene, width, 2),
        *banner_lines(scene, width),
        hint_line(ACTIONS, width),
        *help_lines(ACTIONS, width),
    ]
    for row in scene.rows:
        found.append(crumb_line(("overview", "why"), row.key, Span(""), scene, width))
        found += decision_lines(row, scene, width, 8)
        found += decision_lines(row, scene, width, 30)
        found += now_lines(row, scene, width)
        found += reading_lines(row, scene, width)
    return found


@pytest.mark.parametrize("name", SNAPSHOTS)
@pytest.mark.parametrize("width", [78, 80, 100, 139, 160, 240])
def test_no_line_is_wider_than_its_screen(name: str, width: int) -> None:
    scene = scene_of(SNAPSHOTS[name])
    wide = [row for row in everything(scene, width) if line_width(row) > width]
    assert not wide


def test_with_ascii_glyphs_no_line_holds_another_sign() -> None:
    scene = scene_of(scenarios.calm(), ASCII)
    shown = "".join(span.text for row in everything(scene, 160) for span in row.spans)
    assert shown.replace("NOW→NEXT", "").isascii()
