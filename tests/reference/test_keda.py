"""The reference of KEDA's loop, fallback and scaling modifiers."""

from __future__ import annotations

import pytest

from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    Fallback,
    FallbackBehavior,
    ValueTarget,
)
from controller.notation.formula_syntax import FormulaError, FormulaFault
from controller.planning.demand.formula import compile_formula
from reference.fallback import (
    FormulaTarget,
    Health,
    HealthStatus,
    Situation,
    Supplied,
    is_valid,
    supply,
    trigger_is_nil,
)
from reference.keda import (
    FORCE_ACTIVATION,
    PAUSED,
    Condition,
    LoopView,
    Round,
    ScaledObject,
    decide,
    is_paused,
    mirror_hpa,
    triggers_activity,
)
from reference.modifiers import UnnamedTriggerError, composite_milli, pair

NOW = 100_000.0
ZERO = ScaledObject()
FIVE = ScaledObject(min=5)
IDLE = ScaledObject(min=5, idle=0)
HEALTHY = Condition(ConditionStatus.TRUE, "ValidMetricFound")


def loop(
    spec: ScaledObject,
    replicas: int,
    *,
    active: bool = False,
    failed: bool = False,
    last_active: float | None = None,
    created: float | None = None,
    hpa: Condition | None = None,
    **annotations: str,
) -> Round:
    view = LoopView(
        replicas=replicas,
        active=active,
        failed=failed,
        created_at=created,
        last_active_at=last_active,
        annotations={
            f"autoscaling.keda.sh/{k.replace('_', '-')}": v for k, v in annotations.items()
        },
        hpa=hpa,
    )
    return decide(spec, view, NOW)


def reason(condition: Condition | None) -> str | None:
    return None if condition is None else f"{condition.status} {condition.reason}"


@pytest.mark.parametrize(
    ("spec", "replicas", "write"),
    [
        (ZERO, 0, 1),
        (FIVE, 0, 5),
        (ZERO, 3, None),
        (FIVE, 3, None),  # without idle the HPA lifts it
        (IDLE, 3, 5),
        (IDLE, 5, None),
        (ScaledObject(min=0, idle=0), 1, None),
    ],
)
def test_activity_lifts_from_zero_or_idle_to_the_minimum(
    spec: ScaledObject, replicas: int, write: int | None
) -> None:
    done = loop(spec, replicas, active=True)
    assert (done.write, done.refreshes) == (write, True)
    assert done.event == (None if write is None else "KEDAScaleTargetActivated")
    assert (reason(done.active), reason(done.ready)) == (
        "True ScalerActive",
        "True ScaledObjectReady",
    )


@pytest.mark.parametrize(
    ("spec", "replicas", "write", "event"),
    [
        (ZERO, 10, 0, "KEDAScaleTargetDeactivated"),
        (ZERO, 0, None, None),
        (FIVE, 10, None, None),
        (FIVE, 1, 5, None),
        (FIVE, 0, 5, None),
        (IDLE, 10, 0, "KEDAScaleTargetDeactivated"),
        (IDLE, 0, None, None),
        (ScaledObject(min=5, idle=2), 1, None, None),
        (ScaledObject(min=5, idle=2), 3, 2, "KEDAScaleTargetDeactivated"),
    ],
)
def test_without_activity_it_jumps_to_zero_or_idle_or_up_to_the_minimum(
    spec: ScaledObject, replicas: int, write: int | None, event: str | None
) -> None:
    done = loop(spec, replicas)
    assert (done.write, done.event, done.refreshes) == (write, event, False)
    assert reason(done.active) == "False ScalerNotActive"


def test_the_cooldown_must_be_strictly_over() -> None:
    cooling = loop(ZERO, 3, last_active=NOW - 300)
    assert (cooling.write, reason(cooling.active)) == (None, "False ScalerCooldown")
    assert loop(ZERO, 3, last_active=NOW - 300.5).write == 0


def test_the_initial_cooldown_counts_only_while_it_has_never_been_active() -> None:
    spec = ScaledObject(initial_cooldown_s=60)
    assert loop(spec, 3, created=NOW - 60).write is None
    assert loop(spec, 3, created=NOW - 61).write == 0
    assert loop(spec, 3, created=NOW, last_active=NOW - 301).write == 0
    assert loop(ZERO, 3, created=NOW).write is None


def test_the_cooldown_does_nothing_for_the_minimum() -> None:
    assert loop(FIVE, 3, last_active=NOW).write == 5


def test_a_partial_error_keeps_the_activity_from_being_refreshed() -> None:
    done = loop(ZERO, 3, active=True, failed=True)
    assert (done.write, done.refreshes) == (None, False)
    assert reason(done.ready) == "Unknown PartialTriggerError"


