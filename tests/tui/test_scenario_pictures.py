"""Named days of a fleet in plain lines, and that every picture says what a reviewer must see."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from msgspec.structs import replace

from controller.engine.show.findings import by_cause, findings, pool_findings
from controller.model.observation import ClusterRoom, Pod, PodPhase, Pods, PoolObservation
from controller.model.readings import Absent, Fresh, Why
from controller.model.snapshot import Link, LinkState
from tui import scenarios
from tui.dashboards import dashboard
from tui.plain import shown, typed
from tui.test_time_travel import replaying

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"


async def test_5000_pods_are_shown_a_screen_at_a_time() -> None:
    items = tuple(
        Pod(name=f"agent-{number:05d}", phase=PodPhase.READY, created_at=scenarios.NOW - 40)
        for number in range(50)
    )
    pods = Fresh(value=Pods(ready=50, items=items), at=scenarios.NOW)
    pools = tuple(
        replace(view, observation=replace(view.observation, pods=pods))
        for view in scenarios.many_pools(100).pools
    )
    app = dashboard(scenarios.FakeFeed(replace(scenarios.mixed_fleet(), pools=pools)))
    text = "\n".join(await shown(app, [*typed(":po"), "enter"], (160, 45)))
    assert "pods [5000]" in text
    assert "of 5000" in text


async def test_a_replay_says_in_plain_lines_what_its_picture_shows(tmp_path: Path) -> None:
    app = dashboard(scenarios.FakeFeed(None), journal=replaying(tmp_path))
    lines = await shown(app, [*typed(":at -12m"), "enter"], (80, 24))
    assert lines[0].startswith(" agents on prod-eu1 [replay]")
    assert "REPLAY 2026-03-02 11:52:49Z, 12m00s before the end" in lines[2]
    assert "STALE" not in "\n".join(lines)
    assert lines[-1].startswith(" overview ")


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


def test_every_picture_has_a_test_that_says_what_a_reviewer_must_see() -> None:
    tests = picture_tests()
    stored = {path.stem for path in SCREENSHOTS.glob("*.svg")}
    assert stored == tests.keys()
    assert [name for name, test in tests.items() if not ast.get_docstring(test)] == []


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
        since=lambda *_: scenarios.NOW,
    )
    fleet = replace(scenarios.many_pools(120), pools=pools, links=lost, findings=found)
    text = "\n".join(await shown(dashboard(scenarios.FakeFeed(fleet)), [], (120, 36)))
    assert "attention [2]" in text
    assert "!! 2" in text
    assert "nothing needs attention" not in text
