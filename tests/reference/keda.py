"""What KEDA's own loop does with a ScaledObject: from and to zero or the idle size, and the
conditions that it sets.

Source: kedacore/keda pkg/scaling/executor/scale_scaledobjects.go (RequestScale, getHPAHealth),
scale_executor.go (getTriggersActivity), apis/keda/v1alpha1/scaledobject_types.go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from controller.model.metrics import ConditionStatus, Fallback
from controller.model.value import Value

PAUSED: Final = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN: Final = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT: Final = "autoscaling.keda.sh/paused-scale-out"
FORCE_ACTIVATION: Final = "autoscaling.keda.sh/force-activation"

DEFAULT_COOLDOWN_S: Final = 300
# Go's strconv.ParseBool; KEDA reads any other text as true
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class ScaledObject(Value):
    """The part of a ScaledObject that its loop looks at; `min` is None where none is written."""

    min: int | None = None
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
    trigger failed. `created_at` is None for long ago; `hpa` is None where the HPA's ScalingActive
    is not known.
    """

    replicas: int
    active: bool
    failed: bool
    created_at: float | None = None
    last_active_at: float | None = None
    annotations: Mapping[str, str] = {}
    hpa: Condition | None = None


class Round(NamedTuple):
    """What one round of the loop decides.

    - `write`: the size to set, None for none. `refreshes`: the last activity is now, once the
      write, if there is one, has succeeded.
    - `ready`, `active`, `paused`, `hpa_active`: conditions; one that is None stays as it was.
    """

    write: int | None = None
    refreshes: bool = False
    event: str | None = None
    ready: Condition | None = None
    active: Condition | None = None
    paused: Condition | None = None
    hpa_active: Condition | None = None


# these texts are KEDA's own: people search for them
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


def has_switch(annotations: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on: any value but a false one turns it on, "banana" included."""
    value = annotations.get(name)
    return value is not None and value not in _FALSE


def mirror_hpa(scaling_active: Condition | None) -> Condition | None:
    """The condition HPAActive for the HPA's ScalingActive; None, so left as it was, where that is
    not known. An HPA that does nothing because its target is at zero is healthy.
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
