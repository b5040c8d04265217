"""What a person asks for in the dashboard: the verbs, the form with its questions, and the command
line that fills it at once. Values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from agentdash.danger import Danger, danger_of
from agentdash.moments import read_until
from agentdash.tui.names import DEFAULT_UNTIL, NO_END
from controller.model.intents import (
    Intent,
    IntentKey,
    IntentKind,
    Scope,
    StandingIntent,
    asked_words,
    key_words,
    scope_name,
    stands,
    until_words,
)

EVERYTHING: Final = "--all"
TAKE_BACK: Final = "-"
_MOST_DIGITS: Final = 15


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


class Question(StrEnum):
    """One question of the form."""

    NUMBER = "number"
    WHY = "why"
    UNTIL = "until"


class AnswerError(ValueError):
    """An answer that cannot be; the text says why and what to type."""


class End(NamedTuple):
    """When it ends, None: when it is taken back; `text` is how it was typed."""

    at: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for as far as it is known; what is None is still to be asked.

    `reset_at`: when the tenant's day ends, the usual end of a budget. `standing`: what stands
    there already. `takes_back`: that one is taken back.
    """

    verb: Verb
    scope: Scope
    takes_back: bool = False
    number: int | None = None
    keep: int | None = None
    why: str | None = None
    until: End | None = None
    reset_at: float | None = None
    standing: StandingIntent | None = None

    @property
    def key(self) -> IntentKey:
        """What it is about, whatever happens on the screen meanwhile."""
        return IntentKey(self.verb.kind, self.scope)

    @property
    def name(self) -> str:
        """The verb as the person sees it."""
        if not self.takes_back:
            return self.verb.name
        return self.verb.back or f"take back {self.verb.name}"

    @property
    def title(self) -> str:
        """`pause tenant acme`."""
        return f"{self.name} {scope_name(self.scope)}"

    @property
    def danger(self) -> Danger:
        """What it concerns."""
        return danger_of(self.scope)

    @property
    def asks(self) -> tuple[Question, ...]:
        """Its questions. Why comes first where there is no number: it is asked in both directions,
        so what is typed before it is known what stands there is never the answer to another.
        """
        if self.takes_back:
            return (Question.WHY,)
        return ((Question.NUMBER,) if self.verb.number else ()) + (Question.WHY, Question.UNTIL)

    @property
    def asking(self) -> Question | None:
        """The next question; None if nothing is to be asked any longer."""
        return next((each for each in self.asks if getattr(self, each) is None), None)

    @property
    def question(self) -> str:
        """What the prompt says."""
        asking = self.asking
        if asking is Question.NUMBER and self.standing is not None:
            return f"{self.verb.number}, or {TAKE_BACK} to {self.verb.back or 'take it back'}"
        return self.verb.number if asking is Question.NUMBER else str(asking or "")

    def advice(self, now: float) -> str:
        """What can be answered."""
        match self.asking:
            case Question.NUMBER:
                return "a number"
            case Question.WHY:
                return "others will read it; - for no reason"
            case Question.UNTIL if self.reset_at is not None:
                return f"enter: the reset, {until_words(self.reset_at, now)}"
            case Question.UNTIL:
                return f"2h, 14:00; enter: {DEFAULT_UNTIL}; {NO_END} no end"
        return ""

    def answered(self, text: str, now: float) -> Form:
        """The form with this answer. Raises AnswerError."""
        text = text.strip()
        match self.asking:
            case Question.NUMBER if text == TAKE_BACK:
                return replace(self, takes_back=True)
            case Question.NUMBER:
                return replace(self, number=_number(text))
            case Question.WHY:
                if not text:
                    raise AnswerError("say why: others will read it; - for no reason")
                return replace(self, why=text)
            case Question.UNTIL:
                return replace(self, until=_end(text, now, self.reset_at))
        return self

    def back(self) -> Form | None:
        """The form without its last answer; None at the first question."""
        given = [each for each in self.asks if getattr(self, each) is not None]
        if self.takes_back and self.verb.number and not given:
            return replace(self, takes_back=False)
        if not given:
            return None
        match given[-1]:
            case Question.NUMBER:
                return replace(self, number=None)
            case Question.WHY:
                return replace(self, why=None)
            case Question.UNTIL:
                return replace(self, until=None)

    def known(self, standing: StandingIntent | None) -> Form:
        """The form when it is known what stands there."""
        return replace(self, standing=standing)

    def found(self, standing: StandingIntent | None) -> Form:
        """The same by a key: the key that pauses also resumes."""
        form = self.known(standing)
        if standing is None or self.verb.number or self.until is not None:
            return form
        return replace(form, takes_back=True)

    def intent(self) -> Intent | None:
        """What to ask for; None to take back what stands there."""
        if self.takes_back:
            return None
        number = self.keep if self.verb.kind is IntentKind.PAUSE else self.number
        until = None if self.until is None else self.until.at
        kind, why = self.verb.kind, self.why or ""
        return Intent(kind=kind, scope=self.scope, amount=number, until=until, why=why)

    def said(self, now: float) -> str:
        """The answers given so far, in one line."""
        parts = []
        if self.number is not None and not self.takes_back:
            parts.append(f"{self.verb.number} {self.number:,}")
        if self.keep is not None:
            parts.append(f"keep {self.keep:,}")
        if self.why is not None:
            parts.append(f"why {self.why}")
        if self.until is not None:
            parts.append(until_words(self.until.at, now))
        return "   ".join(parts)

    def standing_words(self, now: float) -> str:
        """What stands there; empty if nothing does."""
        return "" if self.standing is None else stands(self.standing, now)

    def asked(self, now: float) -> str:
        """What would stand there: `2 spares kept ready; until 14:00Z`."""
        intent = self.intent()
        if intent is None:
            return f"{key_words(self.key)} is taken back"
        return f"{asked_words(intent)}; {until_words(intent.until, now)}"


