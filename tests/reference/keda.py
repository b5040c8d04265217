"""What KEDA's own loop does with a ScaledObject: from and to zero or idle, and what it says of it.

Source: kedacore/keda pkg/scaling/executor/scale_scaledobjects.go (RequestScale, getHPAHealth),
scale_executor.go (getTriggersActivity), apis/keda/v1alpha1/scaledobject_types.go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.fleet import Behavior, SelectPolicy
from controller.model.metrics import ConditionStatus, Fallback
from controller.model.value import Value

PAUSED: Final = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN: Final = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT: Final = "autoscaling.keda.sh/paused-scale-out"
FORCE_ACTIVATION: Final = "autoscaling.keda.sh/force-activation"

DEFAULT_COOLDOWN_S: Final = 300
DEFAULT_MAX: Final = 100
_HPA_FLOOR: Final = 1
# at most as many digits as 32 bits need: longer ones cannot be, and Python refuses to read them
_REPLICAS: Final = re.compile(r"([+-]?)0*([0-9]{1,10})")
# Go's strconv.ParseBool; anything else that is written counts as yes
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class ScaledObject(Value):
    """The part of a ScaledObject that its loop looks at. `min` is None where none is written, which
    is not the same as 0 for `idle`.
    """

    min: int | None = None
    max: int | None = None
    idle: int | None = None
    cooldown_s: float = DEFAULT_COOLDOWN_S
    initial_cooldown_s: float = 0.0
    fallback: Fallback | None = None


class Condition(NamedTuple):
    """A condition of a ScaledObject's status, or of the HPA it made."""

    status: ConditionStatus
    reason: str
    message: str = ""


class LoopView(NamedTuple):
    """What one round of the loop sees. `active`: a trigger or the fallback is active; `failed`: a
    trigger failed. `created_at` None: long ago; `hpa` None: its ScalingActive is not to be had.
    """

    replicas: int
    active: bool
    failed: bool
    created_at: float | None = None
    last_active_at: float | None = None
    annotations: Mapping[str, str] = {}
    hpa: Condition | None = None


class Round(NamedTuple):
    """What one round of the loop decides. `write` is the size to set, None for none; a condition
    that is None stays as it was.

    `refreshes`: the last activity is now, once the write, if there is one, has succeeded.
    """

    write: int | None = None
    refreshes: bool = False
    event: str | None = None
    ready: Condition | None = None
    active: Condition | None = None
    paused: Condition | None = None
    hpa_active: Condition | None = None


class AnnotationError(ValueError):
    """An annotation whose value cannot be read."""


# the words are KEDA's, for people search for them
_READY: Final = Condition(
    ConditionStatus.TRUE,
    "ScaledObjectReady",
    "ScaledObject is defined correctly and is ready for scaling",
)
_TRIGGER_ERROR: Final = Condition(
    ConditionStatus.FALSE,
    "TriggerError",
    "Triggers defined in ScaledObject are not working correctly",
)
_PARTIAL_ERROR: Final = Condition(
    ConditionStatus.UNKNOWN,
    "PartialTriggerError",
    "Some triggers defined in ScaledObject are not working correctly",
)
_PAUSED: Final = Condition(ConditionStatus.TRUE, "ScaledObjectPaused", "ScaledObject is paused")
_ACTIVE: Final = Condition(
    ConditionStatus.TRUE, "ScalerActive", "Scaling is performed because triggers are active"
)
_FORCED: Final = Condition(
    ConditionStatus.TRUE,
    "ScalerActive",
    "Scaling is performed because activation is being forced by annotation",
)
_INACTIVE: Final = Condition(
    ConditionStatus.FALSE,
    "ScalerNotActive",
    "Scaling is not performed because triggers are not active",
)
_COOLING: Final = Condition(
    ConditionStatus.FALSE,
    "ScalerCooldown",
    "Scaler cooling down because triggers are not active",
)
_ACTIVATED: Final = "KEDAScaleTargetActivated"
_DEACTIVATED: Final = "KEDAScaleTargetDeactivated"


def decide(spec: ScaledObject, view: LoopView, now: float) -> Round:
    """One round of the loop; `now` in Unix seconds. Between min and max only the HPA moves.

    It jumps from any size to zero, past every policy of the HPA, as KEDA does.
    """
    if is_paused(view.annotations):
        return Round(paused=_PAUSED)
    forced = has_switch(view.annotations, FORCE_ACTIVATION)
    if view.active or forced:
        found = _active_round(spec, view)
        said = _ACTIVE if view.active else _FORCED
    else:
        found = _inactive_round(spec, view, now)
        said = found.active or _INACTIVE
    ready = found.ready if view.failed else _READY
    return found._replace(ready=ready, active=said, hpa_active=mirror_hpa(view.hpa))


def is_paused(annotations: Mapping[str, str]) -> bool:
    """Whether the loop stops; the HPA is deleted then."""
    return PAUSED_REPLICAS in annotations or has_switch(annotations, PAUSED)


