"""Cases of the HPA, stated as the plan of a pool with rule hpa.

Upstream's tests set the controller's flags otherwise than a cluster has them (pods are young for
120 s, not 300; a size grows eightfold without `behavior`, not twofold). Such a case counts where
the plan answers as recorded; else it depends on flags that agentdash does not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from conformance.hpa_inputs import events_of, history_of, min_of, pods_of, reading_of
from conformance.statement import (
    EXPECTED,
    LONG_AGO,
    MAX_REPLICAS,
    NOW,
    Answer,
    Inputs,
    NotStatable,
    Outcome,
    Stated,
    Statement,
    fleet_file,
    never,
    observed_for_long,
    one_pool,
    pool_entry,
    seen,
)
from controller.model.decision import Code
from controller.model.fleet import Fleet
from controller.model.observation import MetricValue, PoolObservation, Series
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.demand.hpa_metrics import reading_name

FLAGS: Final = "it depends on flags of the controller manager that agentdash does not read"
OUT_OF_BOUNDS: Final = "its size is out of bounds, where the HPA asks no window and no rate"
BLIND_OUT_OF_BOUNDS: Final = (
    "its size is out of bounds and its pods cannot be found (divergence: HPA and KEDA blindness)"
)
TO_ZERO: Final = "the step between zero and one is KEDA's (divergence: HPA to and from zero)"
NO_POLICIES: Final = "the API fills a direction without policies with its defaults"
NO_METRICS: Final = "a pool without metrics goes by its queue (divergence: HPA without metrics)"
ONE_NAME: Final = "two of its metrics are one reading (divergence: HPA metrics of one name)"
AFTER_THE_PLAN: Final = "it is about the answer to a write, which comes after the plan"
TOO_MANY: Final = "it takes more replicas than a fleet file can allow"
NO_DECISION: Final = "it is a part of a metric's arithmetic that no decision shows"
IN_MEMORY: Final = "it is a log that a plan remembers, which no decision shows"

SOURCES: Final = frozenset({"external", "object", "pods", "resource", "container_resource"})
DEFAULT_TOLERANCE: Final = 0.1
FLAG_DEFAULTS: Final[Mapping[str, float]] = {
    "cpu_initialization_period_s": 300,
    "initial_readiness_delay_s": 30,
    "downscale_stabilization_s": 300,
    "no_behavior_scale_up_limit_factor": 2,
    "no_behavior_scale_up_limit_minimum": 4,
    "scale_up_limit_factor": 2,
    "scale_up_limit_minimum": 4,
}
"""The flags of kube-controller-manager that a case may set otherwise than agentdash."""
METRIC_ERRORS: Final[Mapping[str, str]] = {
    "no_series": "no metrics returned from",
    "no_pods": "no pods returned by selector while calculating replica count",
    "no_samples": "did not receive metrics for targeted pods (pods might be unready)",
    "unknown_pods": "no metrics returned matched known pods",
    "no_request": "missing request for",
    "no_container": "not present in metrics for pod",
}
"""The HPA's words for why a metric proposes nothing, by ours."""

UNLIMITED: Final[Mapping[str, Any]] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 2**31 - 1, "periodSeconds": 1}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}],
    },
}
"""A `behavior` block that limits nothing."""


# metrics


def _quantity(milli: int) -> str:
    return f"{milli}m"


def _target_entry(metric: Inputs) -> dict[str, Any]:
    match metric["target_type"]:
        case "value":
            return {"type": "Value", "value": _quantity(metric["target_milli"])}
        case "utilization":
            return {"type": "Utilization", "averageUtilization": metric["target_percent"]}
        case _:
            return {"type": "AverageValue", "averageValue": _quantity(metric["target_milli"])}


