"""The HPA's whole passes once more, as the plan of a pool with rule `hpa`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.answers import expected_of
from conformance.hpa_answers import (
    behavior_of,
    memory_of,
    metric_of,
    reading_of,
    scale_of,
    settings_of,
)
from conformance.test_conformance import FOLDER, kind_of, load
from controller.model.fleet import Behavior, Fleet, Pool, Rule
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.planning.behavior import hpa_defaults
from controller.planning.hpa import Scale, Selector, Settings
from controller.planning.measured import reading_name
from controller.planning.planner import plan

LONG_AGO = RecommendationRun(replicas=0, first_at=0.0, last_at=0.0)


def translates(case: dict[str, Any]) -> bool:
    """Whether a pool can say it: from min 1 on, each reading under a name of its own."""
    if kind_of(case) != "reconcile":
        return False
    inputs = case["inputs"]
    scale = scale_of(inputs)
    if scale is None or scale.selector is not Selector.VALID or inputs["hpa"]["min_replicas"] < 1:
        return False
    metrics = inputs["hpa"]["metrics"]
    names = {reading_name(metric_of(metric)) for metric in metrics}
    # the cases' flag for growth without behavior is not the default: where it binds they differ
    growth = max(Settings().growth_factor * scale.replicas, Settings().growth_minimum)
    return len(names) == len(metrics) > 0 and case["expected"]["desired_replicas"] <= growth


CASES = [found for found in load(FOLDER) if translates(found.values[0])]


def pool_of(inputs: dict[str, Any]) -> Pool:
    hpa, settings = inputs["hpa"], settings_of(inputs["config"])
    written = behavior_of(hpa["behavior"], int(settings.downscale_window_s))
    filled = written or hpa_defaults()
    up, down = settings.tolerance.up, settings.tolerance.down
    return Pool(
        key=pool_key("acme", "research"),
        name="research",
        tenant="acme",
        namespace="acme",
        deployment="research",
        stream="TASKS",
        consumer="acme-research",
        behavior=Behavior(
            scale_up=replace(filled.scale_up, tolerance=Decimal(str(up))),
            scale_down=replace(filled.scale_down, tolerance=Decimal(str(down))),
        ),
        rule=Rule.HPA,
        min=hpa["min_replicas"],
        max=hpa["max_replicas"],
        without_behavior=written is None,
        metrics=tuple(metric_of(metric) for metric in hpa["metrics"]),
    )


def seen_of(inputs: dict[str, Any], scale: Scale) -> PoolObservation:
    now = inputs["now"]
    workload = Workload(replicas=scale.replicas, current=scale.status_replicas)
    return PoolObservation(
        queue=Fresh(value=QueueDepth(pending=0, in_flight=0), at=now),
        workload=Fresh(value=workload, at=now),
        pods=Fresh(value=Pods(), at=now),
        metrics={
            reading_name(metric_of(metric)): reading_of(metric, now)
            for metric in inputs["hpa"]["metrics"]
        },
        measured_pods=scale.pods,
    )


@pytest.mark.parametrize("case", CASES)
def test_the_recommendation_is_the_one_of_the_original(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    pool, scale, before = pool_of(inputs), scale_of(inputs), memory_of(inputs)
    assert scale is not None
    history = before.recommendations
    remembered = PoolMemory(
        since=0.0,
        # no history is one that has just been started: an empty one is one that is past
        recommendations=(LONG_AGO,) if history == () else history or (),
        scaled_up=before.scaled_up,
        scaled_down=before.scaled_down,
    )
    result, _ = plan(
        Observation(pools={pool.key: seen_of(inputs, scale)}),
        Fleet(pools=(pool,)),
        Intents(),
        Memory(pools={pool.key: remembered}),
        inputs["now"],
    )
    wanted = expected_of("reconcile", case["expected"])["desired_replicas"]
    assert result.decisions[pool.key].recommendation == wanted


def test_there_are_cases() -> None:
    assert CASES, f"no pass in {FOLDER} that a pool can say"
