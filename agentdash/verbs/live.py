"""One look at the live fleet, for `plan`, `why`, `--once` and `doctor`. Only this module loads the
clients.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import NamedTuple

from msgspec.structs import replace

from agentdash.output import note, tell, waiting_for_nats
from controller.attach import (
    MET_WITHIN_S,
    UnsupportedServerError,
    find_last_snapshot,
    find_snapshot,
    recalled_words,
)
from controller.doctor.examine import examine
from controller.doctor.report import encode
from controller.engine.supervise import FatalError, SystemClock
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.clock import time_words
from controller.model.memory import Tick
from controller.model.settings import Settings
from controller.model.snapshot import Diagnosis, Level, LinkState, Report, Snapshot
from controller.nats.state import StoredState
from controller.ports import StoreError
from controller.record.frames import OtherVersionError
from controller.wiring import Look, look_once, snapshot_of


class LiveLook(NamedTuple):
    """What one look gave: the tick, None where there was nothing to see, and notes for the person.
    The exit code says whether everything could be seen.
    """

    tick: Tick | None
    notes: tuple[str, ...]
    code: ExitCode
    look: Look | None = None


class LiveSnapshot(NamedTuple):
    """What a dashboard would show now, None where there was nothing to see; as LiveLook."""

    snapshot: Snapshot | None
    notes: tuple[str, ...]
    code: ExitCode


def snapshot_now(settings: Settings, name: str) -> LiveSnapshot:
    """What the running controller shows, if one answers; else one look and one plan, with the scale
    events that the last controller has kept. Where Kubernetes cannot be reached, it is that
    controller's last snapshot, `recalled`. `name` is the fleet file's. It never raises, and writes
    nothing.
    """
    log_nowhere()
    with waiting_for_nats(settings.nats, "Kubernetes"):
        because = "no controller answers"
        try:
            shown = asyncio.run(find_snapshot(settings.nats, SystemClock(), MET_WITHIN_S))
        except OtherVersionError as error:
            shown, because = None, str(error)
        if shown is not None:
            return LiveSnapshot(shown, (), ExitCode.OK)
        seen = _look(settings, fresh=False)
        if seen.look is None or _is_up(seen.look, "nats"):
            last, unread = _last(settings)
        else:
            last, unread = None, ()
    if last is not None and (seen.look is None or not _is_up(seen.look, "kubernetes")):
        notes = (*seen.notes, f"{recalled_words(last, SystemClock().now())}, not now")
        return LiveSnapshot(last, notes, seen.code)
    if seen.look is None:
        return LiveSnapshot(None, (*seen.notes, *unread), seen.code)
    snapshot = snapshot_of(seen.look, settings, name)
    alone = f"{because}: this is one look, without rates and events"
    if last is not None:
        snapshot = replace(snapshot, events=last.events)
        at = time_words(last.at, snapshot.at, to_seconds=True)
        alone = (
            f"{because}: this is one look, without rates; events are those that"
            f" {last.process} has kept until {at}"
        )
    return LiveSnapshot(snapshot, (*seen.notes, *unread, alone), seen.code)


def snapshot_of_last(settings: Settings) -> LiveSnapshot:
    """What the last controller has kept, where nothing can be seen now. It never raises."""
    log_nowhere()
    last, unread = _last(settings)
    if last is None:
        return LiveSnapshot(None, unread, ExitCode.UNREACHABLE)
    words = f"{recalled_words(last, SystemClock().now())}, not now"
    return LiveSnapshot(last, (words,), ExitCode.UNREACHABLE)


def _last(settings: Settings) -> tuple[Snapshot | None, tuple[str, ...]]:
    """What the last controller has kept, and why it cannot be read."""
    try:
        return asyncio.run(find_last_snapshot(settings.nats, SystemClock())), ()
    except StoreError as error:
        return None, (f"the last snapshot cannot be read: {error}",)


def _is_up(look: Look, name: str) -> bool:
    up = (each.name for each in look.links if each.state is LinkState.CONNECTED)
    return name in up


def look(settings: Settings, *, fresh: bool) -> LiveLook:
    """Connect to NATS and Kubernetes, wait for both, and ask once. It never raises: what cannot be
    reached is in the notes.
    """
    log_nowhere()  # the notes say what the connections would log
    with waiting_for_nats(settings.nats, "Kubernetes"):
        return _look(settings, fresh=fresh)


def _look(settings: Settings, *, fresh: bool) -> LiveLook:
    try:
        found = asyncio.run(look_once(settings, SystemClock(), fresh=fresh))
    except UnsupportedServerError as error:
        return LiveLook(None, (str(error),), ExitCode.UNSUPPORTED)
    except FatalError as error:
        return LiveLook(None, (str(error),), ExitCode.UNREACHABLE)
    down = [link for link in found.links if link.state is not LinkState.CONNECTED]
    unreachable = [f"{link.name} is {link.state}: {link.detail}".rstrip(": ") for link in down]
    intents = [f"operators' intents: {each}" for each in found.stored.intent_problems]
    notes = (_of_memory(found.stored, found.tick.now, fresh=fresh), *intents, *unreachable)
    code = ExitCode.UNREACHABLE if down else ExitCode.OK
    return LiveLook(found.tick, notes, code, found)


def _of_memory(stored: StoredState, now: float, *, fresh: bool) -> str:
    """Which memory the plan is made with."""
    begin = "windows and cooldowns begin with this look"
    if fresh:
        return f"--fresh: planned without memory: {begin}"
    if stored.memory_problem:
        return f"the controller's memory cannot be read ({stored.memory_problem}): {begin}"
    if stored.saved_memory is None:
        return f"no controller has left a memory: {begin}"
    saved = stored.saved_memory
    age_s = now - saved.saved_at if saved.age_s is None else saved.age_s
    return f"planned with the controller's memory of {_age(max(0.0, age_s))} ago"


def _age(seconds: float) -> str:
    """A time span in the largest unit that it has at least two of."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_doctor(settings: Settings, options: Namespace) -> ExitCode:
    """Print a line for each thing that was looked at; OK if all of it works, and as well as it
    could where that is asked for.
    """
    for notice in settings.notices:
        note(str(notice))
    found = find_faults(settings)
    tell(encode(found) if options.as_json else _text(found))
    warned = options.strict and any(line.level is Level.WARN for line in found.lines)
    return ExitCode.FAILED if found.has_failure or warned else ExitCode.OK


def find_faults(settings: Settings) -> Report:
    """Run all checks; what goes wrong is a line of the report."""
    log_nowhere()  # the lines say what the connections would log
    with waiting_for_nats(settings.nats, "Kubernetes"):
        return asyncio.run(examine(settings, SystemClock()))


def _text(found: Report) -> str:
    width = max(len(_about(line)) for line in found.lines)
    return "\n".join(_line(line, width) for line in found.lines)


def _about(line: Diagnosis) -> str:
    return f"{line.check} {line.subject}".rstrip()


def _line(line: Diagnosis, width: int) -> str:
    todo = f" -> {line.todo}" if line.todo else ""
    return f"{line.level:<4}  {_about(line):<{width}}  {line.text}{todo}"
