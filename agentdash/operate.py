"""One request to operate the fleet, as the shell and the dashboard make it: what is asked for, what
it would change, how it is written, and how it is undone.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from agentdash.tui.names import DEFAULT_UNTIL, NO_END
from controller.model.clock import read_time
from controller.model.intents import (
    Audit,
    Estimate,
    Intent,
    IntentChange,
    IntentKey,
    IntentKind,
    Operator,
    Scope,
    StandingIntent,
    asked_words,
    change_words,
    key_words,
    scope_name,
    stands,
    until_words,
)
from controller.model.snapshot import Progress, Report
from controller.model.text import clean_name, quote
from controller.model.value import Moment, is_within
from controller.notation.quantity import read_duration
from controller.ports import IntentConflictError, PodDesk, TaskDesk

if TYPE_CHECKING:
    from agentdash.foreseen import Ahead
    from controller.planning.whatif import Effect
    from controller.ports import Foreseen, IntentDesk

_CLOCK_OFF_S: Final = 60.0
T = TypeVar("T")
Places: TypeAlias = tuple[tuple[str, str], ...]
"""Files and commands, each with the word that it stands under."""

EVERYTHING: Final = "--all"
TAKE_BACK: Final = "-"
NO_REASON: Final = "-"
_MOST_DIGITS: Final = 15


class NotDoneError(Exception):
    """Something asked for is not done, or not known; the text says why and what to do.

    NotDoneError
    └── TakenError    another operator was first
    """


class TakenError(NotDoneError):
    """Another operator was first: the text says who, when and why. `replaces` is the revision to
    name in order to replace what stands there; None if nothing does any longer.
    """

    def __init__(self, words: str, replaces: int | None) -> None:
        super().__init__(words)
        self.replaces = replaces


class AnswerError(ValueError):
    """An answer, or a command line, that cannot be; the text says why and what to type."""


class Reach(StrEnum):
    """What a verb can be about."""

    POOL = "pool"
    TENANT = "tenant"
    FLEET = "fleet"


class Verb(NamedTuple):
    """One thing to ask for. `back` takes it back, empty where only `-` for the number does;
    `number` asks for the intent's number, empty where it has none.
    """

    name: str
    kind: IntentKind
    back: str
    help: str
    number: str = ""
    reach: tuple[Reach, ...] = tuple(Reach)


VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb("pin", IntentKind.PIN, "unpin", "spares kept ready", "spares", (Reach.POOL,)),
        Verb("pause", IntentKind.PAUSE, "resume", "nothing new starts"),
        Verb("freeze", IntentKind.FREEZE, "thaw", "nothing is written"),
        Verb("cap", IntentKind.CAP, "uncap", "at most N replicas", "at most", (Reach.POOL,)),
        Verb("hold", IntentKind.NO_GROWTH, "release", "it does not grow"),
        Verb("budget", IntentKind.BUDGET, "", "tokens a day", "tokens", (Reach.TENANT,)),
    )
}


def verb_of(kind: IntentKind) -> Verb:
    """The verb that asks for it."""
    return next(each for each in VERBS.values() if each.kind is kind)


def reach_of(scope: Scope) -> Reach:
    """How much a scope concerns, and so how a person confirms it."""
    if scope.pool is not None:
        return Reach.POOL
    return Reach.FLEET if scope.tenant is None else Reach.TENANT


def confirmed_for(scope: Scope) -> str:
    """What a person says yes to: `acme/research`, `all pools of tenant acme`."""
    name = scope_name(scope)
    return name if scope.pool is not None else f"all pools of {name}"


def uncounted(tenant: str | None) -> AnswerError:
    """A tenant without a budget in the fleet file cannot be given one."""
    return AnswerError(
        f"the fleet file gives {tenant} no tokens_per_day, so its tokens are not counted:"
        " give it a budget there first"
    )


class Question(StrEnum):
    """What a request is asked, by the name of its field."""

    NUMBER = "number"
    WHY = "why"
    UNTIL = "until"


class End(NamedTuple):
    """When it ends (Unix seconds); None: when it is taken back."""

    at: float | None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for as far as it is known; what is None is still to be asked.

    `number` of a pause is the replicas that it keeps. `reset_at`: when the tenant's day ends, the
    usual end of a budget. `standing`: what stands there already. `takes_back`: that one is taken
    back. `undoes`: this change is, and what was before it stands again.
    """

    verb: Verb
    scope: Scope
    takes_back: bool = False
    number: int | None = None
    why: str | None = None
    until: End | None = None
    reset_at: float | None = None
    standing: StandingIntent | None = None
    undoes: IntentChange | None = None

    @property
    def key(self) -> IntentKey:
        """What it is about, whatever happens on the screen meanwhile."""
        return IntentKey(self.verb.kind, self.scope)

    @property
    def title(self) -> str:
        """`pause tenant acme`, `unpin acme/research`, `undo acme/research`."""
        name = self.verb.name
        if self.takes_back:
            name = self.verb.back or f"take back {name}"
        return f"{'undo' if self.undoes else name} {scope_name(self.scope)}"

    @property
    def asks(self) -> tuple[Question, ...]:
        """Its questions. Why comes first where there is no number: it is asked in both directions,
        so what is typed before it is known what stands there is never the answer to another.
        """
        if self.undoes is not None:
            return ()
        if self.takes_back:
            return (Question.WHY,)
        return ((Question.NUMBER,) if self.verb.number else ()) + (Question.WHY, Question.UNTIL)

    @property
    def asking(self) -> Question | None:
        """The next question; None if nothing is to be asked any longer."""
        return next((each for each in self.asks if getattr(self, each) is None), None)

    @property
    def question(self) -> str:
        """What a prompt says."""
        asking = self.asking
        if asking is Question.NUMBER and self.standing is not None:
            return f"{self.verb.number}, or {TAKE_BACK} to {self.verb.back or 'take it back'}"
        return self.verb.number if asking is Question.NUMBER else str(asking or "")

    def advice(self, now: float) -> str:
        """What can be answered."""
        match self.asking:
            case Question.NUMBER:
                return "a number"
            case Question.WHY if self.takes_back:
                return "enter: no reason"
            case Question.WHY:
                return "others will read it; - for no reason"
            case Question.UNTIL if self.reset_at is not None:
                return f"enter: the reset, {until_words(self.reset_at, now)}"
            case Question.UNTIL:
                return f"2h, 14:00; enter: {DEFAULT_UNTIL}; {NO_END} no end"
        return ""

    def answered(self, text: str, now: float) -> Request:
        """The request with this answer. Raises AnswerError."""
        text = text.strip()
        match self.asking:
            case Question.NUMBER if text == TAKE_BACK:
                return replace(self, takes_back=True)
            case Question.NUMBER:
                return replace(self, number=_number(text))
            case Question.WHY:
                if not text and not self.takes_back:
                    raise AnswerError("say why: others will read it; - for no reason")
                return replace(self, why=text)
            case Question.UNTIL:
                return self.ending(text, now)
        return self

    def ending(self, text: str, now: float) -> Request:
        """The request with this end; what is left out is the usual one. Raises AnswerError."""
        if text == NO_END:
            return replace(self, until=End(None))
        if not text and self.reset_at is not None:
            return replace(self, until=End(self.reset_at))
        try:
            return replace(self, until=End(read_until(text or DEFAULT_UNTIL, now)))
        except ValueError as error:
            raise AnswerError(str(error)) from None

    def back(self) -> Request | None:
        """The request without its last answer; None at the first question."""
        given = [each for each in self.asks if getattr(self, each) is not None]
        unanswered: dict[str, Any] = {each.value: None for each in given[-1:]}
        if unanswered:
            return replace(self, **unanswered)
        return replace(self, takes_back=False) if self.takes_back and self.verb.number else None

    def toggled(self) -> Request:
        """The same by a key: the key that pauses also resumes what stands."""
        toggles = self.standing is not None and not self.verb.number
        return replace(self, takes_back=True) if toggles else self

    def intent(self) -> Intent | None:
        """What will stand; None where nothing will."""
        if self.undoes is not None:
            return self.undoes.before
        if self.takes_back:
            return None
        until = None if self.until is None else self.until.at
        kind, why = self.verb.kind, self.why or ""
        return Intent(kind=kind, scope=self.scope, amount=self.number, until=until, why=why)

    def said(self, now: float) -> str:
        """The answers given so far, in one line."""
        parts = []
        if self.number is not None and not self.takes_back:
            parts.append(f"{self.verb.number or 'keep'} {self.number:,}")
        if self.why:
            parts.append(f"why {self.why}")
        if self.until is not None:
            parts.append(until_words(self.until.at, now))
        return "   ".join(parts)


