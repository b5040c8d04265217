"""The HPA's whole passes once more, as the plan of a pool with rule `hpa`."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from controller.planning.hpa import Scale, Selector, Settings
from msgspec.structs import replace

from conformance.answers import DIVERGENCES, expected_of
from conformance.hpa_answers import (
    behavior_of,
    memory_of,
    metric_of,
    min_of,
    reading_of,
    scale_of,
    settings_of,
)
from conformance.test_conformance import FOLDER, kind_of, load
from controller.model.decision import Decision
from controller.model.fleet import Behavior, Fleet, Pool, Rule
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Why
from controller.planning.demand.metrics.names import reading_name
from controller.planning.recommend.behavior import hpa_defaults
from support.planning import plan

LONG_AGO = RecommendationRun(replicas=0, first_at=0.0, last_at=0.0)


class Part(StrEnum):
    """How a whole pass of the HPA is told to a plan, or why it is not."""

    WHOLE = "the recommendation is the same"
    UNSEEN = "what the HPA cannot find is not seen: nothing is written"
    ZERO = "HPA to and from zero"
    NO_METRIC = "HPA without metrics"
    ONE_NAME = "HPA metrics of one name"
    GROWTH = "HPA growth without behavior"


def part_of(case: dict[str, Any]) -> Part:
    inputs, wanted = case["inputs"], case["expected"].get("desired_replicas")
    scale, hpa = scale_of(inputs), inputs["hpa"]
    if scale is None or scale.selector is not Selector.VALID:
        return Part.UNSEEN
    metrics = hpa["metrics"]
    if not metrics:
        return Part.NO_METRIC
    if len({reading_name(metric_of(metric)) for metric in metrics}) < len(metrics):
        return Part.ONE_NAME
    if min_of(hpa) < 1 and 0 in {scale.replicas, wanted}:
        return Part.ZERO
    # the cases' flag for growth without behavior is not the default: where it binds they differ
    growth = max(Settings().growth_factor * scale.replicas, Settings().growth_minimum)
    if hpa.get("behavior") is None and wanted is not None and wanted > growth:
        return Part.GROWTH
    return Part.WHOLE


PASSES = [found for found in load(FOLDER) if kind_of(found.values[0]) == "reconcile"]


def passes(part: Part) -> list[Any]:
    return [found for found in PASSES if part_of(found.values[0]) is part]


def pool_of(inputs: dict[str, Any]) -> Pool:
    hpa, settings = inputs["hpa"], settings_of(inputs["config"])
    written = behavior_of(hpa.get("behavior"), int(settings.downscale_window_s))
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
        min=min_of(hpa),
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


def decided(case: dict[str, Any], **unseen: object) -> Decision:
    """The decision of the case's pool; what is `unseen` of it is a reading that says why."""
    inputs = case["inputs"]
    pool, before = pool_of(inputs), memory_of(inputs)
    scale = scale_of(inputs) or Scale(replicas=inputs["target"]["spec_replicas"], status_replicas=0)
    history = before.recommendations
    remembered = PoolMemory(
        since=0.0,
        # no history is one that has just been started: an empty one is one that is past
        recommendations=(LONG_AGO,) if history == () else history or (),
        scaled_up=before.scaled_up,
        scaled_down=before.scaled_down,
    )
    seen = replace(seen_of(inputs, scale), **unseen)
    result, _ = plan(
        Observation(pools={pool.key: seen}),
        Fleet(pools=(pool,)),
        Intents(),
        Memory(pools={pool.key: remembered}),
        inputs["now"],
    )
    return result.decisions[pool.key]


@pytest.mark.parametrize("case", passes(Part.WHOLE))
def test_the_recommendation_is_the_one_of_the_original(case: dict[str, Any]) -> None:
    wanted = expected_of("reconcile", case["expected"])["desired_replicas"]
    assert decided(case).recommendation == wanted


@pytest.mark.parametrize("case", passes(Part.UNSEEN))
def test_what_the_original_cannot_find_is_not_written_either(case: dict[str, Any]) -> None:
    """A Deployment that cannot be read is absent; one without a selector of its own has no pods
    that could be known.
    """
    gone = Absent(why=Why.VIEW_INCOMPLETE, at=case["inputs"]["now"])
    field = "workload" if scale_of(case["inputs"]) is None else "pods"
    assert case["expected"].get("scale_written") in {None, False}
    assert not decided(case, **{field: gone}).changes


@pytest.mark.parametrize("case", passes(Part.ZERO))
def test_to_and_from_zero_a_pool_goes_by_way_of_one(case: dict[str, Any]) -> None:
    assert decided(case).recommendation in {0, 1}


def test_what_is_not_told_to_a_plan_is_a_divergence_with_its_reason() -> None:
    told = {divergence.rule for divergence in DIVERGENCES}
    assert {Part.ZERO, Part.NO_METRIC, Part.ONE_NAME, Part.GROWTH} <= told


def test_there_are_cases() -> None:
    assert passes(Part.WHOLE), f"no pass in {FOLDER} that a pool can say"
