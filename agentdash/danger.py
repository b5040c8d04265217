"""How much an intent concerns, and so how much a person types to confirm it."""

from __future__ import annotations

from enum import IntEnum

from controller.model.intents import Scope


class Danger(IntEnum):
    """What is concerned, the least first. NONE: nothing is changed."""

    NONE = 0
    POOL = 1
    TENANT = 2
    FLEET = 3


def danger_of(scope: Scope) -> Danger:
    """What an intent of this scope concerns."""
    if scope.pool is not None:
        return Danger.POOL
    return Danger.FLEET if scope.tenant is None else Danger.TENANT
