"""Waits, replica-hours and restlessness of every policy on recorded traces:
`AGENTDASH_TRACES=folder pytest tests/benchmarks/bench_simulate.py -s`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.model.fleet import NativePreset
from controller.simulate.compare import Contender, compare
from controller.simulate.planned import PlannerPolicy
from controller.simulate.policies import TUNED_SETTINGS, HpaKeda
from controller.simulate.score import Score, score
from controller.simulate.trace import Trace, read_trace
from controller.simulate.world import Policy, World
from support.simulated_pools import (
    LAG_SETTINGS,
    SOURCE_SETTINGS,
    InHpaPeriods,
    clairvoyant_replica_s,
    hpa_pool,
    native_pool,
    run,
)

TRACES = {
    "claudecode_agent_dev": "role",
    "azure_llm_conv_2023": "tenant",
    "servegen_mlarge_day3": "tenant",
    "wc98_jun10-11_thin200": "tenant",
}
PolicyOf = Callable[[str], Policy]


def planned(native: NativePreset, slots: int, cooldown_s: float) -> PolicyOf:
    return lambda name: PlannerPolicy(native_pool(name, native, slots=slots, cooldown_s=cooldown_s))


def policies(slots: int) -> dict[str, PolicyOf]:
    """All by name; rule native through the plan with the default cooldown and with none."""
    every: dict[str, PolicyOf] = {
        "HPA+KEDA, source": lambda _: HpaKeda(SOURCE_SETTINGS),
        "the same, lag only, 2": lambda _: HpaKeda(LAG_SETTINGS),
        "HPA+KEDA, tuned": lambda _: HpaKeda(TUNED_SETTINGS),
        "plan, hpa, source": lambda name: InHpaPeriods(
            hpa_pool(name, SOURCE_SETTINGS, slots=slots)
        ),
    }
    for preset in NativePreset:
        every[f"plan, {preset.value}"] = planned(preset, slots, 900.0)
        every[f"plan, {preset.value}, cooldown 0"] = planned(preset, slots, 0.0)
    return every


DAY, DAY_TARGET_S, CORES = "servegen_mlarge_day3", 5.0, 2

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def load(name: str) -> Trace:
    folder = os.environ.get("AGENTDASH_TRACES")
    if not folder:
        pytest.skip("AGENTDASH_TRACES names no folder with the traces")
    path = Path(folder) / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in the folder that AGENTDASH_TRACES names")
    return read_trace(path, TRACES[name])


def row(name: str, scored: Score, bound_h: float) -> str:
    return (
        f"{name:26} {scored.wait_p50_s:6.1f} {scored.wait_p95_s:6.1f} {scored.wait_p99_s:6.1f}"
        f" {scored.at_once:7.1%} {scored.replica_hours:8.1f} {scored.replica_hours / bound_h:5.2f}"
        f" {scored.actions:7,} {scored.reversals:7,}"
    )


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("ready_s", [19.0, 9.0])
@pytest.mark.parametrize("name", TRACES)
def test_policies(name: str, ready_s: float, slots: int) -> None:
    trace, world = load(name), World(slots, ready_s)
    bound_h = clairvoyant_replica_s(trace, world) / 3600
    print(f"\n{name}: {trace.tasks:,} tasks, {len(trace.pools)} pools, {slots} slots, {ready_s} s")
    print(f"{'':26}    p50    p95    p99   ≤ 1 s  repl.-h     × actions   rev.")
    print(f"{'clairvoyant':26} {0.0:6.1f} {0.0:6.1f} {0.0:6.1f} {1.0:7.1%} {bound_h:8.1f}  1.00")
    for policy, make in policies(slots).items():
        scored = score(run(trace, make, world).values())
        assert scored.tasks == trace.tasks
        print(row(policy, scored, bound_h))


def test_a_day() -> None:
    trace = load(DAY)
    pools = {name: native_pool(name, NativePreset.PROMPT, maximum=100) for name in trace.pools}
    for contenders in ((Contender.AGENTDASH,), tuple(Contender)):
        began, worked = time.perf_counter(), sum(os.times()[:4])
        compare(trace, pools, World(), contenders, cores=CORES)
        took_s, worked_s = time.perf_counter() - began, sum(os.times()[:4]) - worked
        print(
            f"\n{len(contenders)} policies, {CORES} cores: {trace.tasks:,} tasks,"
            f" {len(trace.pools)} pools: {took_s:.1f} s, {worked_s:.1f} s of cores"
            f" ({DAY_TARGET_S:g} s)"
        )
