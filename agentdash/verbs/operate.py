"""Asking for something, and taking it back: states what it changes now, asks, and writes it."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from agentdash.danger import Danger, danger_of
from agentdash.identity import operator
from agentdash.moments import read_until
from agentdash.output import by_default, complain, note, tell
from agentdash.tui.names import DEFAULT_UNTIL, NO_END
from agentdash.verbs.intent_lists import plain
from agentdash.verbs.waiting import waiting_for_nats
from controller.attach import UnsupportedServerError
from controller.engine.clock import SystemClock
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.fleet import Fleet
from controller.model.intents import (
    Intent,
    IntentChange,
    IntentKey,
    IntentKind,
    Intents,
    Scope,
    StandingIntent,
    asked_words,
    change_words,
    key_words,
    last_of,
    scope_name,
    stands,
    until_words,
)
from controller.model.memory import Memory
from controller.model.settings import Settings
from controller.model.snapshot import LinkState
from controller.model.tick import NameKind, UnknownName, sentence, unknown_pool
from controller.planning.demand.hpa_metrics import reading_name
from controller.planning.share.rows import local_day
from controller.planning.whatif import Effect, Estimate, effect_of
from controller.ports import (
    Foreseen,
    IntentConflictError,
    IntentDesk,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
    UndoRefusedError,
)
from controller.wiring import Look, find_effect, look_once, operating

_YES = frozenset({"y", "yes"})


class QuestionError(Exception):
    """There is nobody to ask; the text says which option answers instead."""


def ask_why(given: str | None) -> str:
    """The reason as it was given, else as the person types it. Raises QuestionError."""
    if given is not None:
        if not given.strip():
            raise QuestionError('--why is empty: say why, or "-" for no reason')
        return given.strip()
    if not _is_terminal():
        raise QuestionError('--why is needed: others will read it; "-" for no reason')
    answer = _ask('why? ("-" for no reason) ')
    if not answer:
        raise QuestionError("without a reason nothing is asked for")
    return answer


def agreed(danger: Danger, scope: str, fleet: str, statement: str) -> bool:
    """Whether the person agrees: by y for a pool or a tenant, by the fleet's name for all of it.
    Raises QuestionError where nobody can be asked.
    """
    if not _is_terminal():
        raise QuestionError("not a terminal, so nobody can be asked: --yes agrees beforehand")
    if statement:
        complain(statement)
    if danger is Danger.FLEET:
        return _ask(f"this concerns the whole fleet; type {fleet} to confirm: ") == fleet
    words = scope if danger is Danger.POOL else f"all pools of {scope}"
    return _ask(f"do it for {words}? y/N ").lower() in _YES


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _ask(question: str) -> str:
    """The answer without the line break; empty at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


_UNDO: Final = "undo: agentdash undo"


class RequestError(Exception):
    """The command line asks for what cannot be; the text says why and what to do."""


class RefusedError(Exception):
    """What is asked for is not done; the text says why and what to do."""


class Prepared(NamedTuple):
    """What is about to be written at `key`, None to take away what stands there; the intent that it
    replaces, by its revision; and what it changes now.
    """

    key: IntentKey
    intent: Intent | None
    standing: StandingIntent | None
    replaces: int | None
    effect: Effect | Estimate
    now: float
    undoes: IntentChange | None = None


def operate(settings: Settings, options: Namespace) -> ExitCode:
    """Ask for an intent, or take one back (`options.withdraw`)."""
    if options.verb == "budget" and options.withdraw is (options.number is not None):
        note("budget takes either TOKENS, such as 8M, or --withdraw")
        return ExitCode.USAGE

    def begun(clock: SystemClock) -> ExitCode:
        key, intent = key_asked(settings.fleet, options), None
        why = ask_why(options.why)
        if not options.withdraw:
            intent = intent_asked(settings.fleet, key, options, why, clock.now())
        replace = not options.withdraw and options.replace
        with _waiting(settings):
            prepared = asyncio.run(_prepared(settings, clock, key, intent, replace=replace))
        return _finish(settings, options, clock, prepared, why)

    return _run(settings, options, begun)


def undo(settings: Settings, options: Namespace) -> ExitCode:
    """Take back this operator's last change that stands."""

    def begun(clock: SystemClock) -> ExitCode:
        with _waiting(settings):
            prepared = asyncio.run(_prepared_undo(settings, clock))
        return _finish(settings, options, clock, prepared, "")

    return _run(settings, options, begun)


def _waiting(settings: Settings) -> AbstractContextManager[None]:
    return waiting_for_nats(settings.nats, "what a controller or Kubernetes says")


