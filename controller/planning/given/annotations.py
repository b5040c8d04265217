"""What a Deployment's own annotations ask of its autoscaler: KEDA's switches, and our freeze.

Source: kedacore/keda pkg/scaling/executor/scale_scaledobjects.go and
apis/keda/v1alpha1/scaledobject_types.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from controller.model.ids import PoolKey
from controller.model.intents import Freeze, Scope
from controller.model.observation import Workload

PAUSED: Final = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN: Final = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT: Final = "autoscaling.keda.sh/paused-scale-out"
FORCE_ACTIVATION: Final = "autoscaling.keda.sh/force-activation"
FREEZE: Final = "agentdash.dev/freeze"
PAUSES: Final = frozenset({PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT})

# at most as many digits as 32 bits need; Python refuses to read much longer numbers
_REPLICAS: Final = re.compile(r"([+-]?)0*([0-9]{1,10})")
# Go's strconv.ParseBool; KEDA reads any other text as true
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class Halt(NamedTuple):
    """KEDA's pause of one Deployment, and the annotation that asks for it.

    If both directions are paused, the size is `keep` replicas, or the present size if `keep` is
    None. `unreadable` is the annotation's text if it should be a number but is not; then the
    Deployment keeps its present size.
    """

    annotation: str
    grows: bool = False
    shrinks: bool = False
    keep: int | None = None
    unreadable: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the Deployment stays at its present size, whatever that is."""
        return not self.grows and not self.shrinks and self.keep is None


def read_halts(annotations: Mapping[str, str]) -> tuple[Halt, ...]:
    """The pauses in force: one for both directions, else one for each direction that is paused.

    KEDA: a number of replicas wins over a plain pause.
    """
    if PAUSED_REPLICAS in annotations:
        return (_paused_replicas(annotations[PAUSED_REPLICAS]),)
    if is_on(annotations, PAUSED):
        return (Halt(PAUSED),)
    halts = []
    if is_on(annotations, PAUSED_SCALE_IN):
        halts.append(Halt(PAUSED_SCALE_IN, grows=True))
    if is_on(annotations, PAUSED_SCALE_OUT):
        halts.append(Halt(PAUSED_SCALE_OUT, shrinks=True))
    return tuple(halts)


def read_freeze(workload: Workload, pool: PoolKey) -> Freeze | None:
    """The freeze that an annotation of the Deployment or of its namespace asks for; its value is
    the reason.
    """
    scope = Scope(pool=pool)
    if is_on(workload.annotations, FREEZE):
        return Freeze(scope=scope, who=FREEZE, why=workload.annotations[FREEZE])
    if (why := workload.namespace_freeze) is not None and is_on({FREEZE: why}, FREEZE):
        return Freeze(scope=scope, who=f"{FREEZE} on its namespace", why=why)
    return None


def is_on(annotations: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on. KEDA: any value but a false one turns it on, "banana" included."""
    value = annotations.get(name)
    return value is not None and value not in _FALSE


def _paused_replicas(text: str) -> Halt:
    found = _REPLICAS.fullmatch(text)
    replicas = -1 if found is None else int("".join(found.groups()))
    if not 0 <= replicas < 2**31:
        return Halt(PAUSED_REPLICAS, unreadable=text)
    return Halt(PAUSED_REPLICAS, keep=replicas)
