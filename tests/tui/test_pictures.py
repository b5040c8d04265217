"""The screens as pictures. Each docstring says what a reviewer must see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agentdash.tui.app import Dashboard
from controller.model.snapshot import Snapshot
from tui import (
    scenarios,
    test_ahead,
    test_attention,
    test_doctor,
    test_history,
    test_logs,
    test_operating_pictures,
    test_scenario_pictures,
    test_themes,
    test_time_travel,
    test_view_pictures,
)
from tui.dashboards import dashboard

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
SMALL = (80, 24)
MIDDLE = (120, 36)
WIDE = (160, 45)
Picture = Callable[..., bool]


def showing(
    snapshot: Snapshot | None,
    *,
    waited: float = 0.0,
    engine_error: str | None = None,
    ascii_only: bool = False,
) -> Dashboard:
    clock = scenarios.FixedClock(scenarios.NOW - waited)
    app = dashboard(
        scenarios.FakeFeed(snapshot),
        clock,
        engine_error=lambda: engine_error,
        ascii_only=ascii_only,
    )
    clock.now = scenarios.NOW
    return app


def typed(text: str) -> Sequence[str]:
    names = {":": "colon", "/": "slash", " ": "space", "|": "vertical_line"}
    return [names.get(character, character) for character in text]


def test_overview_80x24(picture: Picture) -> None:
    """Two header lines, pools by pressure with the worst first, three findings, three events."""
    assert picture(showing(scenarios.mixed_fleet()), terminal_size=SMALL)


def test_overview_160x45(picture: Picture) -> None:
    """Four panels, hints under the header, findings with their details on lines of their own."""
    assert picture(showing(scenarios.mixed_fleet()), terminal_size=WIDE)


def test_overview_120x36(picture: Picture) -> None:
    """Pools, attention and events one above the other; the last line says why the pool under the
    cursor has its number.
    """
    assert picture(showing(scenarios.mixed_fleet()), terminal_size=MIDDLE)


def test_pools_80x24(picture: Picture) -> None:
    """The most important columns; the last line explains the row under the cursor."""
    assert picture(
        showing(scenarios.mixed_fleet()), press=[*typed(":pl"), "enter", "j"], terminal_size=SMALL
    )


def test_pools_120x36(picture: Picture) -> None:
    """More columns than at 80, with the last 15 minutes as bars."""
    assert picture(
        showing(scenarios.mixed_fleet()), press=[*typed(":pl"), "enter", "j"], terminal_size=MIDDLE
    )


def test_pools_160x45(picture: Picture) -> None:
    """Every column, WHY as a sentence at the right."""
    assert picture(
        showing(scenarios.mixed_fleet()), press=[*typed(":pl"), "enter", "j"], terminal_size=WIDE
    )


def test_why_80x24(picture: Picture) -> None:
    """The four numbers, the rules in order, the state now, the readings, two pods not ready."""
    assert picture(showing(scenarios.mixed_fleet()), press=["j", "d"], terminal_size=SMALL)


def test_why_120x36(picture: Picture) -> None:
    """The rules in order, and below them the readings and the pods that are not ready."""
    assert picture(showing(scenarios.mixed_fleet()), press=["j", "d"], terminal_size=MIDDLE)


def test_why_160x45(picture: Picture) -> None:
    """Rules, Deployment with labels, finding, readings, three pods that are not ready."""
    assert picture(showing(scenarios.mixed_fleet()), press=["j", "d"], terminal_size=WIDE)


def test_why_blind_160x45(picture: Picture) -> None:
    """A pool without its consumer: its numbers are ?, the reading is absent with the reason."""
    assert picture(
        showing(scenarios.mixed_fleet()),
        press=[*typed(":why canary"), "enter"],
        terminal_size=WIDE,
    )


def test_loading_80x24(picture: Picture) -> None:
    """No snapshot yet: what the dashboard waits for, and for how long. Nothing moves."""
    assert picture(showing(None, waited=3.0), terminal_size=SMALL)


def test_loading_160x45(picture: Picture) -> None:
    """No snapshot yet, on the wide layout."""
    assert picture(showing(None, waited=3.0), terminal_size=WIDE)


def test_empty_80x24(picture: Picture) -> None:
    """A fleet without pools: what to do about it. No finding and no event."""
    assert picture(showing(scenarios.empty_fleet()), terminal_size=SMALL)


def test_empty_160x45(picture: Picture) -> None:
    """The same on the wide layout."""
    assert picture(showing(scenarios.empty_fleet()), terminal_size=WIDE)


ENGINE_ERROR = "cannot read fleet.yaml: line 12: unknown key 'polls'; next try in 8 s"


def test_error_80x24(picture: Picture) -> None:
    """The engine stopped before its first snapshot: why, and when it starts again."""
    assert picture(showing(None, waited=12.0, engine_error=ENGINE_ERROR), terminal_size=SMALL)


def test_error_160x45(picture: Picture) -> None:
    """The engine stopped later: a banner above the last snapshot."""
    assert picture(showing(scenarios.mixed_fleet(), engine_error=ENGINE_ERROR), terminal_size=WIDE)


def test_stale_80x24(picture: Picture) -> None:
    """No news for 47 s: banner, STALE in the header, ~ after every value, the same order."""
    assert picture(showing(scenarios.stale_fleet()), terminal_size=SMALL)


def test_stale_160x45(picture: Picture) -> None:
    """The same on the wide layout."""
    assert picture(showing(scenarios.stale_fleet()), terminal_size=WIDE)


def test_disconnected_80x24(picture: Picture) -> None:
    """NATS lost for 47 s, Kubernetes connected: named in the header and in a banner."""
    assert picture(showing(scenarios.nats_lost()), terminal_size=SMALL)


def test_disconnected_160x45(picture: Picture) -> None:
    """The same on the wide layout; the engine panel says when the last good answer came."""
    assert picture(showing(scenarios.nats_lost()), terminal_size=WIDE)


def test_still_80x24(picture: Picture) -> None:
    """The picture is still: a banner says how many updates wait, and which key resumes."""
    assert picture(showing(scenarios.mixed_fleet()), press=["."], terminal_size=SMALL)


def test_read_only_80x24(picture: Picture) -> None:
    """[RO] READ-ONLY in the header."""
    assert picture(showing(scenarios.read_only()), terminal_size=SMALL)


def test_too_small_50x12(picture: Picture) -> None:
    """The size that is needed, and the size that there is."""
    assert picture(showing(scenarios.mixed_fleet()), terminal_size=(50, 12))


def test_help_80x24(picture: Picture) -> None:
    """Keys in two columns; the last line counts the lines that do not fit."""
    assert picture(showing(scenarios.mixed_fleet()), press=["?"], terminal_size=SMALL)


def test_help_120x36(picture: Picture) -> None:
    """Keys in columns, and the beginning of the legend."""
    assert picture(showing(scenarios.mixed_fleet()), press=["?"], terminal_size=MIDDLE)


def test_help_160x45(picture: Picture) -> None:
    """All keys in groups, the roles and the commands."""
    assert picture(showing(scenarios.mixed_fleet()), press=["?"], terminal_size=WIDE)


def test_filter_80x24(picture: Picture) -> None:
    """The prompt over the hints, the filter in the title, only the rows that match."""
    assert picture(showing(scenarios.mixed_fleet()), press=typed("/acme|etl"), terminal_size=SMALL)


def test_filter_none_80x24(picture: Picture) -> None:
    """No row matches: the filter, and the key that clears it."""
    assert picture(
        showing(scenarios.mixed_fleet()), press=[*typed("/nowhere"), "enter"], terminal_size=SMALL
    )


def test_command_line_80x24(picture: Picture) -> None:
    """Half a command: its completion in grey, all completions at the right."""
    assert picture(showing(scenarios.mixed_fleet()), press=typed(":why acme/"), terminal_size=SMALL)


def test_unknown_command_80x24(picture: Picture) -> None:
    """An unknown command stays in the prompt, with the nearest one as a note."""
    assert picture(
        showing(scenarios.mixed_fleet()), press=[*typed(":pols"), "enter"], terminal_size=SMALL
    )


def test_folded_header_80x24(picture: Picture) -> None:
    """One header line; the table has one line more."""
    assert picture(showing(scenarios.mixed_fleet()), press=["ctrl+e"], terminal_size=SMALL)


def test_ascii_80x24(picture: Picture) -> None:
    """The same overview, with ASCII symbols only."""
    assert picture(showing(scenarios.mixed_fleet(), ascii_only=True), terminal_size=SMALL)


def test_hostile_80x24(picture: Picture) -> None:
    """Escapes, markup and bidi marks as names: shown as plain text or as replacement characters."""
    assert picture(showing(scenarios.hostile_fleet()), terminal_size=SMALL)


def test_hostile_why_160x45(picture: Picture) -> None:
    """The same in every field of the why view."""
    assert picture(showing(scenarios.hostile_fleet()), press=["d"], terminal_size=WIDE)


def test_every_picture_in_the_folder_belongs_to_a_test() -> None:
    kept = {path.stem.replace("-", "_") for path in SCREENSHOTS.glob("*.svg")}
    assert kept == {
        name.removeprefix("test_")
        for name in (
            *globals(),
            *vars(test_view_pictures),
            *vars(test_time_travel),
            *vars(test_operating_pictures),
            *vars(test_scenario_pictures),
            *vars(test_logs),
            *vars(test_ahead),
            *vars(test_attention),
            *vars(test_doctor),
            *vars(test_history),
            *vars(test_ahead),
            *vars(test_attention),
            *vars(test_themes),
        )
        if name[-1].isdigit() and name.startswith("test_")
    }