class Preview(NamedTuple):
    """What a request would change at `now`, and the intent in whose place it would come. `replaces`
    is the revision that stands there, None if there is none.
    """

    effect: Effect | Estimate
    now: float
    standing: StandingIntent | None = None
    replaces: int | None = None


async def preview(
    request: Request,
    desk: IntentDesk,
    foresee: Callable[[IntentKey, Intent | None], Awaitable[Foreseen]],
    *,
    who: str,
    now: float,
    may_replace: bool = True,
) -> Preview:
    """What it would change if this person (`who`) asks for it. Raises NotDoneError where nothing
    stands that it could take back, and where something stands that it may not replace.
    """
    key, standing, replaces, there = request.key, None, None, ""
    if request.undoes is None:
        try:
            if (standing := await desk.find(key)) is not None:
                replaces, there = standing.revision, stands(standing, now)
        except IntentConflictError as error:  # it cannot be read: it can only be replaced
            replaces, there = error.revision, str(error)
        if there and not request.takes_back and not may_replace:
            raise NotDoneError(f"{there}; --replace puts this one in its place")
    intent = request.intent()
    foreseen = await foresee(key, intent and msgspec.structs.replace(intent, who=intent.who or who))
    # what outlives its bucket is not there, and the controller goes by it
    if request.takes_back and replaces is None and foreseen.standing is None:
        raise NotDoneError(_nothing_there(key, await desk.standing(), now))
    return Preview(foreseen.effect, foreseen.now, standing, replaces)


