"""Cases of KEDA, stated as the plan of a pool with rule hpa: one plan does what KEDA's loop and the
HPA that it makes do in turn. Where a case looks at the loop alone, the pool's metric asks for its
present size, so that the HPA's part changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from conformance.statement import (
    EXPECTED,
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
from controller.model.memory import PoolMemory
from controller.model.observation import (
    ConditionStatus,
    MeasuredPod,
    MetricValue,
    PodReadiness,
    QueueDepth,
    Series,
    StatusPhase,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.inputs import PAUSED_REPLICAS

DEFAULT_COOLDOWN_S: Final = 300
"""KEDA's cooldownPeriod where none is written."""
DEFAULT_MAX: Final = 100
"""KEDA's maxReplicaCount where none is written."""
AT_ONCE: Final[Mapping[str, Any]] = {
    "scaleDown": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}],
    }
}

A_CONDITION: Final = "it is a condition of KEDA's object: a plan has reasons instead"
A_TRIGGER: Final = "it is KEDA's memory of each trigger's activity: a plan looks at all of them"
A_NAME: Final = "it is a check of names, which the fleet file's reader does"
BY_HPA: Final = "in the same plan the HPA's part acts as well (divergence: KEDA and the HPA as one)"
BY_RECONCILER: Final = (
    "the plan writes the paused size, which KEDA leaves to its reconciler"
    " (divergence: KEDA and the HPA as one)"
)
BY_HAND: Final = "zero with min > 0 is by hand (divergence: KEDA zero by hand with min > 0)"
ZERO_FALLBACK: Final = "its fallback is of no replicas (divergence: KEDA fallback of zero)"
UNKNOWN_SIZE: Final = "a pool whose size is not known is not decided"
AT_ZERO: Final = "at zero no metric proposes anything"
FURTHER_ON: Final = "the plan goes on from the formula's error to the fallback's replicas"


def _scaledobject_decision(inputs: Inputs) -> Stated:
    spec, current = inputs["spec"], inputs["current_replicas"]
    low, idle, annotations = spec["min_replicas"] or 0, spec["idle_replicas"], inputs["annotations"]
    active, failed, fallback = inputs["is_active"], inputs["is_error"], spec["fallback"]
    if PAUSED_REPLICAS in annotations:
        raise NotStatable(BY_RECONCILER)
    if current == 0 and low > 0 and idle is None:
        raise NotStatable(BY_HAND)
    if failed and fallback is not None:
        raise NotStatable(BY_HPA if fallback["replicas"] else ZERO_FALLBACK)
    if failed and active:
        raise NotStatable(BY_HPA)
    if (active or failed) and current < low and idle is None:
        raise NotStatable(BY_HPA)
    cooldown_s = spec["cooldown_s"]
    # as many messages as replicas: the HPA's part asks for the present size; inactive pools have an
    # activation that these messages do not pass
    messages = max(current, 1) if active else current
    fleet = fleet_file(
        [
            pool_entry(
                rule="hpa",
                replicas={
                    "min": low,
                    "max": spec["max_replicas"] or DEFAULT_MAX,
                    **({} if idle is None else {"idle": idle}),
                },
                cooldown=DEFAULT_COOLDOWN_S if cooldown_s is None else cooldown_s,
                initial_cooldown=spec["initial_cooldown_s"] or 0,
                activation=0 if active else messages,
                behavior=AT_ONCE,
            )
        ]
    )
    queue = (
        Absent(why=Why.REFUSED, at=NOW)
        if failed
        else Fresh(value=QueueDepth(pending=messages, in_flight=0), at=NOW)
    )
    observation = seen(current, queue=queue, annotations=annotations)
    age_s, active_age_s = inputs["age_s"], inputs["last_active_age_s"]
    memory = observed_for_long(
        since=0.0 if age_s is None else NOW - age_s,
        last_active_at=None if active_age_s is None else NOW - active_age_s,
    )
    return one_pool(fleet, observation, memory)


def _read_decision(_: Inputs, outcome: Outcome) -> Answer:
    """The conditions are KEDA's own; what is written is the plan's."""
    decision = outcome.decision
    return {"replicas_written": decision.next if decision.changes else None}


# fallback


