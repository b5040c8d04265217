"""`agentdash intents`: what operators ask for now, and the audit of what they have changed."""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from agentdash.identity import operator
from agentdash.output import by_default, note, tell
from agentdash.verbs.tables import aligned
from agentdash.verbs.waiting import waiting_for_nats
from controller.attach import UnsupportedServerError
from controller.engine.clock import SystemClock
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.intents import (
    Audit,
    Intent,
    IntentChange,
    StandingIntent,
    asked_words,
    scope_name,
    time_words,
)
from controller.model.settings import Settings
from controller.planning.explain import duration
from controller.ports import StoreError
from controller.wiring import operating

_STANDING = ("WHAT", "FOR", "ASKED", "UNTIL", "AGE", "WHO", "WHY")
_CHANGES = ("REVISION", "AT", "WHO", "WHAT", "BEFORE", "AFTER", "UNTIL", "WHY")
_NONE = "-"
T = TypeVar("T")


class AuditError(Exception):
    """What operators asked for cannot be read; the text says why, `code` is that of the process."""

    def __init__(self, text: str, code: ExitCode) -> None:
        super().__init__(text)
        self.code = code


def show_intents(settings: Settings, options: Namespace) -> ExitCode:
    """Print the intents in force, or every change that is kept."""
    clock = SystemClock()
    with by_default(signal.SIGINT):
        try:
            if options.audit:
                _show_audit(read_audit(settings, clock), clock.now(), as_json=options.as_json)
            else:
                found = _asking(settings, _standing(settings, clock))
                _show_standing(found, clock.now(), as_json=options.as_json)
        except AuditError as error:
            note(str(error))
            return error.code
    return ExitCode.OK


def read_audit(settings: Settings, clock: SystemClock) -> Audit:
    """Every change that is kept of what operators asked for. Raises AuditError."""
    return _asking(settings, _audit(settings, clock))


def _asking(settings: Settings, question: Coroutine[Any, Any, T]) -> T:
    """The answer of the intents' bucket. Raises AuditError."""
    log_nowhere()  # what goes wrong is raised, and said once
    try:
        with waiting_for_nats(settings.nats):
            return asyncio.run(question)
    except UnsupportedServerError as error:
        raise AuditError(str(error), ExitCode.UNSUPPORTED) from error
    except (StoreError, FatalError) as error:
        raise AuditError(str(error), ExitCode.UNREACHABLE) from error


async def _standing(settings: Settings, clock: SystemClock) -> Sequence[StandingIntent]:
    async with operating(settings, clock, operator()) as desk:
        return await desk.standing()


async def _audit(settings: Settings, clock: SystemClock) -> Audit:
    async with operating(settings, clock, operator()) as desk:
        return await desk.audit()


def _show_standing(found: Sequence[StandingIntent], now: float, *, as_json: bool) -> None:
    if as_json:
        intents = [
            {
                **plain(each.intent),
                "set_at": each.set_at,
                "origin": each.origin,
                "revision": each.revision,
            }
            for each in found
        ]
        tell(msgspec.json.encode({"version": 1, "at": now, "intents": intents}).decode())
        return
    if not found:
        tell("nothing is asked for")
        return
    rows = []
    for each in found:
        intent = each.intent
        key = intent.key
        until = _NONE if intent.until is None else time_words(intent.until, now)
        age = duration(max(now - each.set_at, 0.0))
        row = (key.kind.value, scope_name(key.scope), asked_words(intent), until, age)
        rows.append((*row, _author(intent.who, each.origin), intent.why or _NONE))
    tell("\n".join(aligned([_STANDING, *rows])))


def _show_audit(audit: Audit, now: float, *, as_json: bool) -> None:
    if as_json:
        changes = [_change_report(each) for each in audit.changes]
        report = {
            "version": 1,
            "at": now,
            "kept_of_each": audit.kept_of_each,
            "changes": changes,
        }
        tell(msgspec.json.encode(report).decode())
        return
    if not audit.changes:
        tell("nothing was ever asked for")
    else:
        tell("\n".join(aligned([_CHANGES, *(_row(each, now) for each in audit.changes)])))
    if audit.kept_of_each == 1:
        note(
            "the bucket keeps only the last change of each intent: an older agentdash made it, or"
            " its owner did; `nats stream edit --max-msgs-per-subject 64` on its stream keeps more"
        )


def _row(change: IntentChange, now: float) -> tuple[str, ...]:
    until = change.after.until if change.after is not None else None
    before = _asked(change.before) if change.is_whole else "?"
    after = "ended" if change.expired else _asked(change.after)
    return (
        str(change.revision),
        time_words(change.at, now),
        _author(change.who, change.origin),
        f"{change.key.kind} {scope_name(change.key.scope)}",
        before,
        after,
        _NONE if until is None else time_words(until, now),
        change.why or _NONE,
    )


def _asked(intent: Intent | None) -> str:
    return _NONE if intent is None else asked_words(intent)


def _author(who: str, origin: str) -> str:
    named = who or "?"
    return f"{named} from {origin}" if origin else named


def _change_report(change: IntentChange) -> dict[str, Any]:
    return {
        "revision": change.revision,
        "at": change.at,
        "who": change.who,
        "origin": change.origin,
        "why": change.why,
        "kind": change.key.kind.value,
        "scope": msgspec.to_builtins(change.key.scope),
        "before": None if change.before is None else plain(change.before),
        "after": None if change.after is None else plain(change.after),
        "undoes": change.undoes,
        "is_whole": change.is_whole,
        "expired": change.expired,
    }


def plain(intent: Intent) -> dict[str, Any]:
    """The intent with its kind and its scope, as one object."""
    scope = msgspec.to_builtins(intent.scope)
    return {**msgspec.structs.asdict(intent), "kind": intent.kind.value, "scope": scope}
