"""What nothing is there for yet is taken with a notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config import load, parse

FLEET = """\
version: 1
nats: {servers: [nats://h]}
%s
tenants: {acme: {tier: growth%s}}
pools:
  - {name: a, tenant: acme, queue: {stream: T, consumer: c}, replicas: {max: 5}%s}
"""
CPU = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 75}}}"
QUEUE = "{type: External, external: {metric: {name: queue}, target: {type: Value, value: 5}}}"
SIGNAL = ", signals: {cases: {external: {name: active}}}"
CASES = QUEUE.replace("queue", "cases")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


def notices(path: Path) -> list[str]:
    return [str(each).removeprefix(f"{path}:") for each in load(path).notices]


@pytest.mark.parametrize(
    ("top", "tenant", "pool", "notice"),
    [
        (
            "models: {m: {tier: nano}}",
            "",
            "",
            "3:14: models.m.tier is read by workers' routers; nothing acts on it yet",
        ),
        (
            "models: {m: {limits: {parallel: 1, burst: 2}}}",
            "",
            "",
            "3:36: models.m.limits.burst is read by workers; nothing acts on it yet",
        ),
        (
            "",
            ", budget: {usd_per_workflow: 1}",
            "",
            "4:41: tenants.acme.budget.usd_per_workflow is read by workers; nothing acts on it yet",
        ),
    ],
)
def test_a_key_of_the_workers_is_taken_and_said_to_be_without_effect(
    path: Path, top: str, tenant: str, pool: str, notice: str
) -> None:
    path.write_text(FLEET % (top, tenant, pool), "utf-8")
    assert notices(path) == [notice]
    assert parse(path.read_text("utf-8"), "fleet.yaml").notices == ()


@pytest.mark.parametrize(
    ("top", "tenant", "pool"),
    [
        (
            "capacity: {replicas: 9}",
            ", quota: {replicas: 3}, budget: {usd_per_hour: 5, tokens_per_day: 5}",
            "",
        ),
        ("", ", budget: {usd_alert: 5}", ", warm: {replicas: 1}, native: {setting: calm}"),
        ("", "", f", metrics: [{QUEUE}, {CPU}]"),
        ("", "", f"{SIGNAL}, metrics: [{CASES}]"),
        ("", "", f", metrics: [{QUEUE}], modifiers: {{formula: queue / 2, target: 5}}"),
        ("", "", ', schedules: [{cron: "0 18 * * 5", for: 62h, max: 3}]'),
        ("tiers: {growth: {priority: 1, blind: {after: 1m, replicas: 2}}}", "", ""),
        ("capacity: {node_classes: {spot: {nodes: {max: 9}}}}", "", ", nodes: [spot]"),
    ],
)
def test_keys_that_are_acted_on_pass_without_a_word(
    path: Path, top: str, tenant: str, pool: str
) -> None:
    path.write_text(FLEET % (top, tenant, pool), "utf-8")
    assert notices(path) == []


NO_PRICE = "models.m has no price here or in the maintained table: its cost ceiling does not apply"


@pytest.mark.parametrize(
    ("capacity", "tenant"),
    [
        ("capacity: {usd_per_hour: 5}", ""),
        ("", ", budget: {usd_per_hour: 5}"),
        ("", ", budget: {usd_alert: 5}"),
    ],
)
def test_a_limit_in_usd_that_a_model_escapes_is_said(
    path: Path, capacity: str, tenant: str
) -> None:
    top = f"models: {{m: {{}}, n: {{price: {{input: 1, output: 1}}}}}}\n{capacity}"
    path.write_text(FLEET % (top, tenant, ""), "utf-8")
    assert notices(path) == [f"3:10: {NO_PRICE}"]


def test_without_a_limit_in_usd_no_price_is_missed(path: Path) -> None:
    path.write_text(FLEET % ("models: {m: {}}", "", ""), "utf-8")
    assert notices(path) == []
