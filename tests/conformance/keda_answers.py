"""Cases of KEDA, answered by the reference: its loop, its fallback, its scaling modifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from conformance.statement import NOW, Answer, Inputs
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    Fallback,
    FallbackBehavior,
    ValueTarget,
)
from controller.notation.formula_syntax import FormulaError
from controller.planning.demand.formula import compile_formula
from reference.fallback import (
    FormulaTarget,
    Health,
    HealthStatus,
    Situation,
    supply,
    trigger_is_nil,
)
from reference.keda import (
    DEFAULT_COOLDOWN_S,
    Condition,
    LoopView,
    ScaledObject,
    decide,
    mirror_hpa,
    triggers_activity,
)
from reference.modifiers import COMPOSITE, UnnamedTriggerError, composite_milli, pair


def fallback_of(given: Inputs | None) -> Fallback | None:
    if given is None:
        return None
    return Fallback(
        failure_threshold=given["failure_threshold"],
        replicas=given["replicas"],
        behavior=FallbackBehavior(given.get("behavior") or "static"),
    )


def _condition(given: Inputs | None) -> Condition | None:
    if given is None:
        return None
    return Condition(
        ConditionStatus(given["status"]), given.get("reason", ""), given.get("message", "")
    )


def _shown(condition: Condition | None) -> dict[str, str] | None:
    if condition is None:
        return None
    return {
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
    }


def _at(age_s: float | None) -> float | None:
    return None if age_s is None else NOW - age_s


def _scaledobject_decision(inputs: Inputs) -> Answer:
    given = inputs["spec"]
    cooldown_s = given["cooldown_s"]
    spec = ScaledObject(
        min=given["min_replicas"],
        idle=given["idle_replicas"],
        cooldown_s=DEFAULT_COOLDOWN_S if cooldown_s is None else cooldown_s,
        initial_cooldown_s=given["initial_cooldown_s"] or 0,
        fallback=fallback_of(given["fallback"]),
    )
    view = LoopView(
        replicas=inputs["current_replicas"],
        active=inputs["is_active"],
        failed=inputs["is_error"],
        created_at=_at(inputs["age_s"]),
        last_active_at=_at(inputs["last_active_age_s"]),
        annotations=inputs["annotations"],
        hpa=_condition(inputs["hpa_scaling_active"]),
    )
    found = decide(spec, view, NOW)
    return {
        "replicas_written": found.write,
        "pause_replicas_returned": None,  # the object's reconciler asks for it, not the loop
        # a condition that stays as it was is the one that every case begins with
        "ready": _shown(found.ready) or {"status": "True"},
        "active": _shown(found.active) or {"status": "Unknown"},
        "paused": _shown(found.paused) or {"status": "False"},
        "hpa_active": _shown(found.hpa_active),
    }


def _hpa_health_mirror(inputs: Inputs) -> Answer:
    hpa = inputs["hpa"]
    scaling_active = _condition(hpa.get("ScalingActive")) if isinstance(hpa, dict) else None
    mirrored = mirror_hpa(scaling_active)
    condition = _shown(mirrored)
    return {
        "observed": mirrored is not None,
        "condition": condition,
        "condition_after": inputs.get("previous_condition") if condition is None else condition,
    }


def _triggers_activity(inputs: Inputs) -> Answer:
    return triggers_activity(
        inputs["external_metric_names"],
        inputs["existing_activity"],
        inputs["active_triggers"],
        inputs["push_scaler_metric"],
    )


def _health(given: Inputs | None) -> Health | None:
    if given is None:
        return None
    return Health(failures=given["failures"], status=HealthStatus(given["status"]))


def _situation(inputs: Inputs) -> Situation:
    target: AverageValueTarget | ValueTarget
    if inputs.get("target_value") is not None:
        target = ValueTarget(milli=round(inputs["target_value"] * 1000))
    else:
        target = AverageValueTarget(milli=round((inputs.get("target_average_value") or 0) * 1000))
    others = {
        name: _health(health) for name, health in (inputs.get("other_metrics_health") or {}).items()
    }
    modifiers = inputs.get("scaling_modifiers")
    return Situation(
        target=target,
        replicas=inputs["current_replicas"],
        ready_pods=inputs.get("ready_replicas"),
        others={name: health for name, health in others.items() if health is not None},
        modifiers=None
        if modifiers is None
        else FormulaTarget(
            target=str(modifiers["target"]), is_average=modifiers.get("metric_type") != "Value"
        ),
    )


def _fallback_metric(inputs: Inputs) -> Answer:
    error = inputs.get("scaler_error")
    read = error if error is not None else round(inputs["scaler_value"] * 1000)
    found = supply(
        read, fallback_of(inputs["fallback"]), _health(inputs["health"]), _situation(inputs)
    )
    health = found.health or _health(inputs["health"])
    return {
        "value": None if found.value_milli is None else found.value_milli / 1000,
        "error": found.error,
        "fallback_active": found.active,
        "fallback_condition": "Unknown" if found.exists is None else str(found.exists),
        "health_after": None
        if health is None
        else {"failures": health.failures, "status": health.status.value},
    }


def _modifier_trigger_value(inputs: Inputs) -> Answer:
    is_nil = trigger_is_nil(fallback_of(inputs["fallback"]), inputs["failures"])
    return {"value": None if is_nil else inputs["metric_value"]}


def _modifier_formula(inputs: Inputs) -> Answer:
    values = inputs["values"]
    milli = {name: None if value is None else round(value * 1000) for name, value in values.items()}
    try:
        value_milli = composite_milli(compile_formula(inputs["formula"], values), milli)
    except FormulaError as error:
        return {"error": str(error)}
    return {"metric_name": COMPOSITE, "value_milli": value_milli, "error": None}


def _modifier_pairing(inputs: Inputs) -> Answer:
    try:
        pairs = pair(inputs["formula"] or "", inputs["metric"], inputs["trigger_name"] or "")
    except UnnamedTriggerError as error:
        return {"pairs": {}, "error": str(error)}
    return {"pairs": pairs, "error": None}


KEDA_ANSWERS: Mapping[str, Callable[[Inputs], Answer]] = {
    "scaledobject_decision": _scaledobject_decision,
    "hpa_health_mirror": _hpa_health_mirror,
    "triggers_activity": _triggers_activity,
    "fallback_metric": _fallback_metric,
    "modifier_trigger_value": _modifier_trigger_value,
    "modifier_formula": _modifier_formula,
    "modifier_pairing": _modifier_pairing,
}
