"""Pools beside replicas that stand by for them, in one virtual cluster."""

from __future__ import annotations

import random

from msgspec.structs import replace

from controller.model.fleet import NativePreset
from controller.simulate.compare import WITH_STANDBYS, Contender, compare
from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import Standbys, VirtualPool, World
from support.simulated_pools import native_pool

STANDBY = replace(native_pool("standby", NativePreset.PROMPT), min=1, share=2.0)


def sparse(pools: int, hours: float, gap_s: float) -> Trace:
    dice, end_s = random.Random(1), 3600 * hours
    tasks: dict[str, list[TraceTask]] = {}
    for number in range(pools):
        at, tasks[f"pool {number}"] = dice.expovariate(1 / gap_s), []
        while at < end_s:
            tasks[f"pool {number}"].append(TraceTask(at, dice.expovariate(1 / 20)))
            at += dice.expovariate(1 / gap_s)
    return Trace(tasks, end_s)


def test_sparse_pools_wait_for_nothing_beside_standbys_and_cost_less() -> None:
    trace = sparse(pools=8, hours=4, gap_s=900)
    pools = {
        name: native_pool(f"p{number}", NativePreset.PROMPT)
        for number, name in enumerate(trace.pools)
    }
    standby = replace(STANDBY, serves=tuple(pool.key for pool in pools.values()))
    found = compare(trace, pools, World(), (Contender.AGENTDASH,), standbys=[standby])
    alone, beside = found.outcomes
    assert beside.name == WITH_STANDBYS
    assert beside.total.tasks == trace.tasks
    assert alone.total.at_once < 0.65
    assert beside.total.at_once > 0.98
    assert beside.total.replica_hours < 0.6 * alone.total.replica_hours
    assert beside.runs[standby.key].replica_s > 0.9 * 3600 * beside.total.replica_hours


def test_only_the_pools_that_a_standby_serves_are_served() -> None:
    trace = sparse(pools=2, hours=2, gap_s=900)
    first, second = (native_pool(f"p{number}", NativePreset.PROMPT) for number in range(2))
    pools = dict(zip(trace.pools, (first, second), strict=True))
    standby = replace(STANDBY, serves=(first.key,))
    found = compare(trace, pools, World(), (Contender.AGENTDASH,), standbys=[standby])
    alone, beside = found.outcomes
    assert beside.pools["pool 0"].at_once > alone.pools["pool 0"].at_once
    assert beside.runs["pool 1"] is alone.runs["pool 1"]


def test_its_own_replica_takes_a_message_before_a_standby_does() -> None:
    world = World(time_to_ready_s=0.0)
    pool = VirtualPool([TraceTask(1.0, 5.0), TraceTask(2.0, 5.0)], world, 10.0)
    standbys = Standbys([pool], world, 10.0)
    for each in (pool, standbys):
        each.resize(1, 0.0)
        each.happen(0.0)
    pool.happen(1.0)
    assert (pool.seen().busy, standbys.busy_for()) == (1, [0])
    pool.happen(2.0)
    assert (pool.seen().busy, standbys.busy_for()) == (1, [1])
    assert pool.seen().in_flight == 2
    standbys.happen(7.0)
    assert (pool.seen().completions, pool.seen().in_flight) == (1, 1)


def test_of_two_pools_the_message_that_waits_longest_is_served_first() -> None:
    world = World(time_to_ready_s=0.0)
    late, early = (VirtualPool([TraceTask(at, 1.0)], world, 10.0) for at in (2.0, 1.0))
    standbys = Standbys([late, early], world, 10.0)
    early.happen(1.0)
    late.happen(2.0)
    standbys.resize(1, 3.0)
    standbys.happen(3.0)
    assert standbys.busy_for() == [0, 1]
