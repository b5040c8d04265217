"""`agentdash journal`: the lines of the journal that NATS keeps, printed or for a dashboard."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from agentdash.output import by_default, note, refusal, tell, waiting_for_nats
from controller.attach import connected
from controller.engine.supervise import FatalError, SystemClock
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.settings import Settings
from controller.nats.jetstream import NatsError, NatsRefusedError, StreamMissingError
from controller.nats.journal_stream import JournalReading, read_journal


def print_journal_stream(settings: Settings, *, since_s: float | None) -> ExitCode:
    """Print its lines, those of the last `since_s` seconds and some before them; None: all.

    Raises OutputError.
    """
    return _read(settings, since_s, lambda line: tell(line.decode().removesuffix("\n")))


def save_journal_stream(settings: Settings, path: Path, *, since_s: float | None) -> ExitCode:
    """Write them into this file, which is new."""
    with path.open("wb") as opened:
        return _read(settings, since_s, opened.write)


def _read(
    settings: Settings, since_s: float | None, on_line: Callable[[bytes], object]
) -> ExitCode:
    log_nowhere()
    clock = SystemClock()
    odd = 0

    def take(line: bytes) -> None:
        nonlocal odd
        if line.decode("utf-8", "replace").removesuffix("\n").isprintable():
            on_line(line)
        else:  # none of ours: names are cleaned, and JSON escapes control characters
            odd += 1

    async def read() -> JournalReading:
        since = None if since_s is None else clock.now() - since_s
        async with connected(settings.nats, clock) as session:
            return await read_journal(session, settings.nats.bucket, clock, take, since=since)

    try:
        # an interrupt ends the process without a word, as it ends other filters
        with by_default(signal.SIGINT), waiting_for_nats(settings.nats, "the journal's stream"):
            reading = asyncio.run(read())
    except StreamMissingError as error:
        advice = "controller.journal.stream in the fleet file makes the leader write it"
        raise refusal(f"{error}: {advice}", ExitCode.UNREACHABLE) from None
    except (NatsError, FatalError) as error:
        words, code = f"the journal's stream cannot be read: {error}", ExitCode.UNREACHABLE
        if isinstance(error, NatsRefusedError):
            words, code = f"{words}; the docs list the rights", ExitCode.REFUSED
        raise refusal(words, code) from None
    if unread := reading.unread + odd:
        note(f"{unread:,} messages of the stream are no lines of a journal: left out")
    if reading.lines > odd:
        return ExitCode.OK
    raise refusal("the stream has no whole snapshot of that time yet", ExitCode.UNREACHABLE)
