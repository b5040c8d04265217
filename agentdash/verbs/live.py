"""One look at the live fleet for `plan` and `why`; here alone the clients are loaded."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from controller.engine.clock import SystemClock
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.settings import Settings
from controller.model.snapshot import LinkState
from controller.model.tick import Tick
from controller.wiring import UnsupportedServerError, look_once

WITHOUT_MEMORY: Final = (
    "planned without memory and intents: windows and cooldowns begin with this look,"
    " so nothing is taken away yet"
)


class Look(NamedTuple):
    """What was seen, None where nothing could be; what to say of it, and whether all was there."""

    tick: Tick | None
    notes: tuple[str, ...]
    code: ExitCode


def look(settings: Settings) -> Look:
    """Connect, wait for the first sight of both, ask once. What is away is noted, never raised."""
    log_nowhere()  # what the connections have to say stands in the notes
    try:
        tick, links = asyncio.run(look_once(settings, SystemClock()))
    except UnsupportedServerError as error:
        return Look(None, (str(error),), ExitCode.UNSUPPORTED)
    except FatalError as error:
        return Look(None, (str(error),), ExitCode.UNREACHABLE)
    down = [link for link in links if link.state is not LinkState.CONNECTED]
    notes = [f"{link.name} is {link.state}: {link.detail}".rstrip(": ") for link in down]
    code = ExitCode.UNREACHABLE if down else ExitCode.OK
    return Look(tick, (WITHOUT_MEMORY, *notes), code)