def test_from_zero_an_active_trigger_suffices_beside_a_failing_one() -> None:
    done = loop(ZERO, 0, active=True, failed=True)
    assert (done.write, done.refreshes, done.ready) == (1, True, None)


def test_an_error_without_a_fallback_holds() -> None:
    done = loop(ZERO, 3, failed=True)
    assert (done.write, reason(done.ready)) == (None, "False TriggerError")


def test_an_error_with_a_fallback_writes_nothing_yet() -> None:
    done = loop(ScaledObject(fallback=Fallback(failure_threshold=3, replicas=2)), 3, failed=True)
    assert (done.write, done.ready) == (None, None)


def test_with_a_fallback_of_zero_an_outage_scales_to_zero() -> None:
    spec = ScaledObject(fallback=Fallback(failure_threshold=3, replicas=0))
    assert loop(spec, 3, failed=True).write == 0


@pytest.mark.parametrize(
    ("value", "paused"),
    [("true", True), ("banana", True), ("", True), ("false", False), ("0", False), ("F", False)],
)
def test_any_value_but_a_false_one_pauses(value: str, paused: bool) -> None:
    done = loop(ZERO, 0, active=True, paused=value, hpa=HEALTHY)
    assert is_paused({PAUSED: value}) is paused
    assert (done.write is None) is paused
    if paused:
        assert done == Round(paused=done.paused)
        assert reason(done.paused) == "True ScaledObjectPaused"


def test_a_paused_direction_stops_only_its_own_step() -> None:
    assert loop(ZERO, 3, paused_scale_in="true").write is None
    assert loop(ZERO, 3, paused_scale_out="true").write == 0
    assert loop(ZERO, 0, active=True, paused_scale_in="true").write == 1
    held = loop(ZERO, 0, active=True, paused_scale_out="true")
    assert (held.write, held.refreshes) == (None, False)
    # the step up to the minimum is not a scale-out
    assert loop(FIVE, 1, paused_scale_out="true").write == 5


def test_activation_can_be_forced() -> None:
    done = loop(ZERO, 0, force_activation="true")
    assert (done.write, reason(done.active)) == (1, "True ScalerActive")
    assert done.active is not None
    assert "forced" in done.active.message
    assert FORCE_ACTIVATION.endswith("force-activation")


def test_the_hpas_health_is_copied_and_a_resting_hpa_is_healthy() -> None:
    false, true = ConditionStatus.FALSE, ConditionStatus.TRUE
    assert mirror_hpa(None) is None
    assert mirror_hpa(Condition(ConditionStatus.UNKNOWN, "?")) is None
    assert mirror_hpa(HEALTHY) == (true, "HPAActive", "HPA is actively scaling")
    resting = Condition(false, "ScalingDisabled", "the target is at zero")
    assert mirror_hpa(resting) == (true, "ScalingDisabled", "the target is at zero")
    assert mirror_hpa(Condition(false, "FailedGetPodsMetric", "none")) == (
        false,
        "FailedGetPodsMetric",
        "HPA is not actively scaling: none",
    )


def test_removed_triggers_are_forgotten_and_a_push_changes_only_its_own_trigger() -> None:
    before = {"a": True, "old": True}
    assert triggers_activity(["a", "b"], before, ["b"]) == {"a": False, "b": True}
    assert triggers_activity(["a", "b"], before, [], pushed="a") == {"a": False, "old": True}
    assert triggers_activity(["a"], before, ["b"], pushed="b") == {**before, "b": True}


AVERAGE = Situation(target=AverageValueTarget(milli=10_000), replicas=6, ready_pods=3)
VALUE = Situation(target=ValueTarget(milli=10_000), replicas=6, ready_pods=3)


def failing(failures: int) -> Health:
    return Health(failures=failures, status=HealthStatus.FAILING)


def fallback(
    behavior: FallbackBehavior = FallbackBehavior.STATIC, *, threshold: int = 3, replicas: int = 5
) -> Fallback:
    return Fallback(failure_threshold=threshold, replicas=replicas, behavior=behavior)


def test_a_success_resets_the_health_of_a_trigger() -> None:
    found = supply(7_000, fallback(), failing(9), AVERAGE)
    assert found == Supplied(7_000, health=Health(), exists=False)


def test_the_threshold_must_be_exceeded() -> None:
    third = supply("down", fallback(), failing(2), AVERAGE)
    assert third == Supplied(None, error="down", health=failing(3), exists=False)
    fourth = supply("down", fallback(), third.health, AVERAGE)
    assert fourth == Supplied(50_000, active=True, health=failing(4), exists=True)
    assert supply("down", fallback(threshold=0), None, AVERAGE).active


