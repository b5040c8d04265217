"""The limits of one pool, before sharing."""

from __future__ import annotations

import msgspec

from controller.model.decision import Bound, Reason
from controller.model.memory import PoolMemory
from controller.planning.allocation.values import Ceiling


class Limits(msgspec.Struct, frozen=True, gc=False):
    """One pool's limits, and its size before anything is shared.

    - `replicas`: the size after spares and ceilings. `bound`: the rule that decided it.
    - `recommendation`: the recommended size within the bounds, before spares and ceilings.
    - `min`, `max`: the bounds in force. `pinned`: replicas above min that belong to the floor.
      `spares`: replicas on top of the recommendation, including the pinned ones.
    - `ceilings`: the limits besides max.
    - `unstabilized`: the size without windows and rate policies.
    - `is_moving`: a window or a rate policy still delays a change of the recommendation.
    - `left_alone`: no limit and no gate applies.
    - `held`: a gate will keep it from shrinking, so it takes part in sharing with its present size.
    - `memory`: the memory after this step.
    """

    replicas: int
    bound: Bound
    recommendation: int
    min: int
    max: int
    pinned: int
    spares: int
    ceilings: tuple[Ceiling, ...]
    unstabilized: int
    is_moving: bool
    left_alone: bool
    held: bool
    memory: PoolMemory
    reasons: tuple[Reason, ...]
