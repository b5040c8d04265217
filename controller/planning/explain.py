"""Reasons and decisions in words: the sentence of a code with the reason's numbers filled in."""

from __future__ import annotations

from typing import Final

from controller.model.decision import Code, Decision, Number, Reason
from controller.model.intents import NAMELESS
from controller.model.readings import Why
from controller.model.servers import named
from controller.notation.formula import FormulaFault
from controller.planning.demand.hpa_metrics import MetricFault

UNKNOWN: Final = "?"
_ABSURD: Final = 1e15

_WHYS: Final[dict[str, str]] = {
    Why.NEVER_READ: "never read",
    Why.DISCONNECTED: "disconnected",
    Why.TIMED_OUT: "timed out",
    Why.REFUSED: "refused",
    Why.STREAM_MISSING: "the stream is missing",
    Why.CONSUMER_MISSING: "the consumer is missing",
    Why.INCOMPLETE: "the answer was incomplete",
    Why.IMPLAUSIBLE: "the numbers are implausible",
    Why.OBJECT_MISSING: "the object is missing",
    Why.VIEW_INCOMPLETE: "the view is incomplete",
    Why.UNREADABLE: "unreadable",
    MetricFault.NO_SERIES: "the answer was empty",
    MetricFault.NO_PODS: "there are no pods",
    MetricFault.NO_SAMPLES: "no pod that counts was measured",
    MetricFault.UNKNOWN_PODS: "none of the pods was measured",
    MetricFault.NO_REQUEST: "a container requests none of it",
    MetricFault.NO_CONTAINER: "no pod has such a container",
    FormulaFault.SYNTAX: "the formula cannot be read",
    FormulaFault.TOO_LONG: "the formula is too long",
    FormulaFault.UNKNOWN_NAME: "the formula uses an unknown name",
    FormulaFault.UNKNOWN_FUNCTION: "the formula calls an unknown function",
    FormulaFault.WRONG_TYPE: "the formula mixes types that do not go together",
    FormulaFault.NOT_A_NUMBER: "the formula gives no number",
    Why.HISTORY_REGRESSED: "its history went back",
}


# words that a sentence has only where the reason has this number
_WHERE_GIVEN: Final = {
    "given": ("reason", " ({reason})"),  # why a person asked; `-` is for no reason
    "of_queue": ("queue", " of {queue}"),
    "one_by_one": ("starts", ", one after the other"),
}


def writing_manager(reason: Reason) -> str:
    """The field manager that a reason speaks of; empty if it names none."""
    by = reason.numbers.get("by")
    return by if isinstance(by, str) else ""


def title(code: Code) -> str:
    """The code as a heading."""
    return code.wording.title


def sentence(reason: Reason, now: float) -> str:
    """The reason as text, as of `now` (Unix seconds); absurd numbers are shown as `?`."""
    return reason.code.wording.sentence.format_map(_Words(reason, now))


def headline(decision: Decision, now: float) -> str:
    """One line with the decision's numbers and its last reason, as of `now` (Unix seconds).

    For example `4 (wanted 10): at most 4 replicas (max)`; if the size changes or is held,
    `now 3 → next 3 (target 1, wanted 0): …`.
    """
    numbers = _numbers(decision)
    if not decision.reasons:
        return numbers
    return f"{numbers}: {sentence(decision.reasons[-1], now)}"


def _numbers(decision: Decision) -> str:
    current, target, following = decision.current, decision.target, decision.next
    now = UNKNOWN if current is None else current
    wanted = f"wanted {UNKNOWN if decision.demand is None else decision.demand}"
    if following is None:
        return f"now {now} ({wanted})"
    if following == current == target:
        return f"{following}" if following == decision.demand else f"{following} ({wanted})"
    goal = UNKNOWN if target is None else target
    return f"now {now} → next {following} (target {goal}, {wanted})"


class _Word(str):
    """A number as text; its format specification is a noun."""

    __slots__ = ()

    def __format__(self, noun: str) -> str:
        if not noun:
            return str(self)
        return f"{self} {noun}" if self == "1" else f"{self} {noun}s"


class _Words(dict[str, _Word]):
    """A reason's numbers as text, each made when a sentence uses it."""

    def __init__(self, reason: Reason, now: float) -> None:
        super().__init__()
        self._reason = reason
        self._now = now

    def __missing__(self, name: str) -> _Word:
        if name == "blindness":
            known = "since" in self._reason.numbers
            return _Word(f"{self['why']}, {self['since']}" if known else self["why"])
        if name == "outlook":
            if "exhausted_at" not in self._reason.numbers or "early_s" not in self._reason.numbers:
                return _Word("")
            return _Word(
                f", and at the present burn they are spent in {self['exhausted_at']},"
                f" {self['early_s']} before the reset"
            )
        if name in _WHERE_GIVEN:
            needed, words = _WHERE_GIVEN[name]
            is_given = self._reason.numbers.get(needed) not in {None, "", "-"}
            return _Word(words.format_map(self) if is_given else "")
        if name == "writer":
            return _Word(named(writing_manager(self._reason)))
        number = self._reason.value if name == "value" else self._reason.numbers.get(name)
        return _Word(UNKNOWN if number is None else _shown(name, number, self._now))


def _shown(name: str, number: Number, now: float) -> str:
    if isinstance(number, str):
        return NAMELESS if name == "who" and not number else _WHYS.get(number, number)
    if not -_ABSURD < number < _ABSURD:  # NaN as well
        return UNKNOWN
    if name == "since":
        return duration(max(now - number, 0.0))
    if name == "until" or name.endswith("_at"):
        return duration(max(number - now, 0.0))
    return duration(number) if name.endswith("_s") else f"{number:,.12g}"


def duration(seconds: float) -> str:
    """Finite seconds as text: `0.4 s`, `45 s`, `4 min 30 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
