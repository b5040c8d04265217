"""What a Deployment's own annotations ask of its autoscaler: KEDA's pauses, and our freeze."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from controller.model.ids import PoolKey
from controller.model.intents import Freeze, Scope
from controller.planning.keda import (
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
    AnnotationError,
    has_switch,
    is_paused,
    paused_replicas,
)

FREEZE: Final = "agentdash.dev/freeze"
PAUSES: Final = frozenset({PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT})


class Halt(NamedTuple):
    """KEDA's pause of one Deployment, and the annotation that asks for it.

    Both ways: it is kept at `keep` replicas, None for as many as there are. `unreadable` is a text
    that should have been a number: it is kept as it is.
    """

    annotation: str
    grows: bool = False
    shrinks: bool = False
    keep: int | None = None
    unreadable: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it stays at its present size, whatever that is."""
        return not self.grows and not self.shrinks and self.keep is None


def read_halts(annotations: Mapping[str, str]) -> tuple[Halt, ...]:
    """The pauses in force: one for both directions, else one for each that is paused.

    KEDA: any value but a false one is a yes, and a number of replicas wins over a plain pause.
    """
    if is_paused(annotations):
        return (_both_ways(annotations),)
    halts = []
    if has_switch(annotations, PAUSED_SCALE_IN):
        halts.append(Halt(PAUSED_SCALE_IN, grows=True))
    if has_switch(annotations, PAUSED_SCALE_OUT):
        halts.append(Halt(PAUSED_SCALE_OUT, shrinks=True))
    return tuple(halts)


def read_freeze(annotations: Mapping[str, str], pool: PoolKey) -> Freeze | None:
    """The freeze that an annotation asks for; its value is the reason, unless it is a false one."""
    if not has_switch(annotations, FREEZE):
        return None
    return Freeze(scope=Scope(pool=pool), who=FREEZE, why=annotations[FREEZE])


def _both_ways(annotations: Mapping[str, str]) -> Halt:
    text = annotations.get(PAUSED_REPLICAS)
    if text is None:
        return Halt(PAUSED)
    try:
        replicas = paused_replicas(annotations)
    except AnnotationError:
        return Halt(PAUSED_REPLICAS, unreadable=text)
    if replicas is None or replicas < 0:
        return Halt(PAUSED_REPLICAS, unreadable=text)
    return Halt(PAUSED_REPLICAS, keep=replicas)