def _end(text: str, now: float, reset_at: float | None) -> End:
    if text == NO_END:
        return End(None, text)
    if not text and reset_at is not None:
        return End(reset_at, text)
    try:
        return End(read_until(text or DEFAULT_UNTIL, now), text or DEFAULT_UNTIL)
    except ValueError as error:
        raise AnswerError(str(error)) from None


def reach_of(scope: Scope) -> Reach:
    """What a scope is."""
    return Reach[danger_of(scope).name]


def parse_request(
    verb: Verb,
    words: Sequence[str],
    *,
    takes_back: bool,
    scope: Scope,
    now: float,
    reset_at: float | None = None,
) -> Form:
    """The form that `NUMBER keep N until WHEN why TEXT` fills, each part once or not at all; why
    takes the rest of the line. Raises AnswerError.
    """
    form = Form(verb, scope, takes_back=takes_back, reset_at=reset_at)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "why":
            return replace(form, why=" ".join(rest) or None)
        if word == "until" and not takes_back:
            form = replace(form, until=_end(rest.pop(0) if rest else "", now, reset_at))
        elif word == "keep" and verb.kind is IntentKind.PAUSE and not takes_back:
            form = replace(form, keep=_number(rest.pop(0) if rest else ""))
        elif word == TAKE_BACK and verb.number:
            form = replace(form, takes_back=True)
        elif verb.number and not takes_back and form.number is None:
            form = replace(form, number=_number(word))
        else:
            raise AnswerError(f"{word!r} is not understood; {usage(verb, takes_back=takes_back)}")
    return form


def usage(verb: Verb, *, takes_back: bool = False) -> str:
    """How the command is written."""
    name = "TENANT/POOL" if verb.reach == (Reach.POOL,) else "NAME"
    name = "TENANT" if verb.reach == (Reach.TENANT,) else name
    if takes_back:
        return f":{verb.back} {name} why TEXT"
    number = " N" if verb.number else ""
    return f":{verb.name} {name}{number} until 2h why TEXT"


def _number(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise AnswerError(f"{text!r} is no number" if text else "type a number")
    return int(digits)
