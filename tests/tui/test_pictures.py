"""The screens as pictures. Each docstring says what a reviewer should see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agentdash.tui.app import Dashboard
from controller.model.snapshot import Snapshot
from tui import scenarios

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
SMALL = (80, 24)
WIDE = (160, 45)
Picture = Callable[..., bool]


def dashboard(
    snapshot: Snapshot | None, *, waited: float = 0.0, trouble: str | None = None, **options: bool
) -> Dashboard:
    clock = scenarios.FixedClock(scenarios.NOW - waited)
    app = Dashboard(
        scenarios.FakeFeed(snapshot), clock=clock, engine_status=lambda: trouble, **options
    )
    clock.now = scenarios.NOW
    return app


def typed(text: str) -> Sequence[str]:
    names = {":": "colon", "/": "slash", " ": "space", "|": "vertical_line"}
    return [names.get(character, character) for character in text]


def test_overview_80x24(picture: Picture) -> None:
    """Two header lines, pools by pressure with the worst on top, three findings, three events."""
    assert picture(dashboard(scenarios.calm()), terminal_size=SMALL)


def test_overview_160x45(picture: Picture) -> None:
    """Four panels, hints under the header, findings with their story on lines of their own."""
    assert picture(dashboard(scenarios.calm()), terminal_size=WIDE)


def test_pools_80x24(picture: Picture) -> None:
    """The table with the columns that matter most; the last line says why of the row chosen."""
    assert picture(
        dashboard(scenarios.calm()), press=[*typed(":pl"), "enter", "j"], terminal_size=SMALL
    )


def test_pools_160x45(picture: Picture) -> None:
    """Every column, WHY as a sentence at the right."""
    assert picture(
        dashboard(scenarios.calm()), press=[*typed(":pl"), "enter", "j"], terminal_size=WIDE
    )


def test_why_80x24(picture: Picture) -> None:
    """The four numbers, the rules in order, what is there, how old it is, two pods that wait."""
    assert picture(dashboard(scenarios.calm()), press=["d"], terminal_size=SMALL)


def test_why_160x45(picture: Picture) -> None:
    """All of it at once: rules, Deployment with labels, finding, readings, three pods that wait."""
    assert picture(dashboard(scenarios.calm()), press=["d"], terminal_size=WIDE)


def test_why_blind_160x45(picture: Picture) -> None:
    """A pool whose consumer is missing: numbers are ?, the reading says absent and why."""
    assert picture(
        dashboard(scenarios.calm()),
        press=[*typed(":why canary"), "enter"],
        terminal_size=WIDE,
    )


def test_loading_80x24(picture: Picture) -> None:
    """No snapshot yet: what is awaited and for how long, in words, nothing moves."""
    assert picture(dashboard(None, waited=3.0), terminal_size=SMALL)


def test_loading_160x45(picture: Picture) -> None:
    """No snapshot yet, on the wide layout."""
    assert picture(dashboard(None, waited=3.0), terminal_size=WIDE)


def test_empty_80x24(picture: Picture) -> None:
    """A fleet without pools says so and what to do; attention and events say that all is quiet."""
    assert picture(dashboard(scenarios.empty()), terminal_size=SMALL)


def test_empty_160x45(picture: Picture) -> None:
    """The same on the wide layout."""
    assert picture(dashboard(scenarios.empty()), terminal_size=WIDE)


TROUBLE = "cannot read fleet.yaml: line 12: unknown key 'polls'; next try in 8 s"


def test_error_80x24(picture: Picture) -> None:
    """The engine stopped before its first snapshot: what, why, when it is tried again."""
    assert picture(dashboard(None, waited=12.0, trouble=TROUBLE), terminal_size=SMALL)


def test_error_160x45(picture: Picture) -> None:
    """The engine stopped later: a banner above the last snapshot."""
    assert picture(dashboard(scenarios.calm(), trouble=TROUBLE), terminal_size=WIDE)


def test_stale_80x24(picture: Picture) -> None:
    """No news for 47 s: banner, STALE in the header, ~ behind every value, order kept."""
    assert picture(dashboard(scenarios.stale()), terminal_size=SMALL)


def test_stale_160x45(picture: Picture) -> None:
    """The same on the wide layout."""
    assert picture(dashboard(scenarios.stale()), terminal_size=WIDE)


def test_disconnected_80x24(picture: Picture) -> None:
    """NATS lost for 47 s while Kubernetes is there: named in the header and in a banner."""
    assert picture(dashboard(scenarios.disconnected()), terminal_size=SMALL)


def test_disconnected_160x45(picture: Picture) -> None:
    """The same on the wide layout; the engine panel says when the last good answer came."""
    assert picture(dashboard(scenarios.disconnected()), terminal_size=WIDE)


def test_frozen_80x24(picture: Picture) -> None:
    """The view is held: a banner says how many updates wait and which key goes on."""
    assert picture(dashboard(scenarios.calm()), press=["."], terminal_size=SMALL)


def test_read_only_80x24(picture: Picture) -> None:
    """[RO] read-only in the header."""
    assert picture(dashboard(scenarios.follower()), terminal_size=SMALL)


def test_too_small_50x12(picture: Picture) -> None:
    """Says what it needs and what it has."""
    assert picture(dashboard(scenarios.calm()), terminal_size=(50, 12))


def test_help_80x24(picture: Picture) -> None:
    """Keys in two columns; lines below are counted."""
    assert picture(dashboard(scenarios.calm()), press=["?"], terminal_size=SMALL)


def test_help_160x45(picture: Picture) -> None:
    """All keys in groups."""
    assert picture(dashboard(scenarios.calm()), press=["?"], terminal_size=WIDE)


def test_filter_80x24(picture: Picture) -> None:
    """The prompt over the hints, the filter in the title, only what matches in the table."""
    assert picture(dashboard(scenarios.calm()), press=typed("/acme|etl"), terminal_size=SMALL)


def test_filter_none_80x24(picture: Picture) -> None:
    """Nothing matches: the filter that hides all, and the key that clears it."""
    assert picture(
        dashboard(scenarios.calm()), press=[*typed("/nowhere"), "enter"], terminal_size=SMALL
    )


def test_command_line_80x24(picture: Picture) -> None:
    """A command half typed: its completion in grey, candidates at the right."""
    assert picture(dashboard(scenarios.calm()), press=typed(":why acme/"), terminal_size=SMALL)


def test_unknown_command_80x24(picture: Picture) -> None:
    """An unknown command says what is nearest and stays to be mended."""
    assert picture(
        dashboard(scenarios.calm()), press=[*typed(":pols"), "enter"], terminal_size=SMALL
    )


def test_folded_header_80x24(picture: Picture) -> None:
    """One header line; the table has gained the other."""
    assert picture(dashboard(scenarios.calm()), press=["ctrl+e"], terminal_size=SMALL)


def test_ascii_80x24(picture: Picture) -> None:
    """The same overview without a sign outside ASCII."""
    assert picture(dashboard(scenarios.calm(), ascii_only=True), terminal_size=SMALL)


def test_hostile_80x24(picture: Picture) -> None:
    """Escapes, markup and bidi marks as names: shown as typed or as replacement marks."""
    assert picture(dashboard(scenarios.hostile()), terminal_size=SMALL)


def test_hostile_why_160x45(picture: Picture) -> None:
    """The same in every field of the why view."""
    assert picture(dashboard(scenarios.hostile()), press=["d"], terminal_size=WIDE)


def test_every_picture_in_the_folder_belongs_to_a_test() -> None:
    kept = {path.stem.replace("-", "_") for path in SCREENSHOTS.glob("*.svg")}
    assert kept == {
        name.removeprefix("test_")
        for name in globals()
        if name[-1].isdigit() and name.startswith("test_")
    }
