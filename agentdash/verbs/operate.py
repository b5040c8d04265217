"""The verbs of operators: ask for something, take it back, and list what is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import asdict

from agentdash.operate import (
    AnswerError,
    NotDoneError,
    Preview,
    Reach,
    Request,
    clock_words,
    confirmed_for,
    operator,
    preview,
    reach_of,
    statement,
    uncounted,
    verb_of,
    write,
)
from agentdash.output import by_default, complain, note, refusal, tell, waiting_for_nats
from controller.attach import UnsupportedServerError, find_effect, operating
from controller.engine.supervise import FatalError, SystemClock
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.fleet import Fleet, unknown_pool, unknown_tenant
from controller.model.intents import (
    Audit,
    Intent,
    IntentChange,
    IntentKey,
    IntentKind,
    Intents,
    Scope,
    last_of,
)
from controller.model.memory import Memory
from controller.model.settings import Settings
from controller.model.snapshot import LinkState
from controller.planning.share.rows import local_day
from controller.planning.whatif import effect_of
from controller.ports import (
    Foreseen,
    IntentConflictError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
    UndoRefusedError,
)
from controller.wiring import look_once

_YES: Final = frozenset({"y", "Y"})
_INTERRUPTED: Final = "\x03"
_UNDO: Final = "agentdash undo"
_NONE: Final = "-"

_CODES: Final[Mapping[type[Exception], ExitCode]] = MappingProxyType(
    {
        AnswerError: ExitCode.USAGE,
        NotDoneError: ExitCode.REFUSED,
        UndoRefusedError: ExitCode.REFUSED,
        IntentConflictError: ExitCode.REFUSED,
        StoreRefusedError: ExitCode.REFUSED,
        StoreError: ExitCode.UNREACHABLE,
        UnsupportedServerError: ExitCode.UNSUPPORTED,
        FatalError: ExitCode.UNREACHABLE,
    }
)
"""The first that an error is an instance of counts."""


def operate(settings: Settings, options: Namespace) -> ExitCode:
    """Ask for an intent, or take one back (`options.withdraw`)."""
    if options.verb == "budget" and options.withdraw is (options.number is not None):
        raise refusal("budget takes either TOKENS, such as 8M, or --withdraw", ExitCode.USAGE)

    def begun(clock: SystemClock) -> ExitCode:
        request = request_asked(settings.fleet, options, clock.now())
        may_replace = request.takes_back or options.replace
        return _do(settings, options, clock, request, may_replace=may_replace)

    return _run(settings, options, begun)


def undo(settings: Settings, options: Namespace) -> ExitCode:
    """Take back this operator's last change that stands."""
    return _run(settings, options, lambda clock: _do(settings, options, clock, None))


def _run(
    settings: Settings, options: Namespace, begun: Callable[[SystemClock], ExitCode]
) -> ExitCode:
    """Say what goes wrong in words, and with an exit code."""
    log_nowhere()  # what goes wrong is raised, and said once
    if (options.read_only or settings.controller.read_only) and not options.dry_run:
        words = "read-only (--read-only, or controller.read_only in the fleet file)"
        raise refusal(f"{words}: nothing is asked", ExitCode.REFUSED)
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        try:
            return begun(SystemClock())
        except (*_CODES,) as error:
            advice = ""
            if isinstance(error, IntentConflictError):
                advice = "; nothing was changed"
            elif isinstance(error, StoreRefusedError):
                advice = ": nothing was changed; the docs list the rights that operators need"
            code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
            raise refusal(f"{error}{advice}", code) from None


# -- what is asked for ------------------------------------------------------------------------


def request_asked(fleet: Fleet, options: Namespace, now: float) -> Request:
    """The request of the command line. Raises AnswerError."""
    key = key_asked(fleet, options)
    why = ask_why(options.why, needed=not (options.withdraw or options.dry_run))
    request = Request(
        verb_of(key.kind), key.scope, takes_back=options.withdraw, number=options.number, why=why
    )
    if request.takes_back:
        return request
    if key.kind is IntentKind.BUDGET:  # what has no end ends with the tenant's day
        zone = next(each.timezone for each in fleet.tenants if each.name == key.scope.tenant)
        request = replace(request, reset_at=local_day(now, ZoneInfo(zone)).end)
    try:
        request = request.ending(options.until or "", now)
    except AnswerError as error:
        raise AnswerError(f"--until: {error}") from None
    try:
        request.intent()
    except ValueError as error:
        raise AnswerError(f"{error}: say how many") from None
    return request


