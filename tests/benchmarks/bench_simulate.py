"""Waits, replica-hours and restlessness of every policy on recorded traces:
`AGENTDASH_TRACES=folder pytest tests/benchmarks/bench_simulate.py -s`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.planning.native import CALM, PROMPT, THRIFTY
from controller.simulate.clairvoyant import clairvoyant_replica_s
from controller.simulate.policies import SOURCE_SETTINGS, TUNED_SETTINGS, HpaKeda, Native
from controller.simulate.score import Score, score
from controller.simulate.trace import PoolBy, Trace, read_trace
from controller.simulate.world import Policy, World, run

TRACES = {
    "claudecode_agent_dev": PoolBy.ROLE,
    "azure_llm_conv_2023": PoolBy.TENANT,
    "servegen_mlarge_day3": PoolBy.TENANT,
    "wc98_jun10-11_thin200": PoolBy.TENANT,
}
POLICIES: dict[str, Callable[[str], Policy]] = {
    "HPA+KEDA, source": lambda _: HpaKeda(SOURCE_SETTINGS),
    "the same, pending only": lambda _: HpaKeda(SOURCE_SETTINGS._replace(in_flight_counts=False)),
    "HPA+KEDA, tuned": lambda _: HpaKeda(TUNED_SETTINGS),
    "native, prompt": lambda _: Native(PROMPT),
    "native, thrifty": lambda _: Native(THRIFTY),
    "native, calm": lambda _: Native(CALM),
}
DAY, DAY_TARGET_S = "servegen_mlarge_day3", 5.0

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
        f"{name:24} {scored.wait_p50_s:6.1f} {scored.wait_p95_s:6.1f} {scored.wait_p99_s:6.1f}"
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
    print(f"{'':24}    p50    p95    p99   ≤ 1 s  repl.-h     × actions   rev.")
    print(f"{'clairvoyant':24} {0.0:6.1f} {0.0:6.1f} {0.0:6.1f} {1.0:7.1%} {bound_h:8.1f}  1.00")
    for policy, make in POLICIES.items():
        scored = score(run(trace, make, world).values())
        assert scored.tasks == trace.tasks
        print(row(policy, scored, bound_h))


def test_a_day() -> None:
    trace = load(DAY)
    began = time.process_time()
    run(trace, POLICIES["native, prompt"], World())
    took_s = time.process_time() - began
    print(f"\n{trace.tasks:,} tasks, {len(trace.pools)} pools: {took_s:.1f} s ({DAY_TARGET_S:g} s)")
