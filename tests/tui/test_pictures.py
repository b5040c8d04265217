"""The screens as pictures. Each docstring says what a reviewer must see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agentdash.tui.app import Dashboard
from controller.model.snapshot import Snapshot
from tui import fleet_scenarios, operators, scenarios
from tui.dashboards import dashboard
from tui.test_logs import CRASHED, KEYS, LINES, POD, reading
from tui.test_views import two_queues

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


def view(
    picture: Picture,
    snapshot: Snapshot | None,
    size: tuple[int, int],
    *keys: str,
    operator: operators.FakeOperator | None = None,
) -> bool:
    """Whether what these keys open is as in its picture; a text with a colon is a command."""
    app = dashboard(scenarios.FakeFeed(snapshot), operator=operator)
    press = [each for key in keys for each in (_command(key) if ":" in key else [key])]
    return picture(app, press=press, terminal_size=size)


def _command(text: str) -> Sequence[str]:
    return [*typed(text), "enter"]


def asked() -> operators.FakeOperator:
    operator = operators.FakeOperator()
    operator.places = (("fleet file", "/etc/agentdash/fleet.yaml"), ("try", "agentdash tasks"))
    operator.changes = operators.some_changes()
    operator.progress = operators.some_checks()
    return operator


def test_pools_160x45(picture: Picture) -> None:
    """The panel of the overview in full: nearly every column, WHY as a sentence at the right."""
    assert view(picture, scenarios.mixed_fleet(), WIDE, "j", "f")


def test_why_80x24(picture: Picture) -> None:
    """The tabs of the page, the four numbers, the rules in order, the state now, the readings."""
    assert view(picture, scenarios.mixed_fleet(), SMALL, "j", "d")


def test_why_160x45(picture: Picture) -> None:
    """Rules, Deployment with labels, finding, readings, and how the pool went."""
    assert view(picture, scenarios.mixed_fleet(), WIDE, "j", "d")


def test_hostile_why_160x45(picture: Picture) -> None:
    """Escapes, markup and bidi marks in every field: plain text or replacement characters."""
    assert view(picture, scenarios.hostile_fleet(), WIDE, "d")


def test_pool_queues_120x36(picture: Picture) -> None:
    """The second tab: the queues of the pool, the one of high priority and the other apart."""
    assert view(
        picture,
        two_queues(fleet_scenarios.burst(), "acme/coder-large"),
        MIDDLE,
        ":pool coder-large",
        "2",
        "j",
    )


def test_pool_pods_80x24(picture: Picture) -> None:
    """The third tab: the pods of the pool alone, the worst first."""
    assert view(picture, fleet_scenarios.burst(), SMALL, ":pool browser-gpu", "3")


def test_pool_history_120x36(picture: Picture) -> None:
    """The last tab: 15 minutes and 24 hours, bars several lines high."""
    assert view(picture, fleet_scenarios.burst(), MIDDLE, ":pool browser-gpu", "5")


def test_queues_80x24(picture: Picture) -> None:
    """The longest queue first; a stale one with ~, a blind one with ?, one paused in NATS, one held
    by a pause; below, how the queue under the cursor moves and how long its messages wait.
    """
    assert view(picture, fleet_scenarios.burst(), SMALL, ":queues")


def test_tenants_80x24(picture: Picture) -> None:
    """Nobody near a limit: every share small, every budget lasts the day, no alarming colour."""
    assert view(picture, fleet_scenarios.calm(), SMALL, ":tn")


def test_tenants_160x45(picture: Picture) -> None:
    """Over budget: one tenant stopped, one held to its pace, one whose ledger is silent;
    bars, quotas and who paused; below, all of the last tenant.
    """
    assert view(picture, fleet_scenarios.over_budget(), WIDE, ":tn", "G")


def test_one_tenant_120x36(picture: Picture) -> None:
    """The overview of one tenant: its pools, findings, events, sums and charts, and no others."""
    assert view(picture, fleet_scenarios.over_budget(), MIDDLE, ":tenant acme")


def test_models_80x24(picture: Picture) -> None:
    """The model that refuses calls first, with !!; the calls that are made before what the targets
    could draw; below, each limit and the pools that draw on it.
    """
    assert view(picture, fleet_scenarios.burst(), SMALL, ":mo")


def test_models_160x45(picture: Picture) -> None:
    """Every column; below, a model that no pool uses and that has no limits."""
    assert view(picture, fleet_scenarios.burst(), WIDE, ":mo", "G")


def test_pods_120x36(picture: Picture) -> None:
    """A pool whose pods cannot be read first, then the worst phase; below, where the pod under the
    cursor is on its way beside the others of its pool, and the cluster's warning about it.
    """
    assert view(picture, fleet_scenarios.burst(), MIDDLE, ":po", "j", "j")


def test_nodes_80x24(picture: Picture) -> None:
    """The room of each class, the pool with a pod that no node takes, and each node: open, tainted
    or closed.
    """
    assert view(picture, fleet_scenarios.placed(), SMALL, ":no", "j")


def test_nodes_160x45(picture: Picture) -> None:
    """The same with the focus on a node: its room, its taints, and which pools are on it."""
    assert view(picture, fleet_scenarios.placed(), WIDE, ":no", "tab", "tab", "j", "j", "j", "j")


def test_intents_120x36(picture: Picture) -> None:
    """What stands now, what ends first on top, with how long it stands still and who asked; <e>."""
    assert view(picture, fleet_scenarios.over_budget(), MIDDLE, ":intents", operator=asked())


def test_log_160x45(picture: Picture) -> None:
    """Scale events and what people changed in one list, the newest first; below, one in full."""
    assert view(picture, fleet_scenarios.over_budget(), WIDE, ":log", "j", operator=asked())


def test_attention_120x36(picture: Picture) -> None:
    """Every finding, the worst first, with what enter shows; below, one in full."""
    assert view(picture, fleet_scenarios.over_budget(), MIDDLE, "tab", "f")


def test_health_120x36(picture: Picture) -> None:
    """What does not work first, and what to do about it; below, who decides here."""
    assert view(picture, fleet_scenarios.burst(), MIDDLE, ":health", operator=asked())


def test_pod_120x36(picture: Picture) -> None:
    """Why it is not ready stands before its containers; events, the newest first."""
    operator = operators.FakeOperator()
    operator.pods.seen[POD] = CRASHED
    assert view(picture, fleet_scenarios.burst(), MIDDLE, *KEYS[:-1], "enter", operator=operator)


def test_logs_80x24(picture: Picture) -> None:
    """The pod's name in the title, the cursor on the newest line, and that line in full below."""
    operator = reading(*LINES)
    keys = (":pods", "j", "l")
    assert view(picture, fleet_scenarios.burst(), SMALL, *keys, operator=operator)


