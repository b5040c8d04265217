"""One look at the live fleet for `plan` and `why`; here alone the clients are loaded."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from controller.engine.clock import SystemClock
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.settings import Settings
from controller.model.snapshot import LinkState
from controller.model.tick import Tick
from controller.nats.stored_state import StoredState
from controller.wiring import UnsupportedServerError, look_once


class Seen(NamedTuple):
    """What was seen, None where nothing could be; what to say of it, and whether all was there."""

    tick: Tick | None
    notes: tuple[str, ...]
    code: ExitCode


def look(settings: Settings, *, fresh: bool) -> Seen:
    """Connect, wait for the first sight of both, ask once. What is away is noted, never raised."""
    log_nowhere()  # what the connections have to say stands in the notes
    try:
        sight = asyncio.run(look_once(settings, SystemClock(), fresh=fresh))
    except UnsupportedServerError as error:
        return Seen(None, (str(error),), ExitCode.UNSUPPORTED)
    except FatalError as error:
        return Seen(None, (str(error),), ExitCode.UNREACHABLE)
    down = [link for link in sight.links if link.state is not LinkState.CONNECTED]
    away = [f"{link.name} is {link.state}: {link.detail}".rstrip(": ") for link in down]
    asked = [f"pins, pauses and freezes: {each}" for each in sight.stored.intent_problems]
    notes = (_of_memory(sight.stored, sight.tick.now, fresh=fresh), *asked, *away)
    return Seen(sight.tick, notes, ExitCode.UNREACHABLE if down else ExitCode.OK)


def _of_memory(stored: StoredState, now: float, *, fresh: bool) -> str:
    """With whose memory it was planned."""
    begin = "windows and cooldowns begin with this look"
    if fresh:
        return f"--fresh: planned without memory: {begin}"
    if stored.memory_problem:
        return f"the controller's memory cannot be read ({stored.memory_problem}): {begin}"
    if stored.saved_memory is None:
        return f"no controller has left a memory: {begin}"
    age = _age(max(0.0, now - stored.saved_memory.saved_at))
    return f"planned with the controller's memory of {age} ago"


def _age(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
