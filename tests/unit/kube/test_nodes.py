"""The room of nodes: which count, their classes, and what an autoscaler may still add."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from controller.kube.supply import NodeView
from controller.kube.watch import Refused, believed
from controller.model.ids import read_selector
from controller.model.observation import ClusterRoom
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.value import INT64_MAX
from support.table import tabled

GI = 2**30
NOTHING = Resources(replicas=0, cpu_milli=0, memory_bytes=0)
SPOT = NodeClass(name="spot", selector="spot=true", max_nodes=4)
REST = NodeClass(name="rest")


def node(
    name: str = "n",
    *,
    cpu: object = "4",
    labels: dict[str, str] | None = None,
    ready: str = "True",
    **spec: Any,
) -> msgspec.Raw:
    found = {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }
    return msgspec.Raw(json.dumps(found).encode())


def spot(name: str, **more: Any) -> msgspec.Raw:
    return node(name, labels={"spot": "true"}, **more)


def known(view: NodeView, *classes: NodeClass) -> ClusterRoom:
    """The room, also of nodes that are refused."""
    room = view.room(classes)
    found = room.last if isinstance(room, Refused) else room
    return ClusterRoom(resources=NOTHING) if found is None else found


def cpus(view: NodeView, *classes: NodeClass) -> dict[str, int | None]:
    """Cores in all (under "") and by class."""
    room = known(view, *classes)
    named = {"": room.resources, **room.classes}
    return {
        name: None if each.cpu_milli is None else each.cpu_milli // 1000
        for name, each in named.items()
    }


def seen(*nodes: msgspec.Raw) -> NodeView:
    view = NodeView()
    view.replace(nodes)
    return view


@tabled(
    "closed",
    [
        node("b", ready="False"),
        node("b", ready="Unknown"),
        node("b", unschedulable=True),
        node("b", taints=[{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]),
        node("b", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoExecute"}]),
        node("b", taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]),
        node("b", cpu="lots"),
        node("b", cpu="-1"),
        node("b", cpu=str(2**63)),
        node("b", cpu=[]),
    ],
)
def test_a_node_that_takes_no_pods_makes_no_room(closed: msgspec.Raw) -> None:
    assert cpus(seen(node("a"), closed)) == {"": 4}


@tabled(
    "taint",
    [
        {"key": "cloud.google.com/gke-spot", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/memory-pressure", "effect": "PreferNoSchedule"},
    ],
)
def test_a_taint_that_people_set_or_that_only_prefers_closes_no_node(taint: dict[str, str]) -> None:
    assert cpus(seen(node("a", taints=[taint]))) == {"": 4}


@tabled(
    ("found", "why"),
    [
        (node(), ""),
        (node(ready="Unknown"), "not Ready"),
        (node(unschedulable=True), "cordoned"),
        (
            node(taints=[{"key": "node.kubernetes.io/pid-pressure", "effect": "NoSchedule"}]),
            "tainted node.kubernetes.io/pid-pressure",
        ),
        (node(taints=[{"key": "team", "effect": "NoSchedule"}]), ""),
        (msgspec.Raw(b'{"metadata": {"name": "n"}, "spec": 4}'), "it cannot be read"),
    ],
)
def test_why_a_node_takes_no_pods_is_known(found: msgspec.Raw, why: str) -> None:
    view = seen(node("readable"), found)
    assert known(view).states["n"].closed == why


def test_a_node_tells_what_it_holds_and_its_first_taints_as_plain_text() -> None:
    taints = [{"key": f"t{n}", "value": "a\x1b[31m", "effect": "NoSchedule"} for n in range(40)]
    state = known(seen(node(taints=[{"key": "gpu", "effect": "NoExecute"}, *taints]))).states["n"]
    assert state.holds == Resources(replicas=110, cpu_milli=4000, memory_bytes=8 * GI)
    assert state.taints[:2] == ("gpu:NoExecute", "t0=a\N{REPLACEMENT CHARACTER}[31m:NoSchedule")
    assert len(state.taints) == 8


FIXED = NodeClass(name="spot", selector="spot=true")
LEAST = NodeClass(name="spot", selector="spot=true", min_nodes=3)
LARGE = NodeClass(name="large", selector="size in (l, xl)")
MANY = NodeClass(name="spot", selector="spot=true", max_nodes=2**31)
MIXED = (node("a"), spot("b"), node("c", labels={"spot": "true", "size": "l"}))


@tabled(
    ("nodes", "classes", "cores"),
    [
        # the first class that selects a node has it, else the one without a selector
        (MIXED, (REST, FIXED, LARGE), {"": 12, "rest": 4, "spot": 8, "large": 0}),
        (MIXED, (LARGE, FIXED), {"": 12, "large": 4, "spot": 4}),
        # nodes that may still be added count, each as the smallest of its class
        ((node("a"), spot("b")), (SPOT, REST), {"": 20, "spot": 16, "rest": 4}),
        ((spot("a", cpu="8"), spot("b", cpu="2")), (SPOT,), {"": 14, "spot": 14}),
        ((spot("a"),), (MANY,), {"": 4 * 2**31, "spot": 4 * 2**31}),
        # a closed node counts towards max_nodes and shows the size of its class
        (
            (spot("a"), spot("b", unschedulable=True), spot("c", ready="False")),
            (SPOT,),
            {"": 8, "spot": 8},
        ),
        ((spot("a", unschedulable=True),), (SPOT,), {"": 12, "spot": 12}),
        # nodes beyond max_nodes are room too
        (tuple(spot(f"n{number}") for number in range(6)), (SPOT,), {"": 24, "spot": 24}),
        # a class that may grow and never had a node sets no limit
        ((node("a"),), (SPOT, REST), {"": None, "spot": None, "rest": 4}),
        # without max_nodes a class has its nodes, or at least min_nodes
        ((spot("a"),), (FIXED,), {"": 4, "spot": 4}),
        ((spot("a"),), (LEAST,), {"": 12, "spot": 12}),
        ((node("a"),), (FIXED,), {"": 4, "spot": 0}),
        ((), (), {"": 0}),
    ],
)
def test_a_class_has_the_nodes_it_selects_and_those_that_may_be_added(
    nodes: tuple[msgspec.Raw, ...], classes: tuple[NodeClass, ...], cores: dict[str, int | None]
) -> None:
    assert cpus(seen(*nodes), *classes) == cores


def test_the_room_is_made_anew_only_when_a_node_changed() -> None:
    view = seen(spot("a"))
    before = view.room((SPOT,))
    view.put(spot("a"))
    assert view.room((SPOT,)) is before
    view.put(spot("a", cpu="3"))
    assert view.room((SPOT,)) != before


ODD_AMOUNTS = [("-1", Why.IMPLAUSIBLE), (str(2**63), Why.IMPLAUSIBLE), ("x", Why.UNREADABLE)]


def reading_of(view: NodeView) -> Reading[ClusterRoom]:
    return believed(Fresh(value=view.room(()), at=9.0))


@tabled(("odd", "why"), ODD_AMOUNTS)
def test_a_node_whose_amounts_cannot_be_believed_keeps_the_last_good_ones(
    odd: str, why: Why
) -> None:
    view = seen(node("a"), node("b"))
    assert isinstance(reading_of(view), Fresh)
    view.put(node("b", cpu=odd))
    reading = reading_of(view)
    assert isinstance(reading, Stale)
    assert (reading.value.resources.cpu_milli, reading.why, reading.at) == (8000, why, 9.0)
    assert reading.detail.startswith(f"node b: '{odd}' is ")
    view.put(node("b", cpu=odd, unschedulable=True))
    assert cpus(view) == {"": 4}, "what can be read of it counts"
    view.put(node("b", cpu="2"))
    assert cpus(view) == {"": 6}
    assert isinstance(reading_of(view), Fresh)


def test_a_node_that_becomes_unreadable_stays_as_it_was() -> None:
    view = seen(node("a"), node("b", cpu="2"))
    view.put(node("b", cpu=[]))
    reading = reading_of(view)
    assert isinstance(reading, Stale)
    assert (reading.value.resources.cpu_milli, reading.why) == (6000, Why.UNREADABLE)
    view.remove(node("b"))
    assert isinstance(reading_of(view), Fresh)


@tabled(("odd", "why"), ODD_AMOUNTS)
def test_where_no_node_was_ever_readable_there_is_no_reading(odd: str, why: Why) -> None:
    reading = reading_of(seen(node("a", cpu=odd)))
    assert isinstance(reading, Absent)
    assert (reading.why, reading.at) == (why, 9.0)


def test_the_same_fault_again_is_the_same_object() -> None:
    view = seen(node("a"), node("b", cpu="-1"))
    room = view.room(())
    view.put(node("b", cpu="-1", labels={"heartbeat": "2"}))
    assert view.room(()) is room


def test_room_stays_within_what_kubernetes_can_count() -> None:
    many = NodeClass(name="spot", selector="spot=true", max_nodes=2**31)
    room = seen(spot("a"), node("b", cpu=str(INT64_MAX // 1000))).room((many,))
    assert room.classes["spot"].memory_bytes == INT64_MAX
    assert room.resources.memory_bytes == INT64_MAX
    assert room.resources.cpu_milli == INT64_MAX


@tabled(
    ("selector", "matches"),
    [
        ("a=1", True),
        ("a==1", True),
        ("a=2", False),
        ("a!=2", True),
        ("b!=2", True),
        ("a", True),
        ("b", False),
        ("!b", True),
        ("! a", False),
        ("a in (1, 2)", True),
        ("a notin (1)", False),
        ("b notin (1)", True),
        ("example.com/x=", True),
        ("a in (2,3),!b", False),
        ("a in (1,3),!b , example.com/x", True),
    ],
)
def test_selectors_match_as_kubernetes_does(selector: str, matches: bool) -> None:
    assert read_selector(selector)({"a": "1", "example.com/x": ""}) is matches


@tabled("selector", ["a b", "=1", "a in", "a in (", "!a=1", "a,,b", "a>1", "ain (b)"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        read_selector(selector)


@tabled(
    "key",
    [
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "node.kubernetes.io/out-of-service",
        "example.com/leaving",
    ],
)
def test_a_node_that_ends_is_known_by_its_taint(key: str) -> None:
    view = NodeView(["example.com/leaving"])
    view.replace([node("a"), node("b")])
    assert known(view).ending == {}
    tainted = node("b", taints=[{"key": "other"}, {"key": key, "effect": "PreferNoSchedule"}])
    view.put(tainted)
    assert known(view).ending == {"b": key}
    view.put(node("b"))
    assert known(view).ending == {}


@tabled(
    "key",
    [
        "kubernetes.azure.com/scalesetpriority",
        "cloud.google.com/gke-spot",
        "node.kubernetes.io/unschedulable",
        "DeletionCandidateOfClusterAutoscaler",
        "example.com/leaving-soon",
    ],
)
def test_a_node_that_may_end_some_day_does_not_end(key: str) -> None:
    view = NodeView(["example.com/leaving"])
    view.replace([node("a", taints=[{"key": key, "effect": "NoSchedule"}])])
    assert known(view).ending == {}
