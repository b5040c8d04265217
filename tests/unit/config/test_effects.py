"""Keys without effect: refused where they can have none, else named by a notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config import load
from support.table import tabled

Complain = Callable[[str], list[str]]

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
        ("models: {m: {tier: nano}}", "", ", router: [m]"),
        ("models: {m: {limits: {parallel: 5, burst: 2}}}", "", ", router: [m]"),
        ("", ", budget: {usd_per_workflow: 1}", ", session: {tokens: 1, duration: 1h}"),
    ],
)
def test_keys_with_an_effect_give_no_notice(path: Path, top: str, tenant: str, pool: str) -> None:
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
def test_a_model_without_a_price_gives_a_notice_if_there_is_a_limit_in_usd(
    path: Path, capacity: str, tenant: str
) -> None:
    top = f"models: {{m: {{}}, n: {{price: {{input: 1, output: 1}}}}}}\n{capacity}"
    path.write_text(FLEET % (top, tenant, ""), "utf-8")
    assert notices(path) == [f"3:10: {NO_PRICE}"]


LIMITS = "models: {m: {limits: {parallel: 1}}, n: {limits: {parallel: 1}}}"
UNMEASURED = "until its tasks are measured: write usage to say what a task uses"


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (", model: m", f"3:14: models.m.limits have no effect on acme/a {UNMEASURED}"),
        (", model: m, usage: {calls: 2}", None),
    ],
)
def test_limits_of_a_model_need_to_know_what_a_task_uses(
    path: Path, pool: str, expected: str | None
) -> None:
    """It may be measured later, so the limits are no mistake."""
    path.write_text(FLEET % (LIMITS, "", pool), "utf-8")
    unused = "3:42: models.n.limits have no effect: no pool uses this model"
    assert notices(path) == [each for each in (expected, unused) if each is not None]


def test_a_signal_that_nothing_reads_is_named(path: Path) -> None:
    path.write_text(FLEET % ("", "", f"{SIGNAL}, metrics: [{QUEUE}]"), "utf-8")
    [only] = notices(path)
    assert only.endswith(
        "pools[0].signals.cases is read by no metric and no formula of this pool: it has no effect"
    )


@pytest.mark.parametrize(
    "reader", [f", metrics: [{CASES}]", ", modifiers: {formula: queue + cases, target: 5}"]
)
def test_a_signal_that_a_metric_or_a_formula_reads_passes(path: Path, reader: str) -> None:
    path.write_text(FLEET % ("", "", SIGNAL + reader), "utf-8")
    assert notices(path) == []


def formula(text: str) -> str:
    """A pool's metric of the signal `cases`, and a formula."""
    return f"metrics: [{CASES}], modifiers: {{formula: {text}, target: 5}}"


BY_HPA = ", rule: hpa"


@tabled(
    "pool",
    [
        ", native: {setting: calm}, activation: 5",
        f", activation: 5, metrics: [{CPU}]",
        f"{BY_HPA}, native: null",
        f"{BY_HPA}, activation: 5",
        f"{BY_HPA}, activation: 5, metrics: [{CPU}, {QUEUE}]",
        f"{BY_HPA}, activation: 0, metrics: [{CPU}]",
        f"{BY_HPA}, activation: 5{SIGNAL}, {formula('cases + queue')}",
    ],
)
def test_a_key_that_has_an_effect_passes(complaints: Complain, pool: str) -> None:
    assert complaints(FLEET % ("", "", pool)) == []
