"""The result of step 4 for one pool."""

from __future__ import annotations

import msgspec

from controller.model.decision import Drain, Gate, Reason


class Next(msgspec.Struct, frozen=True, gc=False):
    """The size to set now, in replicas; if it is not the target, the gate and reasons say why.
    `drain`: what the workers are told, None for a pool whose workers never said what they do.
    """

    replicas: int
    gate: Gate | None = None
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None
