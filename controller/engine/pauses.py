"""Keeps the garbage collector's pauses short in a process that runs a controller."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 10_000
"""New objects until the youngest are looked through: a tick of 1,000 pools makes some thousands."""


def spare_what_lasts() -> None:
    """Collect once, and leave what there is now out of every later collection.

    To be called when the fleet is known. A full collection would otherwise look through all
    modules and all pools again each time, and the loop stands still meanwhile.
    """
    gc.unfreeze()  # what an earlier call kept may have ended since, with an earlier fleet
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
