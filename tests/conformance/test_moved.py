"""The cases of the HPA and of KEDA once more: each case's autoscaler is written as YAML, as a
cluster has it, and the pool that `agentdash import` makes of it answers as the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import pytest
import yaml

from conformance.cases import CASES_HERE, FOLDER, Case, differing, load, stated
from conformance.statement import REWRITTEN, NotStatable
from controller.config.autoscalers import Imported, autoscalers
from controller.config.moved import fleet_text, one_a_target
from support.table import tabled

CASES: Final = [case for case in load(FOLDER) if case.name.startswith(("hpa-", "keda-"))]
STATABLE: Final = [
    pytest.param(case, id=case.name) for case in CASES if not isinstance(stated(case), NotStatable)
]


@tabled("case", STATABLE)
def test_what_is_imported_plans_as_the_original(case: Case) -> None:
    with moved_through(as_hpa if case.name.startswith("hpa-") else as_scaled_object):
        given = stated(case)
        assert not isinstance(given, NotStatable), given.reason
        assert not differing(case, given)


@pytest.mark.skipif(FOLDER != CASES_HERE, reason="the number of the cases that are kept here")
def test_every_case_that_can_be_stated_is_moved() -> None:
    assert len(STATABLE) == 86


@contextmanager
def moved_through(written: Any) -> Iterator[None]:
    def moved(document: dict[str, Any]) -> dict[str, Any]:
        [entry] = document["pools"]
        text = yaml.safe_dump(written(entry))
        found = [each for each in autoscalers(text, "case") if isinstance(each, Imported)]
        [one] = one_a_target(found)
        assert one.pool is not None, one.remarks
        assert one.state == "wholly", one.remarks
        document = yaml.safe_load(fleet_text([one], []))
        assert isinstance(document, dict)
        return document

    token = REWRITTEN.set(moved)
    try:
        yield
    finally:
        REWRITTEN.reset(token)


def as_hpa(entry: dict[str, Any]) -> dict[str, Any]:
    """The HorizontalPodAutoscaler whose metrics, bounds and behavior a case states."""
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": entry["name"]},
        "minReplicas": entry["replicas"]["min"],
        "maxReplicas": entry["replicas"]["max"],
        "metrics": entry["metrics"],
        "behavior": entry.get("behavior"),
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "case", "namespace": entry["tenant"]},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def as_scaled_object(entry: dict[str, Any]) -> dict[str, Any]:
    """The ScaledObject that a case of KEDA states: its queue is a JetStream consumer, each other
    signal a trigger of that name.
    """
    replicas, modifiers = entry["replicas"], entry.get("modifiers")
    triggers = [trigger(name, entry.get("metrics", ())) for name in entry.get("signals", ())]
    if not triggers:
        metadata = {
            "natsServerMonitoringEndpoint": "nats.nats.svc:8222",
            "account": "$G",
            **entry["queue"],
            "lagThreshold": str(entry.get("target", 1)),
            "activationLagThreshold": str(entry.get("activation", 0)),
        }
        triggers = [{"type": "nats-jetstream", "metadata": metadata}]
    advanced = {
        "horizontalPodAutoscalerConfig": {"behavior": entry.get("behavior")},
        "scalingModifiers": modifiers,
    }
    spec = {
        "scaleTargetRef": {"name": entry["name"]},
        "minReplicaCount": replicas["min"],
        "maxReplicaCount": replicas["max"],
        "idleReplicaCount": replicas.get("idle"),
        "cooldownPeriod": entry.get("cooldown"),
        "initialCooldownPeriod": entry.get("initial_cooldown"),
        "fallback": entry.get("fallback"),
        "advanced": {key: value for key, value in advanced.items() if value is not None},
        "triggers": triggers,
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "case", "namespace": entry["tenant"]},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def trigger(name: str, metrics: Any) -> dict[str, Any]:
    target = next(
        (
            each["external"]["target"]
            for each in metrics
            if each["type"] == "External" and each["external"]["metric"]["name"] == name
        ),
        {"type": "AverageValue", "averageValue": "1"},
    )
    milli = target.get("value") or target["averageValue"]
    number = Decimal(milli.removesuffix("m")) / (1000 if milli.endswith("m") else 1)
    return {
        "type": "metrics-api",
        "name": name,
        "metricType": target["type"],
        "metadata": {"url": "http://api", "valueLocation": name, "targetValue": f"{number:f}"},
    }
