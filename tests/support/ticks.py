"""Writes ticks as lines of an observations file."""

from __future__ import annotations

import msgspec

from controller.model.memory import Tick


def encode_tick(tick: Tick) -> bytes:
    """The tick as one line of JSON, without a line break."""
    return msgspec.json.encode(tick, order="deterministic")
