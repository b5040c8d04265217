"""What one pool alone may have."""

from __future__ import annotations

import msgspec

from controller.model.decision import Bound, Reason
from controller.model.memory import PoolMemory
from controller.planning.allocation.values import Ceiling


class Limits(msgspec.Struct, frozen=True, gc=False):
    """One pool's limits, and its size before anything is shared.

    - `replicas`: the size that the recommendation, spares and ceilings come to; `bound` decided it.
    - `recommendation`: between the bounds, before spares and ceilings.
    - `min`, `max`: the bounds in force. `pinned`: replicas above min that are a floor as well.
      `spares`: replicas asked for on top of the recommendation, those that are pinned included.
    - `ceilings`: the limits besides max.
    - `unstabilized`: the size that it would come to without windows and rate policies.
    - `is_moving`: a window or a policy keeps the recommendation, for now, from what it will be.
    - `left_alone`: no limit and no gate applies.
    - `held`: a gate will keep it from shrinking, so it takes part in sharing as it is.
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
