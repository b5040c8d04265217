"""Lines have the right width for every text, and contain no harmful character."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.tui import figures
from agentdash.tui.actions import ACTIONS
from agentdash.tui.figures import ASCII, UNICODE, Glyphs
from agentdash.tui.header import banner_lines, crumb_line, header_lines, hint_line
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import (
    Line,
    Span,
    crop,
    cut,
    cut_middle,
    fit,
    left_and_right,
    line,
    line_width,
    width_of,
    wrap,
)
from agentdash.tui.screens.why import now_decided_lines, now_lines, reading_lines
from agentdash.tui.tables.pods import PodRow, pod_lines
from agentdash.tui.view import Frame, pool_rows, totals
from controller.model.observation import Pod, PodPhase
from controller.model.snapshot import Snapshot
from support.table import tabled
from tui import fleet_scenarios, scenarios


@given(st.text(), st.integers(min_value=0, max_value=40), st.booleans())
def test_fitted_text_has_exactly_the_width(text: str, width: int, right: bool) -> None:
    assert width_of(fit(text, width, right=right)) == width
    assert width_of(fit(text, width, name=right)) == width


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_wrapped_text_fits_and_loses_only_blanks(text: str, width: int) -> None:
    parts = wrap(text, width)
    assert all(width_of(part) <= max(width, 2) for part in parts)
    kept = "".join("".join(parts).split())
    assert len(kept) == len("".join(cut(text, 10_000).split()))


def test_cut_text_has_an_ellipsis() -> None:
    assert cut("abcdefgh", 5) == "abcd…"
    assert cut("abcdefgh", 5, "..") == "abc.."
    assert cut("日本語", 5) == "日本…"


def test_a_long_name_is_cut_in_the_middle() -> None:
    assert cut_middle("tenant-009/agent-0099", 12) == "tenant…-0099"
    assert cut_middle("tenant-009/agent-0099", 12, "..") == "tenan..-0099"
    assert width_of(cut_middle("日本語日本語", 7)) == 7
    assert cut_middle("short", 12) == "short"


def test_escape_sequences_and_bidi_marks_are_removed() -> None:
    assert not set(cut(scenarios.HOSTILE_TEXT, 200)) & set("\x1b\x07\x9b\u202e\u200b")


def test_the_right_part_is_left_out_when_there_is_no_room() -> None:
    assert left_and_right(("left",), ("right",), 20).spans[-1].text == "right"
    assert left_and_right(("left",), ("right",), 8) == line("left")


def test_a_cropped_line_keeps_its_first_cells() -> None:
    assert crop(line("abc", Span("defg")), 5) == line("abc", Span("de"))


@tabled(
    ("number", "width", "shown"),
    [
        (0, 7, "0"),
        (1240, 7, "1,240"),
        (1240, 4, "1.2k"),
        (999_999, 4, "1.0M"),
        (52_340, 5, "52.3k"),
    ],
)
def test_counts_have_commas_or_a_suffix(number: int, width: int, shown: str) -> None:
    assert figures.count(number, width) == shown


@tabled(
    ("seconds", "shown"),
    [(-3, "0s"), (47.9, "47s"), (124, "2m04s"), (11_520, "3h12m"), (439_200, "5d02h")],
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    assert figures.age(seconds) == shown


def test_an_age_in_whole_minutes_changes_once_a_minute_after_the_first() -> None:
    assert [figures.whole_age(seconds) for seconds in (59.9, 60, 119, 3599)] == [
        "59s",
        "1m",
        "1m",
        "59m",
    ]
    assert figures.whole_age(3 * 3600 + 720) == figures.age(3 * 3600 + 720)


def frame_of(snapshot: Snapshot, glyphs: Glyphs = UNICODE) -> Frame:
    rows = pool_rows(snapshot)
    return Frame(
        scenarios.NOW,
        scenarios.NOW,
        snapshot=snapshot,
        rows=rows,
        totals=totals(rows),
        waiting=3,
        engine_error="it failed",
        glyphs=glyphs,
    )


SNAPSHOTS = {
    "mixed": scenarios.mixed_fleet(),
    "stale": scenarios.stale_fleet(),
    "disconnected": scenarios.nats_lost(),
    "hostile": scenarios.hostile_fleet(),
    "empty": scenarios.empty_fleet(),
}


def all_lines(frame: Frame, width: int) -> list[Line]:
    """Every line that a screen of this width can show, without the tables."""
    found = [
        *header_lines(frame, width, 2),
        *banner_lines(frame, width),
        hint_line(ACTIONS, width),
        *help_lines(ACTIONS, width, frame.glyphs),
    ]
    for row in frame.rows:
        found.append(crumb_line(("overview", "why"), row.key, Span(""), frame, width))
        found += now_decided_lines(row, frame, width, 8)
        found += now_decided_lines(row, frame, width, 30)
        found += now_lines(row, frame, width)
        found += reading_lines(row, frame, width)
    return found


@tabled("width", [60, 80, 99, 100, 120])
def test_an_attached_dashboard_says_at_every_width_since_when_it_shows_those_decisions(
    width: int,
) -> None:
    long = replace(
        fleet_scenarios.attached(),
        context="a-context-of-24-letters!",
        process="a-long-host-name/4711",
    )
    fleet_line, _ = header_lines(frame_of(long), width, 2)
    text = "".join(span.text for span in fleet_line.spans)
    assert " since 10:44" in text
    assert "4711 since" in text
    assert line_width(fleet_line) <= width
    assert "age 0s" in text or width == 60


def test_a_pool_that_is_a_stateful_set_says_so() -> None:
    snapshot = scenarios.mixed_fleet()
    first, *others = snapshot.pools
    stateful = replace(first, deployment="", statefulset="research-db")
    frame = frame_of(replace(snapshot, pools=(stateful, *others)))
    (row,) = (each for each in frame.rows if each.key == first.key)
    text = "\n".join(
        "".join(span.text for span in each.spans) for each in now_lines(row, frame, 120)
    )
    assert f"statefulset {first.namespace}/research-db" in text
    assert "deployment" not in text


@tabled("name", SNAPSHOTS)
@tabled("width", [78, 80, 100, 139, 160, 240])
def test_no_line_is_wider_than_its_screen(name: str, width: int) -> None:
    frame = frame_of(SNAPSHOTS[name])
    wide = [row for row in all_lines(frame, width) if line_width(row) > width]
    assert not wide


def test_with_ascii_glyphs_every_line_is_ascii() -> None:
    frame = frame_of(scenarios.mixed_fleet(), ASCII)
    shown = "".join(span.text for row in all_lines(frame, 160) for span in row.spans)
    assert shown.replace("NOW→NEXT", "").isascii()


def test_a_kill_switch_that_is_on_is_a_banner_with_its_reason() -> None:
    snapshot = replace(scenarios.mixed_fleet(), frozen_by=("freeze file /etc/f: moving",))
    frame = frame_of(snapshot)
    texts = ["".join(span.text for span in each.spans).strip() for each in banner_lines(frame, 100)]
    assert "WRITES FROZEN  freeze file /etc/f: moving" in texts


def test_what_the_last_controller_kept_is_the_past_before_any_other_banner() -> None:
    lost = replace(scenarios.nats_lost(), frozen_by=("freeze file /etc/f: moving",))
    kept = replace(lost, attached=True, recalled=True, process="bastion/4711")
    words = "no controller runs; this is what bastion/4711 saw at 11:48:03Z"
    frame = dataclasses.replace(
        frame_of(kept), feed_problem=words, engine_error=None, waiting=None, now=kept.at + 720.0
    )
    texts = ["".join(span.text for span in each.spans).strip() for each in banner_lines(frame, 100)]
    assert texts == [f"PAST  {words}", "WRITES FROZEN  freeze file /etc/f: moving"]
    [first, second] = [
        "".join(span.text for span in each.spans) for each in header_lines(frame, 160, 2)
    ]
    assert "[past] last of bastion/4711" in first
    assert "age 12m" in first
    assert "STALE" in first
    assert "nats" not in first, "its connections are not those of now"
    assert "~" in second


def test_a_pod_on_a_node_that_ends_names_the_taint() -> None:
    frame = frame_of(scenarios.mixed_fleet())
    pod = Pod(name="a", phase=PodPhase.READY, node="n-1", node_ends="example.com/ends")
    row = PodRow(frame.rows[0].key, pod)
    assert row.why == "node ends: example.com/ends"
    waiting = PodRow(row.pool, replace(pod, reason="Evicted"))
    assert waiting.why == "node ends: example.com/ends; Evicted"
    lines = ["".join(span.text for span in each.spans) for each in pod_lines(row, frame, 80)]
    assert any("taint example.com/ends: its worker hands its tasks back" in each for each in lines)
    assert not any("waits" in each for each in lines)