def _serving(ready: int | None) -> tuple[MeasuredPod, ...]:
    """So many pods that are Ready; where none is, one that is not."""
    if ready is None:
        return ()
    return tuple(
        MeasuredPod(
            name=str(number),
            phase=StatusPhase.RUNNING,
            readiness=PodReadiness(
                status=ConditionStatus.TRUE if number < ready else ConditionStatus.FALSE, since=0.0
            ),
        )
        for number in range(max(ready, 1))
    )


def _fallback_entry(fallback: Inputs | None) -> dict[str, Any] | None:
    if fallback is None:
        return None
    return {
        "failureThreshold": fallback["failure_threshold"],
        "replicas": fallback["replicas"],
        "behavior": fallback.get("behavior") or "static",
    }


def _signal(name: str) -> dict[str, Any]:
    return {name: {"external": {"name": name}}}


def _external(name: str, target: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "External", "external": {"metric": {"name": name}, "target": target}}


def _milli(value: float) -> str:
    return f"{round(1000 * value)}m"


def _fallback_metric(inputs: Inputs) -> Stated:
    modifiers, fallback = inputs.get("scaling_modifiers"), inputs["fallback"]
    current = inputs["current_replicas"]
    if current is None:
        behavior = "static" if fallback is None else fallback.get("behavior") or "static"
        if behavior not in {"static", "scalingModifiers"}:
            raise NotStatable(UNKNOWN_SIZE)
        current = 1
    if current == 0:
        raise NotStatable(AT_ZERO)
    target = (
        {"type": "Value", "value": _milli(inputs["target_value"])}
        if inputs.get("target_value") is not None
        else {"type": "AverageValue", "averageValue": _milli(inputs["target_average_value"] or 0)}
    )
    by_formula = None
    if modifiers is not None:
        by_formula = {
            "formula": "m0",
            "target": str(modifiers["target"]),
            "metricType": modifiers.get("metric_type") or "AverageValue",
        }
    if fallback is not None and not fallback["replicas"] and inputs["scaler_error"] is not None:
        raise NotStatable(ZERO_FALLBACK)
    fleet = fleet_file(
        [
            pool_entry(
                rule="hpa",
                replicas={"min": 1, "max": MAX_REPLICAS},
                signals=_signal("m0"),
                metrics=[_external("m0", target)],
                modifiers=by_formula,
                fallback=_fallback_entry(fallback),
            )
        ]
    )
    error = inputs["scaler_error"]
    reading: Reading[MetricValue] = (
        Absent(why=Why.REFUSED, at=NOW, detail=error)
        if error is not None
        else Fresh(value=Series(values_milli=(round(1000 * inputs["scaler_value"]),)), at=NOW)
    )
    observation = seen(
        current,
        metrics={"m0": reading},
        measured_pods=_serving(inputs.get("ready_replicas")),
    )
    return one_pool(fleet, observation, _failed(inputs["health"]))


def _failed(health: Inputs | None) -> PoolMemory:
    failures = 0 if health is None else health["failures"]
    return observed_for_long(failures={"m0": failures} if failures else {}, last_active_at=NOW)


def _read_fallback(inputs: Inputs, outcome: Outcome) -> Answer:
    """The value that the metric was given, whether it is its fallback's, and how often it has
    failed; the last as far as it decides anything.
    """
    [memory] = outcome.memory.pools.values()
    unknown, shown = Code.METRIC_UNKNOWN in outcome.codes, outcome.numbers(Code.METRIC)
    answer: dict[str, Any] = {
        "value": None if unknown or shown is None else shown["measured"],
        "error": inputs["scaler_error"] if unknown else None,
        "fallback_active": Code.FALLBACK in outcome.codes,
    }
    fallback, failures = inputs["fallback"], memory.failures.get("m0", 0)
    if fallback is not None and failures <= fallback["failure_threshold"] + 1:
        after = inputs[EXPECTED].get("health_after")
        if after is not None and after["failures"] <= fallback["failure_threshold"] + 1:
            status = "Failing" if failures else "Happy"
            answer["health_after"] = {"failures": failures, "status": status}
    return answer


# formulas

_DEFAULT: Final = 1_000_000


