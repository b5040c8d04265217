"""The result of sharing for one pool."""

from __future__ import annotations

import msgspec

from controller.model.decision import Bound, Reason


class Target(msgspec.Struct, frozen=True, gc=False):
    """The number of replicas that one pool should have, and the rule that decided it."""

    replicas: int
    bound: Bound
    reasons: tuple[Reason, ...] = ()
