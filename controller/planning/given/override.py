"""What limits or overrides a pool's rule: bounds, operators' intents and annotations."""

from __future__ import annotations

import msgspec

from controller.model.fleet import BlindPolicy
from controller.model.intents import Cap, Freeze, NoGrowth, Pause, Pin
from controller.planning.given.annotations import Halt
from controller.planning.given.schedules import ScheduledBounds


class Override(msgspec.Struct, frozen=True, gc=False):
    """One pool's bounds now, the intents about it, and what its annotations ask: `halts` are KEDA's
    pauses, `forced` its forced activation. `blind` is its tier's policy for blindness.
    """

    bounds: ScheduledBounds
    pin: Pin | None = None
    pause: Pause | None = None
    freeze: Freeze | None = None
    cap: Cap | None = None
    no_growth: NoGrowth | None = None
    halts: tuple[Halt, ...] = ()
    forced: bool = False
    blind: BlindPolicy | None = None