def key_asked(fleet: Fleet, options: Namespace) -> IntentKey:
    """The key of what the command line names. Raises RequestError for what the fleet does not
    have.
    """
    text, kind = options.scope, IntentKind(options.kind)
    if text is None:
        return IntentKey(kind, Scope())
    if "/" in text:
        if all(pool.key != text for pool in fleet.pools):
            raise RequestError(unknown_pool(text, fleet))
        if kind is IntentKind.BUDGET:
            raise RequestError(f"{text} is a pool: a day's budget belongs to a tenant")
        return IntentKey(kind, Scope(pool=text))
    tenant = next((each for each in fleet.tenants if each.name == text), None)
    if tenant is None:
        unknown = UnknownName("", NameKind.TENANT, text)
        raise RequestError(sentence(unknown, fleet, reading_name))
    if kind in (IntentKind.PIN, IntentKind.CAP):
        pools = ", ".join(pool.key for pool in fleet.pools if pool.tenant == text)
        raise RequestError(f"{text} is a tenant: name one of its pools ({pools or 'it has none'})")
    if kind is IntentKind.BUDGET and tenant.budget.tokens_per_day is None:
        raise RequestError(
            f"the fleet file gives {text} no tokens_per_day, so its tokens are not counted:"
            " give it a budget there first"
        )
    return IntentKey(kind, Scope(tenant=text))


def intent_asked(fleet: Fleet, key: IntentKey, options: Namespace, why: str, now: float) -> Intent:
    """The intent that the command line describes; the desk adds who asks. Raises RequestError."""
    try:
        until = _end(fleet, key, options.until, now)
    except ValueError as error:
        raise RequestError(f"--until: {error}") from None
    try:
        return Intent(kind=key.kind, scope=key.scope, amount=options.number, until=until, why=why)
    except ValueError as error:
        raise RequestError(f"{error}: say how many") from None


def _end(fleet: Fleet, key: IntentKey, until: str | None, now: float) -> float | None:
    """When it ends, None for never. What is left out is as in the dashboard: no intent is forgotten
    for good. Raises ValueError.
    """
    if until == NO_END:
        return None
    if until is None and key.kind is IntentKind.BUDGET:
        return _reset(fleet, key.scope.tenant or "", now)
    return read_until(until or DEFAULT_UNTIL, now)


def _reset(fleet: Fleet, name: str, now: float) -> float:
    """When the tenant's day ends."""
    zone = next(tenant.timezone for tenant in fleet.tenants if tenant.name == name)
    return local_day(now, ZoneInfo(zone)).end


def _run(
    settings: Settings, options: Namespace, begun: Callable[[SystemClock], ExitCode]
) -> ExitCode:
    """Say what goes wrong in words, and with an exit code."""
    log_nowhere()  # what goes wrong is raised, and said once
    if (options.read_only or settings.controller.read_only) and not options.dry_run:
        note("read-only (--read-only, or controller.read_only in the fleet file): nothing is asked")
        return ExitCode.REFUSED
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        try:
            return begun(SystemClock())
        except (RequestError, QuestionError, RefusedError, StoreError, FatalError) as error:
            note(f"{error}{_advice(error)}")
            return next(code for kind, code in _CODES.items() if isinstance(error, kind))


_CODES: Final[Mapping[type[Exception], ExitCode]] = MappingProxyType(
    {
        RequestError: ExitCode.USAGE,
        QuestionError: ExitCode.USAGE,
        RefusedError: ExitCode.REFUSED,
        UndoRefusedError: ExitCode.REFUSED,
        IntentConflictError: ExitCode.REFUSED,
        StoreRefusedError: ExitCode.REFUSED,
        StoreError: ExitCode.UNREACHABLE,
        UnsupportedServerError: ExitCode.UNSUPPORTED,
        FatalError: ExitCode.UNREACHABLE,
    }
)
"""The first that an error is an instance of counts."""


def _advice(error: Exception) -> str:
    """What to do about it, where the error itself does not say so."""
    match error:
        case IntentConflictError():
            return "; nothing was changed"
        case StoreRefusedError():
            return ": nothing was changed; the docs list the rights that operators need"
    return ""


def _finish(
    settings: Settings, options: Namespace, clock: SystemClock, prepared: Prepared, why: str
) -> ExitCode:
    """Say what it changes, ask, and write it."""
    statement = _statement(options.verb, prepared)
    if not options.as_json:
        tell(statement)
    change = None
    if not options.dry_run:
        scope = prepared.key.scope
        shown = statement if options.as_json else ""
        if not options.yes and not agreed(
            danger_of(scope), scope_name(scope), options.fleet.name, shown
        ):
            raise RefusedError("not confirmed: nothing was changed")
        with waiting_for_nats(settings.nats):
            change = asyncio.run(_written_or_not(settings, clock, prepared, why))
    if options.as_json:
        tell(_report(options.verb, prepared, change))
    elif change is not None:
        tell(f"done, revision {change.revision}")
    return ExitCode.OK


async def _prepared(
    settings: Settings,
    clock: SystemClock,
    key: IntentKey,
    intent: Intent | None,
    *,
    replace: bool,
) -> Prepared:
    async with operating(settings, clock, operator()) as desk:
        standing, replaces = None, None
        try:
            standing = await desk.find(key)
        except IntentConflictError as error:
            # it cannot be read: it can only be replaced or taken away
            replaces = error.revision
            if intent is not None and not replace:
                raise RefusedError(f"{error}; --replace puts this one in its place") from None
        if standing is not None:
            replaces = standing.revision
            if intent is not None and not replace:
                raise RefusedError(
                    f"{stands(standing, clock.now())}; --replace puts this one in its place"
                )
        if intent is None and replaces is None:
            raise RefusedError(await _nothing_there(desk, key, clock.now()))
    effect, now = await _foreseen(settings, clock, key, intent)
    return Prepared(key, intent, standing, replaces, effect, now)