def _nothing_there(key: IntentKey, standing: Sequence[StandingIntent], now: float) -> str:
    """A sentence for an intent that is not there, with the wider ones of its kind that are."""
    tenant = (key.scope.pool or "").partition("/")[0] or key.scope.tenant
    wider = [
        stands(each, now)
        for each in standing
        if (found := each.intent.key).kind is key.kind and found.scope.pool is None
        if found.scope != key.scope and found.scope.tenant in (None, tenant)
    ]
    return "; but ".join([f"there is no such thing to take back: {key_words(key)}", *wider])


async def write(request: Request, seen: Preview, desk: IntentDesk) -> IntentChange:
    """Do what was asked, in place of what was seen. Raises StoreError and ValueError."""
    if request.undoes is not None:
        return await desk.undo(request.undoes)
    if (intent := request.intent()) is not None:
        return await desk.put(intent, replaces=seen.replaces)
    return await desk.withdraw(request.key, replaces=seen.replaces or 0, why=request.why or "")


def statement(request: Request, seen: Preview, *, undo: str) -> list[str]:
    """What a person agrees to, line by line: changes, what will stand, what stands now."""
    effect, intent, now = f"{request.title}: {seen.effect.words()}", request.intent(), seen.now
    if request.undoes is not None:
        return [f"takes back {change_words(request.undoes)}", effect, _then(request, now)]
    parts = [f"{key_words(request.key)} is taken back"]
    if intent is not None:
        parts = [asked_words(intent), until_words(intent.until, now)]
    given = request.why if request.why != NO_REASON else ""
    parts += [f"undo: {undo}", *([f"why: {given}"] if given else ())]
    lines = [effect, "; ".join(parts)]
    if seen.standing is not None:
        lines.append(f"{'now' if intent is None else 'in place of'}: {stands(seen.standing, now)}")
    return lines


def _then(request: Request, now: float) -> str:
    """The state that an undo leads to: `then tenant acme: paused again, until 08:47Z`."""
    before, name = request.intent(), scope_name(request.scope)
    if before is None or (before.until is not None and before.until <= now):
        return f"then {name}: no {request.key.kind}"
    return f"then {name}: {asked_words(before)} again, {until_words(before.until, now)}"


