"""The views of the whole fleet as pictures. Each docstring says what a reviewer must see."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from controller.model.snapshot import Snapshot
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.plain import typed

SMALL, MIDDLE, WIDE = (80, 24), (120, 36), (160, 45)
Picture = Callable[..., bool]


def same(
    picture: Picture,
    snapshot: Snapshot | None,
    command: str,
    size: tuple[int, int],
    *keys: str,
    ascii_only: bool = False,
) -> bool:
    """Whether the view of this command, after these keys, is as in its picture."""
    app = dashboard(scenarios.FakeFeed(snapshot), ascii_only=ascii_only)
    return picture(app, press=[*typed(f":{command}"), "enter", *keys], terminal_size=size)


def test_queues_80x24(picture: Picture) -> None:
    """The longest queue first; a stale one with ~, a blind one with ?, one paused in NATS, one held
    by a pause; below, how the queue under the cursor moves and how long its messages wait.
    """
    assert same(picture, fleet_scenarios.burst(), "qu", SMALL)


def test_queues_120x36(picture: Picture) -> None:
    """The same with both waits, stream and consumer; below, why messages of a queue are held."""
    assert same(picture, fleet_scenarios.burst(), "qu", MIDDLE, "j", "j", "j", "j")


def test_queues_160x45(picture: Picture) -> None:
    """Every column; below, messages that come back again and again."""
    assert same(picture, fleet_scenarios.burst(), "qu", WIDE, "j", "j", "j")


def test_queues_stale_80x24(picture: Picture) -> None:
    """No news for 47 s: a banner, and ~ after every number that is known."""
    assert same(picture, fleet_scenarios.stale(), "qu", SMALL)


def test_queues_loading_80x24(picture: Picture) -> None:
    """No snapshot yet: what is waited for, and no details."""
    assert same(picture, None, "qu", SMALL)


def test_tenants_80x24(picture: Picture) -> None:
    """Nobody near a limit: every share small, every budget lasts the day, no alarming colour."""
    assert same(picture, fleet_scenarios.calm(), "tn", SMALL)


def test_tenants_120x36(picture: Picture) -> None:
    """Over budget: one tenant stopped, one held to its pace until its tokens run out at a time, one
    whose ledger is silent, one paused; below, all of the paced one.
    """
    assert same(picture, fleet_scenarios.over_budget(), "tn", MIDDLE, "j")


def test_tenants_160x45(picture: Picture) -> None:
    """The same with bars, quotas and the pause; below, who paused the last tenant and why."""
    assert same(picture, fleet_scenarios.over_budget(), "tn", WIDE, "G")


def test_tenants_stale_80x24(picture: Picture) -> None:
    """No news for 47 s: ~ after every number."""
    assert same(picture, fleet_scenarios.stale(), "tn", SMALL)


def test_tenants_empty_80x24(picture: Picture) -> None:
    """A fleet file without tenants says so."""
    assert same(picture, fleet_scenarios.nothing_at_all(), "tn", SMALL)


def test_tenants_ascii_160x45(picture: Picture) -> None:
    """The same words with ASCII symbols only, bars too."""
    assert same(picture, fleet_scenarios.over_budget(), "tn", WIDE, ascii_only=True)


def test_pods_80x24(picture: Picture) -> None:
    """A pool whose pods cannot be read first, then the worst phase; below, where the pod under the
    cursor is on its way beside the others of its pool, and why it waits.
    """
    assert same(picture, fleet_scenarios.burst(), "po", SMALL, "j")


def test_pods_120x36(picture: Picture) -> None:
    """The same with restarts and nodes; below, the cluster's warning about an unscheduled pod."""
    assert same(picture, fleet_scenarios.burst(), "po", MIDDLE, "j", "j")


def test_pods_160x45(picture: Picture) -> None:
    """Every column, the scheduler's reason in full; a pod on the way has an ellipsis after COLD."""
    assert same(picture, fleet_scenarios.burst(), "po", WIDE, "j", "j", "j")


def test_pods_of_a_pool_80x24(picture: Picture) -> None:
    """Enter on a pool: its pods only, and its name in the title."""
    assert same(picture, fleet_scenarios.burst(), "pools", SMALL, "enter")


def test_pods_empty_80x24(picture: Picture) -> None:
    """Without any pod the view says so."""
    assert same(picture, fleet_scenarios.calm(), "po", SMALL)


def test_events_80x24(picture: Picture) -> None:
    """The newest first: who, from how many to how many, the bound and the reason, one not written;
    below, the event under the cursor in full and how its pool is now.
    """
    assert same(picture, fleet_scenarios.burst(), "ev", SMALL)