def paused_replicas(annotations: Mapping[str, str]) -> int | None:
    """The size to pause at; None for the current one. Raises AnnotationError."""
    text = annotations.get(PAUSED_REPLICAS)
    if text is None:
        return None
    found = _REPLICAS.fullmatch(text)
    replicas = int("".join(found.groups())) if found is not None else 2**31
    if not -(2**31) <= replicas < 2**31:
        raise AnnotationError(f"{PAUSED_REPLICAS}: {text!r} is not a number of replicas")
    return replicas


def has_switch(annotations: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on: by any value but a false one, "banana" included."""
    value = annotations.get(name)
    return value is not None and value not in _FALSE


def hpa_behavior(behavior: Behavior, annotations: Mapping[str, str]) -> Behavior:
    """The HPA's behavior; a direction that is paused is disabled."""
    up, down = behavior.scale_up, behavior.scale_down
    if has_switch(annotations, PAUSED_SCALE_OUT):
        up = replace(up, select_policy=SelectPolicy.DISABLED)
    if has_switch(annotations, PAUSED_SCALE_IN):
        down = replace(down, select_policy=SelectPolicy.DISABLED)
    return Behavior(scale_up=up, scale_down=down)


def hpa_bounds(spec: ScaledObject) -> tuple[int, int]:
    """The minReplicas and maxReplicas of the HPA that a ScaledObject makes."""
    return max(spec.min or 0, _HPA_FLOOR), DEFAULT_MAX if spec.max is None else spec.max


def bounds_are_valid(spec: ScaledObject) -> bool:
    """What admission asks: min up to max, and idle below min, where a written 0 counts as 1."""
    low, high = hpa_bounds(spec)
    if spec.min is None:
        low = 0
    return low <= high and (spec.idle is None or spec.idle < low)


def is_active(value_milli: int, activation_milli: int = 0) -> bool:
    """Whether a trigger wakes its object: only strictly above its activation threshold."""
    return value_milli > activation_milli


def object_is_active(
    active: Collection[str], *, only_resources: bool, failed: bool, fallback: bool
) -> bool:
    """Whether an object is active: any trigger or its fallback is, or it has nothing but CPU and
    memory triggers, none of which failed.
    """
    return bool(active) or fallback or (only_resources and not failed)


def mirror_hpa(scaling_active: Condition | None) -> Condition | None:
    """The condition HPAActive for the HPA's ScalingActive; None, so left alone, where that is not
    to be had. An HPA that rests because its target is at zero is well.
    """
    if scaling_active is None or scaling_active.status is ConditionStatus.UNKNOWN:
        return None
    if scaling_active.status is ConditionStatus.TRUE:
        return Condition(ConditionStatus.TRUE, "HPAActive", "HPA is actively scaling")
    if scaling_active.reason == "ScalingDisabled":
        return scaling_active._replace(status=ConditionStatus.TRUE)
    message = f"HPA is not actively scaling: {scaling_active.message}"
    return Condition(ConditionStatus.FALSE, scaling_active.reason, message)


def triggers_activity(
    names: Collection[str],
    before: Mapping[str, bool],
    active: Collection[str],
    pushed: str | None = None,
) -> dict[str, bool]:
    """Which triggers are active. Where one trigger has pushed, only its own state changes."""
    if pushed:
        return {**before, pushed: pushed in active}
    return {name: name in active for name in names}


def _active_round(spec: ScaledObject, view: LoopView) -> Round:
    low = spec.min or 0
    if view.replicas == 0 or (spec.idle is not None and view.replicas < low):
        if has_switch(view.annotations, PAUSED_SCALE_OUT):
            return Round()
        return Round(write=max(low, 1), refreshes=True, event=_ACTIVATED)
    if view.failed:
        return Round(ready=_PARTIAL_ERROR)
    return Round(refreshes=True)


def _inactive_round(spec: ScaledObject, view: LoopView, now: float) -> Round:
    low, idle, replicas = spec.min or 0, spec.idle, view.replicas
    if view.failed and spec.fallback is None:
        return Round(ready=_TRIGGER_ERROR)
    if view.failed and spec.fallback is not None and spec.fallback.replicas != 0:
        return Round()  # the HPA will get the fallback's values
    if (idle is not None and replicas > idle) or (replicas > 0 and low == 0):
        return _deactivation(spec, view, now)
    if idle is None and replicas < low:
        return Round(write=low)
    return Round()


def _deactivation(spec: ScaledObject, view: LoopView, now: float) -> Round:
    if has_switch(view.annotations, PAUSED_SCALE_IN):
        return Round()
    if not _is_cool(spec, view, now):
        return Round(active=_COOLING)
    return Round(write=(spec.min or 0) if spec.idle is None else spec.idle, event=_DEACTIVATED)


def _is_cool(spec: ScaledObject, view: LoopView, now: float) -> bool:
    """Whether the cooldown is over, strictly: from the last activity, else from the creation."""
    if view.last_active_at is not None:
        return view.last_active_at + spec.cooldown_s < now
    return view.created_at is None or view.created_at + spec.initial_cooldown_s < now