def metric_entry(metric: Inputs, number: int) -> dict[str, Any]:
    """A metric of the fleet file. Signals are called m0, m1 and so on: names decide nothing. A
    metric of an unknown type is a signal that is never read, which the HPA treats alike.
    """
    name = f"m{number}"
    match metric["source"]:
        case "object":
            described = {"kind": "Service", "name": name}
            return {
                "type": "Object",
                "object": {
                    "describedObject": described,
                    "metric": {"name": metric.get("name") or name},
                    "target": _target_entry(metric),
                },
            }
        case "pods":
            named = {"name": f"{metric.get('name') or 'pods'}-{number}"}
            return {"type": "Pods", "pods": {"metric": named, "target": _target_entry(metric)}}
        case "resource" | "container_resource":
            target = {"name": metric["resource"], "target": _target_entry(metric)}
            if metric.get("container"):
                container = {**target, "container": metric["container"]}
                return {"type": "ContainerResource", "containerResource": container}
            return {"type": "Resource", "resource": target}
        case "external":
            target = _target_entry(metric)
        case _:
            target = {"type": "AverageValue", "averageValue": "1"}
    return {"type": "External", "external": {"metric": {"name": name}, "target": target}}


def pool_by_hpa(
    metrics: Sequence[Inputs],
    low: int,
    high: int,
    behavior: Mapping[str, Any] | None,
    **fields: Any,
) -> Fleet:
    """A fleet of one pool with rule hpa and these metrics."""
    entries = [metric_entry(metric, number) for number, metric in enumerate(metrics)]
    signals = {
        f"m{number}": {"external": {"name": f"m{number}"}}
        for number, entry in enumerate(entries)
        if entry["type"] == "External"
    }
    return fleet_file(
        [
            pool_entry(
                rule="hpa",
                replicas={"min": low, "max": high},
                signals=signals or None,
                metrics=entries,
                behavior=behavior,
                **fields,
            )
        ]
    )


def readings(fleet: Fleet, metrics: Sequence[Inputs], now: float) -> dict[str, Any]:
    """What was read of the pool's metrics, by the names that readings have. Raises NotStatable
    where two that differ have one name.
    """
    [pool] = fleet.pools
    found: dict[str, Reading[MetricValue]] = {}
    for spec, metric in zip(pool.metrics, metrics, strict=True):
        name, reading = reading_name(spec), reading_of(metric, now)
        if metric["source"] not in SOURCES:
            reading = Absent(why=Why.NEVER_READ)
        if found.setdefault(name, reading) != reading:
            raise NotStatable(ONE_NAME)
    return found


def tolerant(behavior: Mapping[str, Any] | None, config: Inputs) -> Mapping[str, Any] | None:
    """The `behavior` block with the tolerances of a case; one without a block has none of its
    own.
    """
    up, down = config["tolerance_up"], config["tolerance_down"]
    if (up, down) == (DEFAULT_TOLERANCE, DEFAULT_TOLERANCE):
        return behavior
    if behavior is None:
        raise NotStatable(FLAGS)
    return {
        "scaleUp": {**behavior.get("scaleUp", {}), "tolerance": up},
        "scaleDown": {**behavior.get("scaleDown", {}), "tolerance": down},
    }


# one metric


def _one_metric(inputs: Inputs, current: int, status: int, resource: str = "cpu") -> Stated:
    metric, now = inputs["metric"], inputs.get("now", NOW)
    if current == 0:
        raise NotStatable(TO_ZERO)
    if current > MAX_REPLICAS:
        raise NotStatable(TOO_MANY)
    fleet = pool_by_hpa([metric], 1, MAX_REPLICAS, tolerant(UNLIMITED, inputs["config"]))
    observation = seen(
        current,
        status_replicas=status,
        now=now,
        metrics=readings(fleet, [metric], now),
        measured_pods=pods_of(inputs["pods"], resource),
    )
    return one_pool(fleet, observation, observed_for_long(), now)


