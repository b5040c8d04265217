"""The room of the nodes as a snapshot shows it."""

from __future__ import annotations

from msgspec.structs import replace

from controller.engine.show.supply import RoomViews
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import (
    ClusterRoom,
    NodeState,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.scarcity import Capacity, NodeClass, Resources
from controller.model.snapshot import ClusterNode, PoolView, RoomView
from support.world import START, a_view, make_fleet, make_pool

GIB = 1024**3
EACH = Resources(cpu_milli=500, memory_bytes=GIB)
HOLDS = Resources(replicas=110, cpu_milli=4000, memory_bytes=16 * GIB)
SPOT = NodeClass(name="spot", selector="spot=true", max_nodes=5)


def view_of(pool: Pool, *nodes: str, requests: Resources = EACH, waiting: int = 0) -> PoolView:
    items = tuple(
        Pod(name=f"{pool.name}-{n}", phase=PodPhase.READY, node=node)
        for n, node in enumerate(nodes)
    ) + tuple(Pod(name=f"w-{n}", phase=PodPhase.UNSCHEDULED) for n in range(waiting))
    seen = PoolObservation(
        pods=Fresh(value=Pods(ready=len(nodes), items=items), at=START),
        workload=Fresh(value=Workload(replicas=len(items), requests=requests), at=START),
    )
    return a_view(
        pool,
        observation=seen,
    )


def fleet_of(*pools: Pool, **capacity: object) -> Fleet:
    return replace(make_fleet(*pools), capacity=replace(Capacity(), **capacity))


RESEARCH, CODER = make_pool("research"), make_pool("coder")
ROOM = Fresh(
    value=ClusterRoom(
        resources=replace(HOLDS, cpu_milli=12_000),
        classes={"spot": HOLDS},
        nodes={"a": "", "b": "spot", "c": ""},
    ),
    at=START,
)


def test_what_pods_request_is_taken_from_the_node_that_they_are_on() -> None:
    views = RoomViews(fleet_of(RESEARCH, CODER, node_classes=(SPOT,)))
    views.take(view_of(RESEARCH, "a", "b", "b", waiting=4))
    views.take(view_of(CODER, "c"))
    whole, spot = views.view(ROOM).classes
    assert (whole.name, whole.nodes, whole.pods) == ("", ("a", "b", "c"), 4)
    assert whole.used == Resources(replicas=4, cpu_milli=2000, memory_bytes=4 * GIB)
    assert (spot.name, spot.nodes, spot.most_nodes, spot.pods) == ("spot", ("b",), 5, 2)
    assert spot.used == Resources(replicas=2, cpu_milli=1000, memory_bytes=2 * GIB)
    assert (spot.typical, spot.fits) == (RESEARCH.key, 6)


def test_the_free_room_is_in_replicas_of_the_pool_with_most_pods_there() -> None:
    views = RoomViews(fleet_of(RESEARCH, CODER))
    views.take(view_of(RESEARCH, "a"))
    views.take(view_of(CODER, "a", "b", requests=Resources(cpu_milli=250, memory_bytes=5 * GIB)))
    (whole, _) = views.view(ROOM).classes
    # 16 Gi less 11 Gi
    assert (whole.typical, whole.fits) == (CODER.key, 1)


def test_a_class_that_a_pool_may_not_use_is_not_measured_by_it() -> None:
    bound = replace(RESEARCH, nodes=("on-demand",))
    views = RoomViews(fleet_of(bound, CODER, node_classes=(SPOT,)))
    views.take(view_of(bound, "a", "a"))
    views.take(view_of(CODER))
    assert [each.typical for each in views.view(ROOM).classes] == [bound.key, CODER.key]


def test_unknown_requests_make_the_used_room_unknown_and_not_smaller() -> None:
    views = RoomViews(fleet_of(RESEARCH))
    views.take(view_of(RESEARCH, "a", requests=Resources(cpu_milli=500)))
    whole = views.view(ROOM).classes[0]
    assert whole.used == Resources(replicas=1, cpu_milli=500, memory_bytes=None)
    assert whole.fits is None


def test_without_nodes_the_fleet_files_capacity_is_the_room_and_the_reason_is_said() -> None:
    absent = Absent(why=Why.REFUSED, detail="nodes is forbidden")
    assert RoomViews(fleet_of(RESEARCH)).view(absent) == RoomView(why="refused: nodes is forbidden")
    views = RoomViews(fleet_of(RESEARCH, resources=Resources(replicas=40, cpu_milli=9000)))
    views.take(view_of(RESEARCH, "a", "b"))
    found = views.view(absent)
    assert found.classes[0].room == Resources(replicas=40, cpu_milli=9000)
    assert found.classes[0].pods == 2


def test_the_last_known_room_is_marked_as_old() -> None:
    stale = Stale(value=ROOM.value, at=START - 60, why=Why.DISCONNECTED)
    found = RoomViews(fleet_of(RESEARCH)).view(stale)
    assert (found.is_old, found.why) == (True, "disconnected")


def test_each_node_is_shown_with_its_class_its_room_and_why_it_is_closed() -> None:
    views = RoomViews(fleet_of(RESEARCH))
    states = {
        "b": NodeState(closed="not Ready"),
        "a": NodeState(holds=HOLDS, taints=("x:NoSchedule",)),
    }
    room = ClusterRoom(nodes={"a": "spot", "b": ""}, states=states)
    first, second = views.nodes(Fresh(value=room, at=START))
    assert first == ClusterNode(name="a", node_class="spot", holds=HOLDS, taints=("x:NoSchedule",))
    assert second == ClusterNode(name="b", closed="not Ready")
    other = ClusterRoom(nodes=room.nodes, states={**states, "b": NodeState(closed="cordoned")})
    again = views.nodes(Stale(value=other, at=START, why=Why.DISCONNECTED))
    assert again[0] is first
    assert again[1].closed == "cordoned"
    assert views.nodes(Absent(why=Why.REFUSED)) == ()


def test_while_no_pod_moves_it_is_the_same_object() -> None:
    views = RoomViews(fleet_of(RESEARCH))
    seen = view_of(RESEARCH, "a")
    views.take(seen)
    before = views.view(ROOM)
    views.take(replace(seen, outcome=None))
    views.take(view_of(RESEARCH, "a"))
    assert views.view(ROOM) is before
    views.take(view_of(RESEARCH, "a", "b"))
    assert views.view(ROOM) != before
    assert PoolKey("acme/research") == before.classes[0].typical
