"""Up goes only into room that is physically free, down only what is idle and old enough."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from controller.model.fleet import Pool, Tenant, Tier
from controller.model.intents import Scope
from controller.model.observation import Pod, PodPhase, Pods, PoolObservation, Workload
from controller.model.readings import Fresh
from controller.model.scarcity import Capacity, Resources
from support.asked import a_pause
from support.table import tabled
from unit.planning.world import NOON, World, pool, seen, tenant


def room(**resources: int) -> dict[str, Any]:
    return {"capacity": Capacity(resources=Resources(**resources))}


def leaving(waiting: int, replicas: int, terminating: int) -> PoolObservation:
    return seen(waiting, replicas, pods=Pods(ready=replicas, terminating=terminating))


def rolling(phase: PodPhase) -> PoolObservation:
    """A pool of four in a rollout, with two pods more in this phase."""
    pods = tuple(
        Pod(name=f"p{index}", phase=PodPhase.READY if index < 4 else phase) for index in range(6)
    )
    workload = Fresh(value=Workload(replicas=4, current=6, updated=2), at=NOON)
    return replace(seen(4, 4, pods=Pods(ready=6, items=pods)), workload=workload)


A, B = pool("a"), pool("b", "globex")
GROWING = {A: (20, 2)}

# fmt: off
WORLDS: dict[str, tuple[World, dict[str, str]]] = {
    "into free room a pool grows at once": (World(GROWING, **room(replicas=99)), {"a": "20 (20)"}),
    "replicas that terminate still take room": (
        World({A: leaving(20, 2, 3)}, **room(replicas=9)),
        {"a": "6 (9) room row=replicas busy=0"}),
    "all of it": (World({A: leaving(20, 2, 50)}, **room(replicas=9)), {"a": "2 (9) room"}),
    "a count of them below zero makes no room": (
        World({A: leaving(2, 5, -5), B: (3, 0)}, **room(replicas=5)), {"b": "0"}),
    "and takes none": (World({A: leaving(20, 2, -5)}, **room(replicas=9)), {"a": "9"}),
    "surge pods of a rollout take room until they are gone": (
        World({A: rolling(PodPhase.UNSCHEDULED), B: (5, 2)}, **room(replicas=9)),
        {"a": "4", "b": "3 (5)"}),
    "those that have failed take none": (
        World({A: rolling(PodPhase.FAILED), B: (5, 2)}, **room(replicas=9)), {"b": "5 (5)"}),
    "a replica that goes leaves no room in the same plan": (
        World({A: (2, 5), B: (3, 0)}, **room(replicas=5)), {"a": "2", "b": "0 (3) room"}),
    "a pool above the whole room gets no more and loses nothing to it": (
        World({A: (9, 8)}, **room(replicas=5)), {"a": "5 (5)"}),
}
# fmt: on


@tabled("name", WORLDS)
def test_a_world(name: str) -> None:
    world, lines = WORLDS[name]
    world.expect(**lines)


@tabled(("weight", "sizes"), [(1, (4, 4)), (5, (6, 2))])
def test_room_goes_to_the_higher_tier_first_then_to_the_pool_that_runs_least_per_weight(
    weight: int, sizes: tuple[int, int]
) -> None:
    """Room for 5 more beside a pool of 10 that goes; in all there is room for every target."""
    pools = {A: (9, 4), B: (9, 1), pool("z", "high"): (4, 2), pool("c", "low"): (0, 10)}
    tiers = {"high": 1000}
    tenants: list[Tenant] = [
        tenant(
            name,
            Tier(name=name, priority=tiers.get(name, 500)),
            weight=Decimal(weight if name == "acme" else 1),
        )
        for name in ("acme", "globex", "high", "low")
    ]
    a, b = sizes
    World(pools, *tenants, **room(replicas=22)).expect(a=f"{a} (9)", b=f"{b} (9)", z="4 (4)")


def test_room_is_counted_in_the_units_of_each_row() -> None:
    def of(one: Pool, memory: int) -> Pool:
        return replace(one, requests=Resources(memory_bytes=memory))

    pools = {of(A, 4): (9, 1), of(B, 1): (9, 1), of(pool("c", "low"), 1): (0, 33)}
    World(pools, **room(memory_bytes=45)).expect(a="2", b="4")


def shrinking(
    waiting: int, busy: int = 0, young: int = 0, *, slots: int = 1, **world: Any
) -> World:
    """A pool of 5 whose replicas have a minimum runtime of a minute."""
    items = tuple(
        Pod(name=f"p{n}", phase=PodPhase.READY, ready_at=NOON - (59 if n < young else 60))
        for n in range(5)
    )
    observed = seen(waiting, 5, busy, pods=Pods(ready=5, items=items))
    return World({pool("a", minimum_runtime_s=60.0, slots=slots): observed}, **world)


PAUSE: dict[str, Any] = {"asked": (a_pause(scope=Scope()),)}


@tabled(
    ("busy", "slots", "following"),
    [(1, 1, 1), (3, 1, 3), (5, 1, 5), (9, 1, 5), (7, 3, 3), (4, 2, 2), (3, 2, 2), (3, 0, 3)],
)
def test_busy_replicas_finish_first(busy: int, slots: int, following: int) -> None:
    world = shrinking(0, busy, slots=slots, **PAUSE)
    world.expect(a=f"{following} (0) busy busy={following}")


@tabled(("young", "following"), [(0, 2), (2, 2), (3, 3), (5, 5)])
def test_sharing_takes_no_replica_back_before_its_minimum_runtime(
    young: int, following: int
) -> None:
    expected = f"{following} (2)" + (" minimum_runtime" if following > 2 else "")
    shrinking(5, young=young, **room(replicas=2)).expect(a=expected)
    shrinking(2, young=young).expect(a="2 (2)")  # it needs fewer itself
    if young == 5:
        shrinking(5, young=young, **PAUSE).expect(a="5 (0) minimum_runtime")