def test_a_fallback_exists_while_any_trigger_is_beyond_the_threshold() -> None:
    others = AVERAGE._replace(others={"b": failing(4)})
    assert supply(1, fallback(), None, others).exists
    happy = Health(failures=9)
    assert not supply(1, fallback(), None, AVERAGE._replace(others={"b": happy})).exists


@pytest.mark.parametrize(
    ("behavior", "replicas", "value"),
    [
        (FallbackBehavior.STATIC, 5, 50_000),
        (FallbackBehavior.CURRENT, 5, 60_000),
        (FallbackBehavior.CURRENT_IF_HIGHER, 5, 60_000),
        (FallbackBehavior.CURRENT_IF_HIGHER, 9, 90_000),
        (FallbackBehavior.CURRENT_IF_LOWER, 5, 50_000),
        (FallbackBehavior.CURRENT_IF_LOWER, 9, 60_000),
    ],
)
def test_the_replicas_that_each_behavior_stands_for(
    behavior: FallbackBehavior, replicas: int, value: int
) -> None:
    given = fallback(behavior, replicas=replicas)
    assert supply("down", given, failing(3), AVERAGE).value_milli == value
    assert supply("down", given, failing(3), VALUE).value_milli == value // 3


def test_a_value_target_divides_by_ready_pods_and_without_one_there_is_no_fallback() -> None:
    for ready in (0, None):
        found = supply("down", fallback(), failing(3), VALUE._replace(ready_pods=ready))
        assert (found.value_milli, found.error) == (None, "error performing fallback")
        assert not found.active


def test_an_unknown_present_size_leaves_the_error() -> None:
    blind = AVERAGE._replace(replicas=None)
    found = supply("down", fallback(FallbackBehavior.CURRENT), failing(3), blind)
    assert (found.value_milli, found.error, found.active) == (None, "down", False)
    assert supply("down", fallback(), failing(3), blind).active


@pytest.mark.parametrize(
    "given", [None, fallback(threshold=-1), fallback(replicas=-1)], ids=["none", "below", "fewer"]
)
def test_without_a_valid_fallback_no_health_is_tracked(given: Fallback | None) -> None:
    assert supply("down", given, failing(9), AVERAGE) == Supplied(None, error="down")
    assert supply(7, given, None, AVERAGE) == Supplied(7)


@pytest.mark.parametrize(
    ("target", "valid"),
    [("5", True), ("+5", True), ("0", False), ("2.5", False), ("-1", False), ("", False)],
)
def test_with_modifiers_the_target_must_be_a_positive_integer(target: str, valid: bool) -> None:
    modifiers = FormulaTarget(target=target)
    assert is_valid(fallback(), modifiers) is valid
    found = supply("down", fallback(), failing(3), AVERAGE._replace(modifiers=modifiers))
    assert found.value_milli == (25_000 if valid else None)


def test_with_modifiers_of_type_value_it_divides_by_ready_pods() -> None:
    around = AVERAGE._replace(modifiers=FormulaTarget(target="6", is_average=False))
    assert supply("down", fallback(), failing(3), around).value_milli == 10_000


def test_behavior_scaling_modifiers_makes_the_trigger_nil() -> None:
    given = fallback(FallbackBehavior.SCALING_MODIFIERS)
    found = supply("down", given, failing(3), AVERAGE)
    assert (found.value_milli, found.is_nil, found.active) == (None, True, False)
    assert trigger_is_nil(given, 4)
    assert not trigger_is_nil(given, 3)
    assert not trigger_is_nil(given, None)
    assert not trigger_is_nil(fallback(), 9)
    assert not trigger_is_nil(None, 9)


def test_the_composite_is_truncated_to_thousandths() -> None:
    formula = compile_formula("(a + b) / 3", ["a", "b"])
    assert composite_milli(formula, {"a": 1_000, "b": 1_000}) == 666
    assert composite_milli(formula, {"a": -1_000, "b": -1_000}) == -666


def test_a_nil_trigger_takes_its_default_else_the_formula_fails() -> None:
    values = {"a": None, "b": 2_000}
    assert composite_milli(compile_formula("(a ?? 5) + b", values), values) == 7_000
    with pytest.raises(FormulaError):
        composite_milli(compile_formula("a + b", values), values)


def test_a_composite_beyond_a_quantity_is_an_error() -> None:
    formula = compile_formula("10 ** 300", [])
    with pytest.raises(FormulaError) as caught:
        composite_milli(formula, {})
    assert caught.value.fault is FormulaFault.NOT_A_NUMBER


def test_a_formula_needs_named_triggers() -> None:
    assert pair("", "m", "") == {}
    assert pair("a", "m", "a") == {"m": "a"}
    with pytest.raises(UnnamedTriggerError, match="metric m"):
        pair("a", "m", "")