def test_loading_80x24(picture: Picture) -> None:
    """No snapshot yet: what the dashboard waits for, and for how long. Nothing moves."""
    assert picture(showing(None, waited=3.0), terminal_size=SMALL)


ENGINE_ERROR = "cannot read fleet.yaml: line 12: unknown key 'polls'; next try in 8 s"


def test_error_80x24(picture: Picture) -> None:
    """The engine stopped before its first snapshot: why, and when it starts again."""
    assert picture(showing(None, waited=12.0, engine_error=ENGINE_ERROR), terminal_size=SMALL)


def test_stale_80x24(picture: Picture) -> None:
    """No news for 47 s: banner, STALE in the header, ~ after every value, the same order."""
    assert picture(showing(scenarios.stale_fleet()), terminal_size=SMALL)


def test_disconnected_160x45(picture: Picture) -> None:
    """The same on the wide layout; the engine panel says when the last good answer came."""
    assert picture(showing(scenarios.nats_lost()), terminal_size=WIDE)


def test_help_160x45(picture: Picture) -> None:
    """All keys in groups, the roles and the commands."""
    assert picture(showing(scenarios.mixed_fleet()), press=["?"], terminal_size=WIDE)


def test_filter_80x24(picture: Picture) -> None:
    """The prompt over the hints, the filter in the title, only the rows that match."""
    assert picture(showing(scenarios.mixed_fleet()), press=typed("/acme|etl"), terminal_size=SMALL)


def test_command_line_80x24(picture: Picture) -> None:
    """Half a command: its completion in grey, all completions at the right."""
    assert picture(showing(scenarios.mixed_fleet()), press=typed(":why acme/"), terminal_size=SMALL)


def test_ascii_80x24(picture: Picture) -> None:
    """The same overview, with ASCII symbols only."""
    assert picture(showing(scenarios.mixed_fleet(), ascii_only=True), terminal_size=SMALL)


def test_hostile_80x24(picture: Picture) -> None:
    """Escapes, markup and bidi marks as names: shown as plain text or as replacement characters."""
    assert picture(showing(scenarios.hostile_fleet()), terminal_size=SMALL)