def by_other_flags(given: Inputs) -> str:
    """Why a plan may answer otherwise than recorded; empty if all flags are as ours."""
    other = any(given.get(flag, usual) != usual for flag, usual in FLAG_DEFAULTS.items())
    return FLAGS if other else ""


def _of_pods(inputs: Inputs) -> Stated:
    current, resource = inputs["current_replicas"], inputs["metric"].get("resource") or ""
    stated = _one_metric(inputs, current, current, resource)
    return stated._replace(unless=by_other_flags(inputs["config"]))


def _value(inputs: Inputs) -> Stated:
    current = inputs["current_replicas"]
    return _one_metric(inputs, current, current)


def _average_value(inputs: Inputs) -> Stated:
    status = inputs["status_replicas"]
    return _one_metric(inputs, max(status, 1), status)


def _read_metric(kind: str) -> Callable[[Inputs, Outcome], Answer]:
    """The proposal is the pool's demand. One that proposes nothing is unknown, and says why."""

    def read(_: Inputs, outcome: Outcome) -> Answer:
        unknown = outcome.numbers(Code.METRIC_UNKNOWN)
        if unknown is not None:
            why = str(unknown.get("why"))
            return {"known": False, "error": METRIC_ERRORS.get(why, str(unknown))}
        answer: dict[str, Any] = {"known": True, "replicas": outcome.decision.demand}
        shown = outcome.numbers(Code.METRIC) or {}
        if kind == "resource_utilization":
            answer["utilization_percent"] = shown.get("measured")
        elif kind in {"external_value", "object_value", "pods_average_value"}:
            answer["usage_milli"] = round(1000 * float(shown.get("measured", 0)))
        return answer

    return read


# rates, bounds and windows


def _desired(
    current: int,
    desired: int,
    low: int,
    high: int,
    behavior: Mapping[str, Any] | None,
    **memory: Any,
) -> Stated:
    """A pool whose only metric proposes `desired`, whatever its tolerance: its status has no
    replicas yet.
    """
    if not low <= current <= high:
        raise NotStatable(OUT_OF_BOUNDS)
    if current == 0:
        raise NotStatable(TO_ZERO)
    if high > MAX_REPLICAS:
        raise NotStatable(TOO_MANY)
    metric = {"source": "external", "target_type": "average_value", "target_milli": 1000}
    fleet = pool_by_hpa([metric], low, high, behavior)
    value: Reading[MetricValue] = Fresh(value=Series(values_milli=(1000 * desired,)), at=NOW)
    observation = seen(current, status_replicas=0, metrics={"m0": value})
    # a pool of min 0 whose metric is 0 is idle: its cooldown lets the HPA's part decide
    return one_pool(fleet, observation, observed_for_long(last_active_at=NOW, **memory))


def _rules_entry(rules: Inputs | None) -> dict[str, Any]:
    """One direction of a `behavior` block, without any window."""
    rules = rules or {}
    return {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": rules.get("select_policy") or "Max",
        "policies": [
            {
                "type": policy["type"],
                "value": policy["value"],
                "periodSeconds": policy["period_s"],
            }
            for policy in rules.get("policies") or ()
        ],
    }


def _behavior_rate_limit(inputs: Inputs) -> Stated:
    current, desired = inputs["current_replicas"], inputs["desired_replicas"]
    low, high = inputs["min_replicas"], inputs["max_replicas"]
    behavior = {
        "scaleUp": _rules_entry(inputs["behavior_effective"]["scale_up"]),
        "scaleDown": _rules_entry(inputs["behavior_effective"]["scale_down"]),
    }
    moved = "scaleUp" if desired > current else "scaleDown"
    for direction, rules in behavior.items():
        if rules["policies"]:
            continue
        if direction == moved and rules["selectPolicy"] != "Disabled":
            raise NotStatable(NO_POLICIES)
        del rules["policies"]
    if low == 0 and inputs[EXPECTED]["replicas"] == 0:
        raise NotStatable(TO_ZERO)
    return _desired(
        current,
        desired,
        low,
        high,
        behavior,
        scaled_up=events_of(inputs.get("scale_up_events")),
        scaled_down=events_of(inputs.get("scale_down_events")),
    )


