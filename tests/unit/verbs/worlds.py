"""Fleet files and observation lines for the tests of `plan` and `why`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NOW = 1_700_000_000.0
FLEET = """\
version: 1
nats: {servers: ['nats://127.0.0.1:9']}
tenants: {acme: {tier: growth}}
pools:
  - name: research
    tenant: acme
    queue: {stream: TASKS, consumer: research}
    replicas: {min: 1, max: 4}
  - name: browser
    tenant: acme
    queue: {stream: TASKS, consumer: browser}
    replicas: {max: 10}
    cooldown: 2s
    behavior: {scaleDown: {stabilizationWindowSeconds: 3}}
"""


def fresh(at: float, **value: Any) -> dict[str, Any]:
    return {"type": "fresh", "at": at, "value": value}


def pool(at: float, replicas: int, pending: int = 0, in_flight: int = 0) -> dict[str, Any]:
    return {
        "queue": fresh(at, pending=pending, in_flight=in_flight),
        "workload": fresh(at, replicas=replicas),
        "pods": fresh(at, ready=replicas),
    }


def tick(after_s: float = 0.0, **fields: Any) -> dict[str, Any]:
    """One line's object; keyword `pools` is short for its observation."""
    pools = fields.pop("pools", {})
    return {"version": 1, "now": NOW + after_s, "observation": {"pools": pools}, **fields}


def write(folder: Path, *lines: dict[str, Any] | str) -> tuple[str, str]:
    """A fleet file and an observations file; their paths."""
    fleet, ticks = folder / "fleet.yaml", folder / "ticks.jsonl"
    fleet.write_text(FLEET, "utf-8")
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    ticks.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return str(fleet), str(ticks)
