"""Tiers, tenants, models and capacity: their values, and the problems they can have."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from controller.config import parse
from controller.model.fleet import BlindPolicy, Fleet
from controller.model.scarcity import Budget, Pacing, Resources

Complain = Callable[[str], list[str]]
Dump = Callable[[object], str]

HEAD = "version: 1\nnats: {servers: [nats://localhost]}\n"


def fleet_of(document: dict[str, Any], dump: Dump) -> Fleet:
    return parse(dump(document), "fleet.yaml").fleet


def test_a_written_zero_is_obeyed(fleet: dict[str, Any], dump: Dump) -> None:
    budget = {"tokens_per_day": 0, "warn": 0, "usd_per_hour": 0, "usd_alert": 0, "hard": False}
    fleet["tenants"]["acme"] |= {
        "quota": {"replicas": 0, "cpu": 0, "memory": "0"},
        "budget": budget | {"pacing": "never"},
    }
    fleet["capacity"] = {"replicas": 0, "usd_per_hour": 0}
    found = fleet_of(fleet, dump)
    (tenant,) = found.tenants
    assert tenant.quota == Resources(replicas=0, cpu_milli=0, memory_bytes=0)
    assert tenant.budget == Budget(
        tokens_per_day=0,
        warn=Decimal(0),
        hard=False,
        pacing=Pacing.NEVER,
        usd_per_hour=Decimal(0),
        usd_alert=Decimal(0),
    )
    assert found.capacity.resources.replicas == 0
    assert found.capacity.usd_per_hour == 0


def test_a_tier_may_say_how_many_replicas_blind_pools_are_raised_to(
    fleet: dict[str, Any], dump: Dump
) -> None:
    fleet["tiers"] = {"growth": {"priority": 1, "blind": {"after": "10m", "replicas": 2}}}
    blind = fleet_of(fleet, dump).tenants[0].tier.blind
    assert blind == BlindPolicy(after_s=600.0, replicas=2)


def test_a_blind_pool_holds_by_default(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["tiers"] = {"growth": {"priority": 1, "blind": "hold"}}
    assert fleet_of(fleet, dump).tiers[0].blind is None


def test_models_may_have_the_names_of_their_providers(fleet: dict[str, Any], dump: Dump) -> None:
    names = ("gpt-4.1", "anthropic/claude-x", "llama3:70b", "Model_1@2026")
    fleet["models"] = {name: {} for name in names}
    fleet["pools"][0]["model"] = "gpt-4.1"
    found = fleet_of(fleet, dump)
    assert tuple(model.name for model in found.models) == names
    assert found.pools[0].model == "gpt-4.1"


def test_the_nearest_model_and_node_class_are_named(complaints: Complain) -> None:
    lines = complaints(
        HEAD
        + """\
models: {gpt-large: {}, gpt-small: {}}
tenants: {acme: {tier: growth}}
capacity: {node_classes: {spot: {}, on-demand: {}}}
pools:
  - name: a
    tenant: acme
    queue: {stream: S, consumer: c}
    replicas: {max: 1}
    model: gpt-larg
    nodes: [spot, on-demnd, arm]
"""
    )
    assert lines == [
        (
            'fleet.yaml:11:12: pools[0].model: no model is called "gpt-larg"; '
            'did you mean "gpt-large"?'
        ),
        (
            'fleet.yaml:12:19: pools[0].nodes[1]: no node class is called "on-demnd"; '
            'did you mean "on-demand"?'
        ),
        (
            'fleet.yaml:12:29: pools[0].nodes[2]: no node class is called "arm"; '
            "there are: on-demand, spot"
        ),
    ]
