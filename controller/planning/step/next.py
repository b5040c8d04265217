"""How far towards its target a pool may go now."""

from __future__ import annotations

import msgspec

from controller.model.decision import Gate, Reason


class Next(msgspec.Struct, frozen=True, gc=False):
    """The size to set now, and why that is not the target, if it is not."""

    replicas: int
    gate: Gate | None = None
    reasons: tuple[Reason, ...] = ()