def _trigger_value(inputs: Inputs) -> Stated:
    """A formula that replaces nil by a number that no case has."""
    fallback, failures = inputs["fallback"], inputs["failures"] or 0
    nil = inputs[EXPECTED]["value"] is None
    reading: Reading[MetricValue] = (
        Absent(why=Why.REFUSED, at=NOW)
        if nil
        else Fresh(value=Series(values_milli=(round(1000 * inputs["metric_value"]),)), at=NOW)
    )
    fleet = fleet_file(
        [
            pool_entry(
                rule="hpa",
                replicas={"min": 1, "max": MAX_REPLICAS},
                signals=_signal("m0"),
                modifiers={"formula": f"m0 ?? {_DEFAULT}", "target": "1"},
                fallback=_fallback_entry(fallback),
            )
        ]
    )
    # this plan counts one more failure where the trigger fails
    before = {"failures": failures - 1} if nil else None
    return one_pool(fleet, seen(1, metrics={"m0": reading}), _failed(before))


def _read_trigger_value(_: Inputs, outcome: Outcome) -> Answer:
    shown = outcome.numbers(Code.METRIC)
    value = None if shown is None else shown["measured"]
    return {"value": None if value == _DEFAULT else value}


def _formula(inputs: Inputs) -> Stated:
    values, fallback = inputs["values"], inputs.get("fallback")
    nil = [name for name, value in values.items() if value is None]
    if nil and fallback is None:
        # a trigger is nil where it has failed more often than a fallback for formulas allows
        fallback = {"failure_threshold": 0, "replicas": 1, "behavior": "scalingModifiers"}
    if nil and inputs[EXPECTED].get("error") is not None:
        raise NotStatable(FURTHER_ON)
    signals: dict[str, Any] = {}
    for name in values:
        if name in inputs["formula"]:
            signals.update(_signal(name))
    fleet = fleet_file(
        [
            pool_entry(
                rule="hpa",
                replicas={"min": 1, "max": MAX_REPLICAS},
                signals=signals or None,
                modifiers={"formula": inputs["formula"], "target": _milli(inputs["target"] or 1)},
                fallback=_fallback_entry(fallback),
            )
        ]
    )
    readings: dict[str, Reading[MetricValue]] = {
        name: Absent(why=Why.REFUSED, at=NOW)
        if value is None
        else Fresh(value=Series(values_milli=(round(1000 * value),)), at=NOW)
        for name, value in values.items()
        if name in signals
    }
    failures = dict.fromkeys(nil, (fallback or {}).get("failure_threshold", 0))
    memory = observed_for_long(failures=failures, last_active_at=NOW)
    return one_pool(fleet, seen(1, metrics=readings), memory)


def _read_formula(_: Inputs, outcome: Outcome) -> Answer:
    shown = outcome.numbers(Code.METRIC, Code.METRIC_UNKNOWN) or {}
    answer: dict[str, Any] = {"metric_name": shown.get("metric")}
    if "measured" in shown:
        answer |= {"value_milli": round(1000 * float(shown["measured"])), "error": None}
    return answer


# the queue


def _consumer_lag(inputs: Inputs) -> Stated:
    """A consumer that is not in the stream's answer is absent."""
    found = [
        QueueDepth(
            pending=consumer["num_pending"],
            in_flight=consumer["num_ack_pending"],
            redelivered=consumer.get("num_redelivered", 0),
            waiting_pulls=consumer.get("num_waiting", 0),
        )
        for consumer in inputs["stream"].get("consumer_detail") or ()
        if consumer["name"] == inputs["consumer"]
    ]
    queue: Reading[QueueDepth] = (
        Fresh(value=found[0], at=NOW) if found else Absent(why=Why.CONSUMER_MISSING, at=NOW)
    )
    fleet = fleet_file([pool_entry(replicas={"min": 0, "max": MAX_REPLICAS})])
    return one_pool(fleet, seen(0, queue=queue), observed_for_long())


def _read_lag(_: Inputs, outcome: Outcome) -> Answer:
    counted = outcome.numbers(Code.QUEUE)
    if counted is None:
        return {"lag": 0, "known": Code.QUEUE_UNKNOWN not in outcome.codes}
    return {"lag": int(counted["pending"]) + int(counted["in_flight"]), "known": True}


KEDA_STATEMENTS: Mapping[str, Statement] = {
    "scaledobject_decision": Statement(_scaledobject_decision, _read_decision),
    "fallback_metric": Statement(_fallback_metric, _read_fallback),
    "modifier_trigger_value": Statement(_trigger_value, _read_trigger_value),
    "modifier_formula": Statement(_formula, _read_formula),
    "consumer_lag": Statement(_consumer_lag, _read_lag),
    "hpa_health_mirror": never(A_CONDITION),
    "triggers_activity": never(A_TRIGGER),
    "modifier_pairing": never(A_NAME),
}
