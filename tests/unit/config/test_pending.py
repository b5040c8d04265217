"""What is read but not acted on yet is refused by name, where a fleet is to be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config import FleetFileError, load, parse

FLEET = """\
version: 1
nats: {servers: [nats://h]}
%s
tenants: {acme: {tier: growth%s}}
pools:
  - {name: a, tenant: acme, queue: {stream: T, consumer: c}, replicas: {max: 5}%s}
"""
METRIC = (
    "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 75}}}"
)


def complaints(path: Path, *, live: bool) -> list[str]:
    try:
        load(path, live=live)
    except FleetFileError as error:
        return [f"{each.path}: {each.message}" for each in error.errors]
    return []


@pytest.mark.parametrize(
    ("top", "tenant", "pool", "key"),
    [
        ("", ", budget: {usd_per_workflow: 1}", "", "tenants.acme.budget.usd_per_workflow"),
        (
            "tiers: {growth: {priority: 1, blind: {after: 1m, replicas: 2}}}",
            "",
            "",
            "tiers.growth.blind",
        ),
        ("models: {m: {tier: nano}}", "", "", "models.m.tier"),
    ],
)
def test_a_key_that_nothing_acts_on_is_refused_by_name(
    tmp_path: Path, top: str, tenant: str, pool: str, key: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET % (top, tenant, pool), "utf-8")
    parse(path.read_text("utf-8"), "fleet.yaml")
    for live in (True, False):
        [complaint] = complaints(path, live=live)
        assert complaint.startswith(f"{key}: not supported yet")


@pytest.mark.parametrize(
    ("top", "tenant", "pool", "key"),
    [
        ("", ", budget: {tokens_per_day: 5}", "", "tenants.acme.budget.tokens_per_day"),
        ("capacity: {node_classes: {spot: {}}}", "", "", "capacity.node_classes"),
        (
            "",
            "",
            f", metrics: [{METRIC}]",
            "pools[0].metrics[0]",
        ),
    ],
)
def test_what_a_controller_cannot_read_yet_can_still_be_planned(
    tmp_path: Path, top: str, tenant: str, pool: str, key: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET % (top, tenant, pool), "utf-8")
    [complaint] = complaints(path, live=True)
    assert complaint.startswith(f"{key}: not supported yet by a running controller")
    assert complaints(path, live=False) == []


def test_keys_that_are_acted_on_pass(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    tenant = ", quota: {replicas: 3}, budget: {usd_per_hour: 5}"
    path.write_text(FLEET % ("capacity: {replicas: 9}", tenant, ", warm: {replicas: 1}"), "utf-8")
    assert complaints(path, live=True) == []