def _clamp(inputs: Inputs) -> Stated:
    if inputs[EXPECTED]["replicas"] == 0:
        raise NotStatable(TO_ZERO)
    stated = _desired(
        inputs["current_replicas"],
        inputs["desired_replicas"],
        inputs["min_replicas"],
        inputs["max_replicas"],
        None,
    )
    return stated._replace(unless=by_other_flags(inputs))


def _read_limited(_: Inputs, outcome: Outcome) -> Answer:
    reason = "DesiredWithinRange"
    for code, name in (
        (Code.AT_MIN, "TooFewReplicas"),
        (Code.AT_MAX, "TooManyReplicas"),
        (Code.RATE_LIMITED_UP, "ScaleUpLimit"),
        (Code.RATE_LIMITED_DOWN, "ScaleDownLimit"),
    ):
        if code in outcome.codes:
            reason = name
    return {"replicas": outcome.decision.recommendation, "reason": reason}


def _history(inputs: Inputs) -> dict[str, Any]:
    return {"recommendations": history_of(inputs["recommendations"]) or (LONG_AGO,)}


def _stabilize_with_behavior(inputs: Inputs) -> Stated:
    if inputs[EXPECTED]["stabilized_replicas"] == 0:
        raise NotStatable(TO_ZERO)
    behavior = {
        "scaleUp": {
            **UNLIMITED["scaleUp"],
            "stabilizationWindowSeconds": inputs["scale_up_window_s"],
        },
        "scaleDown": {
            **UNLIMITED["scaleDown"],
            "stabilizationWindowSeconds": inputs["scale_down_window_s"],
        },
    }
    return _desired(
        inputs["current_replicas"],
        inputs["desired_replicas"],
        1,
        MAX_REPLICAS,
        behavior,
        **_history(inputs),
    )


def _stabilize_without_behavior(inputs: Inputs) -> Stated:
    stable = inputs[EXPECTED]["stabilized_replicas"]
    if stable == 0:
        raise NotStatable(TO_ZERO)
    # its size is one from which nothing else limits the move
    desired = inputs["desired_replicas"]
    stated = _desired(stable, desired, 1, MAX_REPLICAS, None, **_history(inputs))
    return stated._replace(unless=by_other_flags(inputs))


def _read_stabilized(_: Inputs, outcome: Outcome) -> Answer:
    return {"stabilized_replicas": outcome.decision.recommendation}


# a whole pass


def _reconcile(inputs: Inputs) -> Stated:
    hpa, config, target, now = inputs["hpa"], inputs["config"], inputs["target"], inputs["now"]
    if not hpa["metrics"]:
        raise NotStatable(NO_METRICS)
    if target.get("update_error"):
        raise NotStatable(AFTER_THE_PLAN)
    low, wanted = min_of(hpa), inputs[EXPECTED]["desired_replicas"]
    found = has_pods(target)
    if low < 1 and 0 in {target["spec_replicas"], wanted}:
        raise NotStatable(TO_ZERO)
    if not found and not low <= target["spec_replicas"] <= hpa["max_replicas"]:
        raise NotStatable(BLIND_OUT_OF_BOUNDS)
    behavior = hpa.get("behavior")
    fleet = pool_by_hpa(
        hpa["metrics"], low, hpa["max_replicas"], tolerant(_behavior_entry(behavior), config)
    )
    observation = seen(
        target["spec_replicas"],
        status_replicas=target["status_replicas"],
        now=now,
        metrics=readings(fleet, hpa["metrics"], now),
        measured_pods=pods_of(inputs["pods"]),
    )
    observation = _without_what_is_not_found(observation, inputs)
    history = inputs.get("recommendation_history")
    events = {
        "scaled_up": events_of(inputs.get("scale_up_events"), now),
        "scaled_down": events_of(inputs.get("scale_down_events"), now),
    }
    memory = observed_for_long(
        last_active_at=now,
        recommendations=() if history is None else history_of(history, now) or (LONG_AGO,),
        **events,
    )
    stated = one_pool(fleet, observation, memory, now)
    return stated._replace(unless=by_other_flags(config))


