"""What an agent's process loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOADS = """
import json, sys, time
began = time.process_time()
import agentdash.worker
took = time.process_time() - began
names = {name.partition(".")[0] for name in sys.modules}
rooms = {name for name in sys.modules if name.startswith("controller.")}
print(json.dumps([sorted(names), sorted(rooms), took]))
"""


def loaded(then: str = "") -> tuple[set[str], set[str], float]:
    code = LOADS.replace("import agentdash.worker\n", f"import agentdash.worker\n{then}\n")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, rooms, took = json.loads(out.stdout)
    return set(names), set(rooms), took


@pytest.mark.parametrize("then", ["", "import agentdash.worker.lifecycle, agentdash.verbs.worker"])
def test_a_worker_loads_neither_kubernetes_nor_a_screen(then: str) -> None:
    names, rooms, _ = loaded(then)
    assert not names & {"kubernetes", "textual", "rich", "pydantic", "yaml"}
    allowed = ("controller.model", "controller.logs", "controller.exit_codes")
    assert {room for room in rooms if not room.startswith(allowed)} == set()


def test_to_write_an_agent_nothing_heavy_is_loaded() -> None:
    names, _, _ = loaded()
    assert not names & {"nats", "aiohttp", "prometheus_client"}


@pytest.mark.benchmark
def test_import_time() -> None:
    took = sorted(loaded()[2] for _ in range(5))[2]
    print(f"\nimport agentdash.worker: {took * 1000:.0f} ms   [target ≤ 250 ms]")