def key_asked(fleet: Fleet, options: Namespace) -> IntentKey:
    """The key of what the command line names. Raises AnswerError for what the fleet does not
    have.
    """
    text, kind = options.scope, IntentKind(options.kind)
    if text is None:
        return IntentKey(kind, Scope())
    if "/" in text:
        if all(pool.key != text for pool in fleet.pools):
            raise AnswerError(unknown_pool(text, fleet))
        if kind is IntentKind.BUDGET:
            raise AnswerError(f"{text} is a pool: a day's budget belongs to a tenant")
        return IntentKey(kind, Scope(pool=text))
    tenant = next((each for each in fleet.tenants if each.name == text), None)
    if tenant is None:
        raise AnswerError(unknown_tenant(text, fleet))
    if kind in (IntentKind.PIN, IntentKind.CAP):
        pools = ", ".join(pool.key for pool in fleet.pools if pool.tenant == text)
        raise AnswerError(f"{text} is a tenant: name one of its pools ({pools or 'it has none'})")
    if kind is IntentKind.BUDGET and tenant.budget.tokens_per_day is None:
        raise uncounted(text)
    return IntentKey(kind, Scope(tenant=text))


def ask_why(given: str | None, *, needed: bool) -> str:
    """The reason as it was given, else as the person types it where it is needed. Raises
    AnswerError.
    """
    if given is not None:
        if not given.strip():
            raise AnswerError('--why is empty: say why, or "-" for no reason')
        return given.strip()
    if not needed:
        return ""
    if not _is_terminal():
        raise AnswerError('--why is required: others will read it; "-" for no reason')
    answer = _ask('why? ("-" for no reason) ')
    if not answer:
        raise AnswerError("without a reason nothing is asked for")
    return answer


# -- what it changes, and whether it is done --------------------------------------------------


def _do(
    settings: Settings,
    options: Namespace,
    clock: SystemClock,
    asked: Request | None,
    *,
    may_replace: bool = True,
) -> ExitCode:
    """Say what it changes, ask, and write it; without a request, undo the last one."""
    with waiting_for_nats(settings.nats, "what a controller or Kubernetes says"):
        request, seen = asyncio.run(_seen(settings, clock, asked, may_replace=may_replace))
    lines = statement(request, seen, undo=_UNDO)
    if request.undoes is None:
        lines[:2] = ["; ".join(lines[:2])]
    text = "\n".join(lines)
    if not options.as_json:
        tell(text)
    change = None
    if not options.dry_run:
        shown = text if options.as_json else ""
        if not options.yes and not agreed(request.scope, options.fleet.name, shown):
            raise NotDoneError("not confirmed: nothing was changed")
        with waiting_for_nats(settings.nats):
            change = asyncio.run(_written(settings, clock, request, seen))
    if options.as_json:
        tell(_report(options.verb, request, seen, change))
    elif change is not None:
        tell(f"done, revision {change.revision}")
    if change is not None and (words := clock_words(change, clock.now())):
        note(words)
    return ExitCode.OK


def agreed(scope: Scope, fleet: str, shown: str) -> bool:
    """Whether the person agrees: by the key y for a pool or a tenant, by the fleet's name for all
    of it. Raises AnswerError where nobody can be asked.
    """
    if not _is_terminal():
        raise AnswerError("not a terminal, so nobody can be asked: --yes agrees beforehand")
    if shown:
        complain(shown)
    if reach_of(scope) is Reach.FLEET:
        return _ask(f"this concerns the whole fleet; type {fleet} to confirm: ") == fleet
    return _one_key(f"do it for {confirmed_for(scope)}? y/N ") in _YES


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _ask(question: str) -> str:
    """The answer without the line break; empty at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _one_key(question: str) -> str:
    """The key that is pressed from now on; ctrl-c ends the process as elsewhere."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    raw = termios.tcgetattr(terminal)
    raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    termios.tcsetattr(terminal, termios.TCSAFLUSH, raw)
    try:
        sys.stderr.write(question)
        sys.stderr.flush()
        key = os.read(terminal, 1).decode(errors="replace")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    complain(key if key.isprintable() else "")
    if key == _INTERRUPTED:
        signal.raise_signal(signal.SIGINT)
    return key


async def _seen(
    settings: Settings, clock: SystemClock, request: Request | None, *, may_replace: bool
) -> tuple[Request, Preview]:
    """The request, and what it changes now by the controller that runs; where none answers, by one
    look. Raises NotDoneError.
    """

    async def foresee(key: IntentKey, intent: Intent | None) -> Foreseen:
        told = await find_effect(settings, clock, key, intent)
        return await _foreseen(settings, clock, key, intent) if told is None else told

    me, now = operator(), clock.now()
    async with operating(settings, clock, me) as desk:
        if request is None:
            change = last_of((await desk.audit()).changes, me.who, now)
            if change is None:
                raise NotDoneError(f"{me.who} has changed nothing that could be taken back")
            request = Request(verb_of(change.key.kind), change.key.scope, undoes=change)
        seen = await preview(request, desk, foresee, who=me.who, now=now, may_replace=may_replace)
        return request, seen


