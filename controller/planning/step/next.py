"""The result of step 4 for one pool."""

from __future__ import annotations

import msgspec

from controller.model.decision import Gate, Reason


class Next(msgspec.Struct, frozen=True, gc=False):
    """The size to set now, in replicas; if it is not the target, the gate and reasons say why."""

    replicas: int
    gate: Gate | None = None
    reasons: tuple[Reason, ...] = ()