def parse_request(request: Request, words: Sequence[str], now: float) -> Request:
    """The request that `NUMBER keep N until WHEN why TEXT` fills, each part once or not at all; why
    takes the rest of the line. Raises AnswerError.
    """
    verb, takes_back, rest = request.verb, request.takes_back, list(words)
    while rest:
        word = rest.pop(0)
        if word == "why":
            return replace(request, why=" ".join(rest) or request.why)
        if word == "until" and not takes_back:
            request = request.ending(rest.pop(0) if rest else "", now)
        elif word == "keep" and verb.kind is IntentKind.PAUSE and not takes_back:
            request = replace(request, number=_number(rest.pop(0) if rest else ""))
        elif word == TAKE_BACK and verb.number:
            request = replace(request, takes_back=True)
        elif verb.number and not takes_back and request.number is None:
            request = replace(request, number=_number(word))
        else:
            raise AnswerError(f"{word!r} is not understood; {usage(verb, takes_back=takes_back)}")
    return request


def usage(verb: Verb, *, takes_back: bool = False) -> str:
    """How the command is written."""
    names = {Reach.POOL: "TENANT/POOL", Reach.TENANT: "TENANT"}
    name = names[verb.reach[0]] if len(verb.reach) == 1 else "NAME"
    if takes_back:
        return f":{verb.back} {name} why TEXT"
    number = " N" if verb.number else ""
    return f":{verb.name} {name}{number} until 2h why TEXT"


def _number(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise AnswerError(f"{text!r} is no number" if text else "type a number")
    return int(digits)


def read_until(text: str, now: float) -> float:
    """Unix seconds of `2h` from now, `14:00` next, or a date and time. Raises ValueError."""
    try:
        until = now + read_duration(text)
    except ValueError:
        try:
            until = read_time(text, now, later=True)
        except (ValueError, OverflowError):
            raise ValueError(
                f"{quote(text)} must be a duration such as 2h, a time of day such as 14:00, "
                "or a date such as 2026-11-23T08:00Z"
            ) from None
    if until <= now:
        raise ValueError(f"{quote(text)} is in the past")
    if not is_within(until, Moment):
        raise ValueError(f"{quote(text)} is too far away")
    return until


def operator() -> Operator:
    """The person as `user@host`, and the address that they have logged in from by SSH.

    Behind `sudo` it is the user who called it. Whoever may write to NATS can write any name there:
    this one is for people to find each other, not to hold against them.
    """
    user = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or _login_name()
    origin, _, _ = os.environ.get("SSH_CONNECTION", "").partition(" ")
    who = f"{clean_name(user)}@{clean_name(socket.gethostname())}"
    return Operator(who=who, origin=clean_name(origin))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in many containers
        return "unknown"


def clock_words(change: IntentChange, now: float) -> str:
    """That the clock of `now` is ahead of the server's, by which ends count; else empty."""
    ahead = now - change.at
    if change.at <= 0 or ahead < _CLOCK_OFF_S or change.after is None or change.after.until is None:
        return ""
    lasts_h = (change.after.until - change.at) / 3600
    return f"it lasts {lasts_h:,.1f} h: the clock here is {ahead / 60:,.0f} min ahead of NATS's"


class Operating(Protocol):
    """The person at a dashboard, and what they may do. `refusal` answers at once; the others are
    awaited, so that the dashboard never blocks, and raise NotDoneError.
    """

    @property
    def who(self) -> str:
        """The person as `user@host`."""
        ...

    @property
    def places(self) -> Places:
        """The files that this process goes by, and what may be tried with them."""
        ...

    def refusal(self) -> str | None:
        """Why nothing can be asked for now, in words; None if it can."""
        ...

    async def find(self, key: IntentKey) -> StandingIntent | None:
        """The intent in force at this key."""
        ...

    async def preview(self, request: Request) -> Preview:
        """What changes now if this is done."""
        ...

    async def write(self, request: Request, seen: Preview) -> IntentChange:
        """Do it, in place of what was seen. Raises TakenError."""
        ...

    async def audit(self) -> Audit:
        """The changes of all operators that are kept."""
        ...

    async def examine(self, on_progress: Callable[[Progress], None]) -> Report:
        """The checks of the doctor; `on_progress` is called as they end, in this event loop."""
        ...

    async def look_ahead(self, pool: str) -> Ahead:
        """What this pool would have without each of its rules, and what it will have next."""
        ...

    async def of_tasks(self, ask: Callable[[TaskDesk], Awaitable[T]]) -> T:
        """Read tasks, or do something with one."""
        ...

    async def of_pods(self, ask: Callable[[PodDesk], Awaitable[T]], instead: str) -> T:
        """Read something of a pod; `instead` is a command that does it without us."""
        ...