async def _foreseen(
    settings: Settings, clock: SystemClock, key: IntentKey, intent: Intent | None
) -> Foreseen:
    """What it changes now, by one look."""
    try:
        look = await look_once(settings, clock, fresh=False)
    except UnsupportedServerError:
        raise
    except FatalError as error:
        raise FatalError(f"no controller answers, and {error}; nothing was changed") from error
    for link in look.links:
        if link.state is not LinkState.CONNECTED:
            note(f"{link.name} is {link.state}: {link.detail}".rstrip(": "))
    if look.stored.memory_problem:
        note(f"the controller's memory cannot be read ({look.stored.memory_problem})")
    tick = look.tick
    effect = effect_of(
        key,
        intent,
        observation=tick.observation,
        fleet=settings.fleet,
        intents=tick.intents or Intents(),
        memory=tick.memory or Memory(),
        now=tick.now,
    )
    return Foreseen(effect, tick.now)


async def _written(
    settings: Settings, clock: SystemClock, request: Request, seen: Preview
) -> IntentChange:
    async with operating(settings, clock, operator()) as desk:
        try:
            return await write(request, seen, desk)
        except StoreAwayError as error:
            unknown = "whether it was written is not known; `agentdash intents` shows it"
            raise StoreAwayError(f"{error}: {unknown}") from error
        except ValueError as error:  # the server's clock is past its end
            raise AnswerError(str(error)) from None


def _report(verb: str, request: Request, seen: Preview, change: IntentChange | None) -> str:
    intent, standing = request.intent(), seen.standing
    report: dict[str, Any] = {
        "version": 1,
        "verb": verb,
        "kind": request.key.kind.value,
        "scope": msgspec.to_builtins(request.scope),
        "intent": None if intent is None else plain(intent),
        "replaces": None if standing is None else plain(standing.intent),
        "effect": msgspec.to_builtins(seen.effect),
        "statement": seen.effect.words(),
        "written": change is not None,
        "revision": None if change is None else change.revision,
    }
    return msgspec.json.encode(report).decode()


# -- what is asked for now, and what was ------------------------------------------------------


def read_audit(settings: Settings, clock: SystemClock) -> Audit:
    """Every change that is kept of what operators asked for. Raises ToldError."""

    async def answer() -> Audit:
        async with operating(settings, clock, operator()) as desk:
            return await desk.audit()

    log_nowhere()  # what goes wrong is raised, and said once
    try:
        with waiting_for_nats(settings.nats):
            return asyncio.run(answer())
    except UnsupportedServerError as error:
        raise refusal(error, ExitCode.UNSUPPORTED) from error
    except (StoreError, FatalError) as error:
        raise refusal(error, ExitCode.UNREACHABLE) from error


def standing_report(changes: Sequence[IntentChange], now: float) -> str:
    """What stands, by the changes that made it, as JSON."""
    intents = [
        {
            **({} if each.after is None else plain(each.after)),
            "kind": each.key.kind.value,
            "scope": msgspec.to_builtins(each.key.scope),
            "set_at": each.at,
            "origin": each.origin,
            "revision": each.revision,
            "problem": each.problem,
        }
        for each in changes
    ]
    return msgspec.json.encode({"version": 1, "at": now, "intents": intents}).decode()


def audit_report(audit: Audit, now: float) -> str:
    """Every change that is kept, the oldest first, as JSON."""
    changes = [_change_report(each) for each in audit.changes]
    report = {"version": 1, "at": now, "kept_of_each": audit.kept_of_each, "changes": changes}
    return msgspec.json.encode(report).decode()


def _change_report(change: IntentChange) -> dict[str, Any]:
    return {
        **{name: each for name, each in asdict(change).items() if name != "key"},
        "kind": change.key.kind.value,
        "scope": msgspec.to_builtins(change.key.scope),
        "before": None if change.before is None else plain(change.before),
        "after": None if change.after is None else plain(change.after),
    }


def plain(intent: Intent) -> dict[str, Any]:
    """The intent with its kind and its scope, as one object."""
    scope = msgspec.to_builtins(intent.scope)
    return {**asdict(intent), "kind": intent.kind.value, "scope": scope}