async def _prepared_undo(settings: Settings, clock: SystemClock) -> Prepared:
    me = operator()
    async with operating(settings, clock, me) as desk:
        changes = (await desk.audit()).changes
    change = last_of(changes, me.who)
    if change is None:
        raise RefusedError(f"{me.who} has changed nothing that could be taken back")
    effect, now = await _foreseen(settings, clock, change.key, change.before)
    return Prepared(change.key, change.before, None, None, effect, now, undoes=change)


async def _foreseen(
    settings: Settings, clock: SystemClock, key: IntentKey, intent: Intent | None
) -> Foreseen:
    """What it changes now, by the controller that runs; where none answers, by one look."""
    told = await find_effect(settings, clock, key, intent)
    if told is not None:
        return told
    try:
        look = await look_once(settings, clock, fresh=False)
    except UnsupportedServerError:
        raise
    except FatalError as error:
        raise FatalError(f"no controller answers, and {error}; nothing was changed") from error
    return Foreseen(_effect(settings.fleet, look, key, intent), look.tick.now)


async def _written(
    settings: Settings, clock: SystemClock, prepared: Prepared, why: str
) -> IntentChange:
    async with operating(settings, clock, operator()) as desk:
        if prepared.undoes is not None:
            return await desk.undo(prepared.undoes)
        if prepared.intent is not None:
            return await desk.put(prepared.intent, replaces=prepared.replaces)
        return await desk.withdraw(prepared.key, replaces=prepared.replaces or 0, why=why)


async def _written_or_not(
    settings: Settings, clock: SystemClock, prepared: Prepared, why: str
) -> IntentChange:
    try:
        return await _written(settings, clock, prepared, why)
    except StoreAwayError as error:
        unknown = "whether it was written is not known; `agentdash intents` shows it"
        raise StoreAwayError(f"{error}: {unknown}") from error
    except ValueError as error:  # the server's clock is past its end
        raise RequestError(str(error)) from None


async def _nothing_there(desk: IntentDesk, key: IntentKey, now: float) -> str:
    """A sentence for an intent that is not there, with the wider ones of its kind that are."""
    words = f"there is no such thing to take back: {key_words(key)}"
    tenant = (key.scope.pool or "").partition("/")[0] or key.scope.tenant
    wider = [stands(each, now) for each in await desk.standing() if _is_wider(each, key, tenant)]
    return "; but ".join([words, *wider])


def _is_wider(standing: StandingIntent, key: IntentKey, tenant: str | None) -> bool:
    found = standing.intent.key
    return (
        found.kind is key.kind
        and found.scope != key.scope
        and found.scope.pool is None
        and found.scope.tenant in (None, tenant)
    )


def _effect(fleet: Fleet, look: Look, key: IntentKey, intent: Intent | None) -> Effect:
    for link in look.links:
        if link.state is not LinkState.CONNECTED:
            note(f"{link.name} is {link.state}: {link.detail}".rstrip(": "))
    if look.stored.memory_problem:
        note(f"the controller's memory cannot be read ({look.stored.memory_problem})")
    tick = look.tick
    return effect_of(
        key,
        intent,
        observation=tick.observation,
        fleet=fleet,
        intents=tick.intents or Intents(),
        memory=tick.memory or Memory(),
        now=tick.now,
    )


def _statement(verb: str, prepared: Prepared) -> str:
    key, intent, now = prepared.key, prepared.intent, prepared.now
    lines = []
    if prepared.undoes is not None:
        lines.append(f"takes back: {change_words(prepared.undoes)}")
    parts = [f"{verb} {scope_name(key.scope)}: {prepared.effect.words()}"]
    if intent is not None:
        parts += [asked_words(intent), until_words(intent.until, now)]
    if prepared.undoes is None:
        parts.append(_UNDO)
    lines.append("; ".join(parts))
    if prepared.standing is not None:
        lines.append(f"in place of: {stands(prepared.standing, now)}")
    return "\n".join(lines)


def _report(verb: str, prepared: Prepared, change: IntentChange | None) -> str:
    intent, standing = prepared.intent, prepared.standing
    report: dict[str, Any] = {
        "version": 1,
        "verb": verb,
        "kind": prepared.key.kind.value,
        "scope": msgspec.to_builtins(prepared.key.scope),
        "intent": None if intent is None else plain(intent),
        "replaces": None if standing is None else plain(standing.intent),
        "effect": msgspec.to_builtins(prepared.effect),
        "statement": prepared.effect.words(),
        "written": change is not None,
        "revision": None if change is None else change.revision,
    }
    return msgspec.json.encode(report).decode()