def test_events_120x36(picture: Picture) -> None:
    """The same with ages and outcomes; below, a write that was refused."""
    assert same(picture, fleet_scenarios.burst(), "ev", MIDDLE, "j", "j", "j")


def test_events_160x45(picture: Picture) -> None:
    """Every column; below, an event that a person asked for, with the reason that was given."""
    assert same(picture, fleet_scenarios.burst(), "ev", WIDE, "G")


def test_events_empty_80x24(picture: Picture) -> None:
    """Nothing has been scaled yet."""
    assert same(picture, fleet_scenarios.calm(), "ev", SMALL)


def test_nodes_80x24(picture: Picture) -> None:
    """The room of all nodes and of each class, what is taken of it, and how many replicas still
    fit: none in one class; at the bottom, the pool with a pod that no node takes.
    """
    assert same(picture, fleet_scenarios.burst(), "no", SMALL, "j")


def test_nodes_120x36(picture: Picture) -> None:
    """The same; a class whose pods' requests are not known has ? and no number that is too low."""
    assert same(picture, fleet_scenarios.burst(), "no", MIDDLE, "j", "j")


def test_nodes_160x45(picture: Picture) -> None:
    """The same, with the focus on the pods that fit nowhere and the scheduler's reason in full."""
    assert same(picture, fleet_scenarios.burst(), "no", WIDE, "tab", "tab")


def test_nodes_unknown_80x24(picture: Picture) -> None:
    """Nodes may not be listed: they set no limit, and the reason is said."""
    assert same(picture, fleet_scenarios.no_nodes(), "no", SMALL)


def test_nodes_old_120x36(picture: Picture) -> None:
    """The nodes are not read any longer: ~ after what was known last, and why in the details."""
    assert same(picture, fleet_scenarios.old_nodes(), "no", MIDDLE)


def test_node_class_120x36(picture: Picture) -> None:
    """The nodes of one class: whether each takes pods, its room and what this fleet requests of it,
    its taints; below, why the one under the cursor is closed, and which pools are on it.
    """
    keys = ("j", "enter", "j", "j")
    assert same(picture, fleet_scenarios.placed(), "no", MIDDLE, *keys)


def test_node_80x24(picture: Picture) -> None:
    """One node: its room per resource and its taints; its pods with pool, phase, busy or idle, and
    what they request; ? where a worker says nothing.
    """
    keys = ("j", "enter", "j", "enter", "j")
    assert same(picture, fleet_scenarios.placed(), "no", SMALL, *keys)


def test_node_120x36(picture: Picture) -> None:
    """The same, with the age and restarts of each pod."""
    keys = ("j", "enter", "j", "enter", "j")
    assert same(picture, fleet_scenarios.placed(), "no", MIDDLE, *keys)


def test_node_160x45(picture: Picture) -> None:
    """A node that is not Ready, with a pod that still starts on it."""
    keys = ("j", "enter", "j", "j", "enter")
    assert same(picture, fleet_scenarios.placed(), "no", WIDE, *keys)


def test_info_80x24(picture: Picture) -> None:
    """Which fleet and controller, its role and since when, both connections; at the end, the right
    that a write lacked.
    """
    assert same(picture, fleet_scenarios.burst(), "info", SMALL, "G")


def test_info_120x36(picture: Picture) -> None:
    """An attached dashboard: whose decisions it shows and since when, and the journal there."""
    assert same(picture, fleet_scenarios.attached(), "info", MIDDLE, "j", "j")


def test_info_160x45(picture: Picture) -> None:
    """NATS is lost: since when, why, and when the last good answer came."""
    lost = replace(fleet_scenarios.burst(), links=scenarios.nats_lost().links)
    assert same(picture, lost, "info", WIDE, *["j"] * 6)


def test_models_80x24(picture: Picture) -> None:
    """The model nearest to a limit first, with what it refuses; > where more may be drawn than is
    known; below, each limit and the pools that draw on it.
    """
    assert same(picture, fleet_scenarios.burst(), "mo", SMALL)


def test_models_120x36(picture: Picture) -> None:
    """The same with parallel calls; below, a pool of which nobody knows what its tasks take."""
    assert same(picture, fleet_scenarios.burst(), "mo", MIDDLE, "j", "j")


def test_models_160x45(picture: Picture) -> None:
    """Every column; below, a model that no pool uses and that has no limits."""
    assert same(picture, fleet_scenarios.burst(), "mo", WIDE, "G")


def test_models_empty_80x24(picture: Picture) -> None:
    """A fleet file without models."""
    assert same(picture, fleet_scenarios.nothing_at_all(), "mo", SMALL)