def has_pods(target: Inputs) -> bool:
    """Whether the target can be read and has a selector of its own."""
    return not target.get("get_error") and target["selector"] == "valid"


def _without_what_is_not_found(observation: PoolObservation, inputs: Inputs) -> PoolObservation:
    """A target that cannot be read is an unknown Deployment; one without a selector of its own has
    no list of pods that could be complete.
    """
    absent = Absent(why=Why.VIEW_INCOMPLETE, at=inputs["now"])
    if inputs["target"].get("get_error"):
        return replace(observation, workload=absent)
    return observation if has_pods(inputs["target"]) else replace(observation, pods=absent)


def _behavior_entry(behavior: Inputs | None) -> dict[str, Any] | None:
    """The `behavior` block as it is written."""
    if behavior is None:
        return None
    entry: dict[str, Any] = {}
    for name, rules in (
        ("scaleUp", behavior.get("scale_up")),
        ("scaleDown", behavior.get("scale_down")),
    ):
        if rules is None:
            continue
        written = _rules_entry(rules)
        if not written["policies"]:
            del written["policies"]
        written["stabilizationWindowSeconds"] = rules.get("stabilization_window_s")
        if written["stabilizationWindowSeconds"] is None:
            del written["stabilizationWindowSeconds"]
        entry[name] = written
    return entry


def _read_reconcile(inputs: Inputs, outcome: Outcome) -> Answer:
    """The HPA's size is the recommendation; where nothing may be written it is the present one.
    Conditions, events and statuses are the HPA's own.
    """
    decision, current = outcome.decision, inputs["target"]["spec_replicas"]
    unseen = {Code.WORKLOAD_UNKNOWN, Code.PODS_UNKNOWN} & outcome.codes
    desired = current if unseen or decision.recommendation is None else decision.recommendation
    written = desired != current
    action = ("scale_up" if desired > current else "scale_down") if written else "none"
    answer: dict[str, Any] = {
        "desired_replicas": desired,
        "scale_written": written,
        "action": action,
    }
    shown = outcome.numbers(Code.METRIC) or {}
    if (
        has_pods(inputs["target"])
        and shown.get("metric") == "cpu"
        and shown.get("per") == "% of requests"
    ):
        answer["cpu_utilization_percent"] = shown["measured"]
    return answer


HPA_STATEMENTS: Mapping[str, Statement] = {
    "resource_utilization": Statement(_of_pods, _read_metric("resource_utilization")),
    "resource_average_value": Statement(_of_pods, _read_metric("resource_average_value")),
    "pods_average_value": Statement(_of_pods, _read_metric("pods_average_value")),
    "external_value": Statement(_value, _read_metric("external_value")),
    "object_value": Statement(_value, _read_metric("object_value")),
    "external_average_value": Statement(_average_value, _read_metric("external_average_value")),
    "object_average_value": Statement(_average_value, _read_metric("object_average_value")),
    "behavior_rate_limit": Statement(_behavior_rate_limit, _read_limited),
    "clamp_without_behavior": Statement(_clamp, _read_limited),
    "stabilize_with_behavior": Statement(_stabilize_with_behavior, _read_stabilized),
    "stabilize_without_behavior": Statement(_stabilize_without_behavior, _read_stabilized),
    "reconcile": Statement(_reconcile, _read_reconcile),
    "pod_grouping": never(NO_DECISION),
    "pod_requests": never(NO_DECISION),
    "scale_event_log": never(IN_MEMORY),
}
