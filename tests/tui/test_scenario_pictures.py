"""Named days of a fleet as pictures, each with a twin in plain lines. Each docstring says what a
reviewer must see. The lost connection, the stale, empty, frozen and replayed fleet and the
read-only controller are in test_pictures.py and test_time_travel.py; here they have their twins.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from agentdash.tui.names import VIEWS
from controller.engine.findings import by_cause, findings, pool_findings
from controller.model.observation import ClusterRoom, PoolObservation
from controller.model.readings import Absent, Fresh, Why
from controller.model.snapshot import Link, LinkState, Snapshot
from tui import fleet_scenarios, operating_days, scenarios
from tui.dashboards import dashboard
from tui.plain import shown, typed
from tui.test_time_travel import replaying

MIDDLE, WIDE = (120, 36), (160, 45)
SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
Picture = Callable[..., bool]


def same(
    picture: Picture, snapshot: Snapshot, command: str, size: tuple[int, int], *keys: str
) -> bool:
    """Whether the view of this command is as in its picture."""
    return picture(
        dashboard(scenarios.FakeFeed(snapshot)),
        press=[*typed(f":{command}"), "enter", *keys],
        terminal_size=size,
    )


def test_calm_120x36(picture: Picture) -> None:
    """Three pools with all they need: nothing needs attention, no alarm, the empty panels are low
    and the pools have their place.
    """
    assert same(picture, fleet_scenarios.calm(), "ov", MIDDLE)


def test_burst_120x36(picture: Picture) -> None:
    """One queue far behind: its pool is first and at its max, below why not more, and what was
    scaled; the alarm counts three findings.
    """
    assert same(picture, fleet_scenarios.burst(), "ov", MIDDLE)


def test_cold_node_120x36(picture: Picture) -> None:
    """Five pods of coder-large on a node that has just joined: they pull their image for over a
    minute, slower than any before; below, where the time of the pod under the cursor went.
    """
    assert same(picture, operating_days.cold_node(), "po", MIDDLE, *"jjjj")


def test_paused_tenant_120x36(picture: Picture) -> None:
    """initech is paused; below, by whom, why, since when and until when."""
    assert same(picture, fleet_scenarios.over_budget(), "tn", MIDDLE, "G")


def test_over_budget_120x36(picture: Picture) -> None:
    """Two findings about tokens, the spent budget before the one that soon is, and no word of calm
    beside them.
    """
    assert same(picture, operating_days.over_budget(), "ov", MIDDLE)


def test_attached_120x36(picture: Picture) -> None:
    """The decisions are those of bastion/4711: the header names it, and the rest looks the same."""
    assert same(picture, fleet_scenarios.attached(), "ov", MIDDLE)


def test_five_thousand_pods_160x45(picture: Picture) -> None:
    """5,000 pods in 100 pools: those that start stand first; the border says which rows these are
    of how many.
    """
    assert same(picture, operating_days.five_thousand_pods(), "po", WIDE)


class Twin(NamedTuple):
    """A named day of the fleet in plain lines: the snapshot, the view, and what must be read."""

    snapshot: Callable[[], Snapshot]
    command: str
    seen: tuple[str, ...]


REPLAY = "replay"
TWINS = {
    "calm": Twin(fleet_scenarios.calm, "ov", ("nothing needs attention", "no alarm")),
    "burst": Twin(fleet_scenarios.burst, "ov", ("acme/browser-gpu", "!! 3")),
    "cold-node": Twin(
        operating_days.cold_node, "po", ("coder-large-5b8d-00000", "cpu-04-new", "pulling image")
    ),
    "paused-tenant": Twin(
        fleet_scenarios.over_budget, "tn", ("paused", "mara", "spent since 12:01")
    ),
    "over-budget": Twin(operating_days.over_budget, "ov", ("!! 2", "2,000,000 tokens are")),
    "attached": Twin(fleet_scenarios.attached, "ov", ("bastion/4711",)),
    "five-thousand-pods": Twin(operating_days.five_thousand_pods, "po", ("pods [5000]", "of 5000")),
    "disconnected": Twin(scenarios.nats_lost, "ov", ("nats LOST since", "nats LOST")),
    "stale": Twin(scenarios.stale_fleet, "ov", ("STALE  no news for",)),
    "empty": Twin(scenarios.empty_fleet, "ov", ("no pools", "the fleet file names none")),
    "read-only": Twin(scenarios.read_only, "ov", ("READ-ONLY",)),
}


@pytest.mark.parametrize("name", TWINS)
async def test_a_scenario_says_in_plain_lines_what_its_picture_shows(name: str) -> None:
    twin = TWINS[name]
    app = dashboard(scenarios.FakeFeed(twin.snapshot()))
    lines = await shown(app, [*typed(f":{twin.command}"), "enter"], WIDE)
    text = "\n".join(lines)
    assert all(each in text for each in twin.seen), text
    assert all(len(each) <= WIDE[0] for each in lines)


async def test_a_replay_says_in_plain_lines_what_its_picture_shows(tmp_path: Path) -> None:
    app = dashboard(scenarios.FakeFeed(None), journal=replaying(tmp_path))
    lines = await shown(app, [*typed(":at -12m"), "enter"], (80, 24))
    assert lines[0].startswith(" prod-eu1 [replay]")
    assert "REPLAY 2026-03-02 11:52:49Z, 12m00s before the end" in lines[2]
    assert "STALE" not in "\n".join(lines)
    assert lines[-1].startswith(" overview ")


DAYS = (
    "calm",
    "burst",
    "cold-node",
    "paused-tenant",
    "over-budget",
    "disconnected",
    "stale",
    "empty",
    REPLAY,
    "read-only",
    "attached",
    "five-thousand-pods",
)
PICTURE_TEST = re.compile(r"test_(\w+?)_(\d+x\d+)")


def picture_tests() -> dict[str, ast.AsyncFunctionDef | ast.FunctionDef]:
    """Every test of a picture, by the name of its file."""
    found: dict[str, ast.AsyncFunctionDef | ast.FunctionDef] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = PICTURE_TEST.fullmatch(node.name)
                if name is not None:
                    found[f"{name[1].replace('_', '-')}-{name[2]}"] = node
    return found


def test_every_named_day_has_pictures_and_a_twin_in_plain_lines() -> None:
    pictured = {name.rpartition("-")[0] for name in picture_tests()}
    assert set(DAYS) <= pictured
    assert set(DAYS) == {*TWINS, REPLAY}


def test_every_picture_has_a_test_that_says_what_a_reviewer_must_see() -> None:
    tests = picture_tests()
    stored = {path.stem for path in SCREENSHOTS.glob("*.svg")}
    assert stored == tests.keys()
    assert [name for name, test in tests.items() if not ast.get_docstring(test)] == []


def test_every_view_has_pictures_at_three_sizes() -> None:
    stored = {path.stem for path in SCREENSHOTS.glob("*.svg")}
    views = (*(view.name for view in VIEWS), "node", "why", "history", "audit", "logs", "help")
    wanted = {f"{view}-{size}" for view in views for size in ("80x24", "120x36", "160x45")}
    assert wanted - stored == set()


async def test_two_lost_connections_over_120_pools_are_two_findings() -> None:
    lost = tuple(
        Link(name=name, state=LinkState.DISCONNECTED, since=scenarios.NOW - 47, detail="refused")
        for name in ("nats", "kubernetes")
    )
    gone = Absent(why=Why.DISCONNECTED, at=scenarios.NOW - 47, detail="refused")
    pools = tuple(
        replace(view, observation=PoolObservation(queue=gone, workload=gone, pods=gone))
        for view in scenarios.many_pools(120).pools
    )
    said = [each for view in pools for each in pool_findings(view)]
    assert len(said) >= 240
    found = findings(
        lost,
        {},
        Fresh(value=ClusterRoom(), at=scenarios.NOW),
        notices=by_cause(said, lost),
        since={},
        now=scenarios.NOW,
    )
    fleet = replace(scenarios.many_pools(120), pools=pools, links=lost, findings=found)
    text = "\n".join(await shown(dashboard(scenarios.FakeFeed(fleet)), [], MIDDLE))
    assert "attention [2]" in text
    assert "!! 2" in text
    assert "nothing needs attention" not in text
