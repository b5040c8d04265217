"""The one table of prose: what each reason code says, with a reason's own numbers filled in."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.model.decision import Code, Decision, Number, Reason
from controller.model.readings import Why
from controller.notation.formula_syntax import FormulaFault
from controller.planning.metrics import Fault

UNKNOWN: Final = "?"
_ABSURD: Final = 1e15


class Wording(NamedTuple):
    """A title for a column or a heading, and a sentence that names the numbers of its reason.

    In a sentence `{name}` is a number, `{name:noun}` the number with its noun, `{value}` the
    replicas after the rule, `{blindness}` why a reading is absent and for how long, if that is
    known, `{outlook}` how long before its reset a budget will be empty, if so, `{holding}` how long
    what is not worth keeping stays, if it does. A name that ends in `_s` is shown as a duration.
    """

    title: str
    sentence: str


_OF_THE_POOL: Final[dict[Code, Wording]] = {
    Code.QUEUE: Wording(
        "Work waiting",
        "{pending} pending + {in_flight} in flight, {target:task} per replica"
        " ({slots:slot}): {value:replica}",
    ),
    Code.WOKEN: Wording(
        "Woken by a message",
        "a message was published {age_s} ago, before the queue was read: {value:replica} or more",
    ),
    Code.QUEUE_UNKNOWN: Wording(
        "Queue unknown", "the queue's depth is not known ({blindness}): no demand can be given"
    ),
    Code.QUEUE_PAUSED: Wording(
        "Consumer paused", "the consumer is paused: its messages count, yet none is delivered"
    ),
    Code.LEARNED: Wording(
        "Learned",
        "{base} for the work there is, {start} worth starting and {keep} worth keeping at"
        " {arrivals_per_min} arrivals/min, {service_s} a task, {ready_s} to ready{holding}:"
        " {value:replica}",
    ),
    Code.REDELIVERED: Wording(
        "Redelivered",
        "{redelivered:message} in flight came back after an earlier delivery:"
        " for such alone no more than {value:replica}",
    ),
    Code.POISON: Wording(
        "Poison",
        "nothing new, and {redelivered:message} in flight come back again and again"
        " ({deliveries} deliveries in {age_s}, none acknowledged): they add no replicas",
    ),
    Code.METRIC: Wording(
        "Metric", "{metric} is {measured}, its target {target} {per}: {value:replica}"
    ),
    Code.METRIC_UNKNOWN: Wording(
        "Metric unknown", "{metric} is not known ({blindness}): it takes nothing away"
    ),
    Code.FALLBACK: Wording(
        "Fallback", "{metric} is not known ({blindness}): its fallback stands in for it"
    ),
    Code.INACTIVE: Wording(
        "Below activation",
        "{messages:message} do not wake a pool whose activation is {activation}",
    ),
    Code.ACTIVATED: Wording(
        "Activated",
        "{messages:message}, more than the activation of {activation}: at once {value:replica}",
    ),
    Code.ACTIVATED_BY_METRIC: Wording(
        "Activated",
        "{metric} is {measured}, more than its activation of {activation}: at once {value:replica}",
    ),
    Code.COOLDOWN: Wording(
        "Cooling down", "idle, but kept at {value:replica} until the cooldown ends in {remaining_s}"
    ),
    Code.ASLEEP: Wording("Asleep", "idle for longer than the cooldown of {cooldown_s}: to zero"),
    Code.RESTING: Wording(
        "Resting",
        "idle for longer than the cooldown of {cooldown_s}: to its idle size, {value:replica}",
    ),
    Code.STABILIZED_UP: Wording(
        "Stabilised upwards",
        "{value:replica}, the lowest wish of the last {window_s}; more in {remaining_s}",
    ),
    Code.STABILIZED_DOWN: Wording(
        "Stabilised downwards",
        "{value:replica}, the highest wish of the last {window_s}; fewer in {remaining_s}",
    ),
    Code.RATE_LIMITED_UP: Wording(
        "Growth limited", "policy {policy}: no more than {value:replica} now"
    ),
    Code.RATE_LIMITED_DOWN: Wording(
        "Shrinking limited", "policy {policy}: no fewer than {value:replica} now"
    ),
    Code.TOLERATED: Wording(
        "Within tolerance", "{ratio} of the target is within tolerance: stays at {value:replica}"
    ),
    Code.AT_MIN: Wording("At min", "at least {min:replica} (min)"),
    Code.AT_MAX: Wording("At max", "at most {max:replica} (max)"),
    Code.SCALED_TO_ZERO_BY_HAND: Wording(
        "Zero by hand",
        "somebody set it to zero although min is {min}: left alone until it is raised",
    ),
    Code.WORKLOAD_UNKNOWN: Wording(
        "Deployment unknown", "the Deployment is not known ({blindness}): nothing is written"
    ),
    Code.PODS_UNKNOWN: Wording(
        "Pods unknown",
        "the pods are not known ({blindness}): stays at {value:replica}, nothing is written",
    ),
    Code.HELD_BLIND: Wording(
        "Held blind",
        "held at {value:replica}: the queue is not known ({blindness}),"
        " and silence takes nothing away",
    ),
    Code.HELD_UNMEASURED: Wording(
        "Held blind",
        "held at {value:replica}: {metric} is not known ({blindness}),"
        " and silence takes nothing away",
    ),
    Code.BLIND_FOR_LONG: Wording(
        "Blind for long",
        "its work has not been known for {age_s}, longer than {after_s}: at least {value:replica}",
    ),
    Code.HELD_WARM_UP: Wording(
        "Held, warming up",
        "held at {value:replica}: nothing is taken away before {window_s} have been seen,"
        " {remaining_s} to go",
    ),
}

_OF_ALL: Final[dict[Code, Wording]] = {
    Code.SCHEDULED: Wording("Schedule", "an open schedule sets min {min} and max {max}"),
    Code.PAUSED: Wording("Paused", "paused by {who} ({reason}): nothing new starts"),
    Code.KEPT_WHILE_PAUSED: Wording(
        "Paused", "paused by {who} ({reason}): kept at {value:replica}"
    ),
    Code.KEPT_BY_ANNOTATION: Wording(
        "Paused", "the Deployment's annotation {annotation} keeps it at {value:replica}"
    ),
    Code.NO_SHRINKING: Wording(
        "Shrinking paused",
        "the Deployment's annotation {annotation} lets nothing go: {value:replica}",
    ),
    Code.NO_GROWTH: Wording(
        "Growth paused",
        "the Deployment's annotation {annotation} lets nothing be added: {value:replica}",
    ),
    Code.ANNOTATION_UNREADABLE: Wording(
        "Annotation unreadable",
        "the Deployment's annotation {annotation} is no number of replicas ({text}):"
        " kept at {value:replica}",
    ),
    Code.PINNED: Wording("Pinned", "{spares:spare} pinned by {who} ({reason}): {value:replica}"),
    Code.WARM_SPARES: Wording("Warm spares", "{spares:spare} for what may come: {value:replica}"),
    Code.BASELINE: Wording("Baseline", "a tenant with work has at least {value:replica}"),
    Code.QUOTA: Wording(
        "Quota", "the tenant's quota ({row}: {capacity}) leaves {value:replica} to this pool"
    ),
    Code.BUDGET: Wording(
        "Budget",
        "{used_percent} % of the day's tokens are used, a pace of {pace_per_minute} tokens/min"
        " feeds {value:replica}{outlook}",
    ),
    Code.BUDGET_SPENT: Wording(
        "Budget spent", "the day's tokens are spent: down to {value:replica} until the reset"
    ),
    Code.USAGE_UNKNOWN: Wording(
        "Usage unknown",
        "what is left of the budget is not known: no more than {value:replica} until it is",
    ),
    Code.COST: Wording(
        "Cost", "USD per hour ({row}: {capacity}) pay for {value:replica} of this pool"
    ),
    Code.COST_ALERT: Wording(
        "Cost alert",
        "the tenant's pools cost {usd_per_hour} USD per hour, at or above its alert of {usd_alert}",
    ),
    Code.RATE: Wording(
        "Rate limit", "the provider's limit ({row}: {capacity}) feeds {value:replica}"
    ),
    Code.CAPACITY: Wording(
        "Capacity", "the cluster's {row} ({capacity}) leave {value:replica} to this pool"
    ),
    Code.UNSHAREABLE: Wording(
        "Not shareable",
        "the numbers of {subject} cannot be shared by: stays at {value:replica}",
    ),
    Code.BUSY: Wording("Busy", "{busy:replica} at work finish first: {value:replica} now"),
    Code.ROOM: Wording(
        "No room yet", "others still stand in the room it may have ({row}): {value:replica} now"
    ),
    Code.MINIMUM_RUNTIME: Wording(
        "Minimum runtime", "replicas that just began are not taken back yet: {value:replica} now"
    ),
    Code.FROZEN: Wording("Frozen", "frozen by {who} ({reason}): stays at {value:replica}"),
    Code.CONTESTED: Wording(
        "Contested",
        "somebody else keeps setting it back, {times} times, last from {ours} to {theirs}:"
        " left at {value:replica} until nobody has for {window_s}, {remaining_s} to go",
    ),
    Code.NOT_BECOMING_READY: Wording(
        "Not becoming ready",
        "{stuck:pod} crash, cannot start or fit nowhere:"
        " no more than {value:replica} until they are ready",
    ),
}

WORDINGS: Final[dict[Code, Wording]] = _OF_THE_POOL | _OF_ALL

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
    Fault.NO_SERIES: "nothing was answered",
    Fault.NO_PODS: "there are no pods",
    Fault.NO_SAMPLES: "no pod that counts was measured",
    Fault.UNKNOWN_PODS: "none of the pods was measured",
    Fault.NO_REQUEST: "a container requests none of it",
    Fault.NO_CONTAINER: "a pod has no such container",
    Fault.UNKNOWN_TYPE: "a metric of an unknown type",
    FormulaFault.SYNTAX: "the formula cannot be read",
    FormulaFault.TOO_LONG: "the formula is too long",
    FormulaFault.UNKNOWN_NAME: "the formula names what is unknown",
    FormulaFault.UNKNOWN_FUNCTION: "the formula calls what is unknown",
    FormulaFault.WRONG_TYPE: "the formula mixes what does not go together",
    FormulaFault.NOT_A_NUMBER: "the formula gives no number",
}


def title(code: Code) -> str:
    """The code as a heading."""
    return WORDINGS[code].title


def sentence(reason: Reason) -> str:
    """The reason in words. A number that is missing or absurd shows as `?`; nothing raises."""
    return WORDINGS[reason.code].sentence.format_map(_Words(reason))


def headline(decision: Decision) -> str:
    """One line: the numbers, and the rule applied last.

    `4 (wanted 10): at most 4 replicas (max)`, or where the number moves or is held
    `now 3 → next 3 (target 1, wanted 0): …`.
    """
    numbers = _numbers(decision)
    if not decision.reasons:
        return numbers
    return f"{numbers}: {sentence(decision.reasons[-1])}"


def _numbers(decision: Decision) -> str:
    current, following = decision.current, decision.next
    if following is None:
        return f"now {_or_unknown(current)} (wanted {_or_unknown(decision.demand)})"
    if following == current and following == decision.target:
        return str(following) + (
            "" if following == decision.demand else f" (wanted {_or_unknown(decision.demand)})"
        )
    return (
        f"now {_or_unknown(current)} → next {following}"
        f" (target {_or_unknown(decision.target)}, wanted {_or_unknown(decision.demand)})"
    )


def _or_unknown(number: int | None) -> str:
    return UNKNOWN if number is None else str(number)


class _Word(str):
    """A number as text; its format specification is a noun."""

    __slots__ = ()

    def __format__(self, noun: str) -> str:
        if not noun:
            return str(self)
        return f"{self} {noun}" if self == "1" else f"{self} {noun}s"


class _Words(dict[str, _Word]):
    """A reason's numbers, each rendered when a sentence asks for it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self._reason = reason

    def __missing__(self, name: str) -> _Word:
        if name == "blindness":
            known = "age_s" in self._reason.numbers
            return _Word(f"{self['why']}, {self['age_s']}" if known else self["why"])
        if name == "outlook":
            if "early_s" not in self._reason.numbers:
                return _Word("")  # at the present burn they last
            return _Word(f", at the present burn they end {self['early_s']} before the reset")
        if name == "holding":
            if "hold_s" not in self._reason.numbers:
                return _Word("")
            return _Word(f", and none goes before it was superfluous for {self['hold_s']}")
        number = self._reason.value if name == "value" else self._reason.numbers.get(name)
        return _Word(UNKNOWN if number is None else _shown(name, number))


def _shown(name: str, number: Number) -> str:
    if isinstance(number, str):
        return _WHYS.get(number, number)
    if not -_ABSURD < number < _ABSURD:  # NaN as well
        return UNKNOWN
    return duration(number) if name.endswith("_s") else f"{number:,.12g}"


def duration(seconds: float) -> str:
    """Finite seconds as a person says them: `0.4 s`, `45 s`, `4 min 30 s`, `2 h 5 min`."""
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
