"""One look at the live fleet for `plan` and `why`. Only this module loads the clients."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from agentdash.output import waiting_for
from controller.attach import UnsupportedServerError
from controller.engine.clock import SystemClock
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.settings import Settings
from controller.model.snapshot import LinkState
from controller.model.text import clean
from controller.model.tick import Tick
from controller.nats.stored_state import StoredState
from controller.wiring import look_once


class LiveLook(NamedTuple):
    """What one look gave: the tick, None where there was nothing to see, and notes for the person.
    The exit code says whether everything could be seen.
    """

    tick: Tick | None
    notes: tuple[str, ...]
    code: ExitCode


def look(settings: Settings, *, fresh: bool) -> LiveLook:
    """Connect to NATS and Kubernetes, wait for both, and ask once. It never raises: what cannot be
    reached is in the notes.
    """
    servers = clean(", ".join(settings.nats.servers))
    log_nowhere()  # the notes say what the connections would log
    try:
        with waiting_for(f"NATS ({servers}) and Kubernetes"):
            found = asyncio.run(look_once(settings, SystemClock(), fresh=fresh))
    except UnsupportedServerError as error:
        return LiveLook(None, (str(error),), ExitCode.UNSUPPORTED)
    except FatalError as error:
        return LiveLook(None, (str(error),), ExitCode.UNREACHABLE)
    down = [link for link in found.links if link.state is not LinkState.CONNECTED]
    unreachable = [f"{link.name} is {link.state}: {link.detail}".rstrip(": ") for link in down]
    intents = [f"operators' intents: {each}" for each in found.stored.intent_problems]
    notes = (_of_memory(found.stored, found.tick.now, fresh=fresh), *intents, *unreachable)
    return LiveLook(found.tick, notes, ExitCode.UNREACHABLE if down else ExitCode.OK)


def _of_memory(stored: StoredState, now: float, *, fresh: bool) -> str:
    """Which memory the plan is made with."""
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
    """A time span in the largest unit that it has at least two of."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
