"""The text for each reason code, in one table, with the reason's numbers filled in."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from controller.model.decision import Code, Decision, Number, Reason
from controller.model.readings import Why
from controller.model.rights import named
from controller.notation.formula_syntax import FormulaFault
from controller.planning.demand.hpa_metrics import MetricFault

UNKNOWN: Final = "?"
_ABSURD: Final = 1e15


class Wording(NamedTuple):
    """A title for a column or a heading, and the template of a sentence.

    - `{name}` is a number of the reason, `{name:noun}` the number with its noun, `{value}` the
      replicas after the rule.
    - A name that ends in `_s` is shown as a duration. `{until}` and names that end in `_at` are
      shown as the time left, `{since}` as the time passed.
    - `{blindness}` is why a reading cannot be used, and for how long if known. `{outlook}` is when
      a budget will be spent, if that is before its reset. `{of_queue}` names the queue, where the
      pool has several. `{one_by_one}` says that replicas start so.
    """

    title: str
    sentence: str


# one entry for each code: its title and, after the bar, its sentence
_TABLE: Final = """
queue: Work waiting | {pending} pending + {in_flight} in flight, {target:task} per replica
    ({slots:slot}): {value:replica}
woken: Woken by a message | {value:replica} or more: a message was published {since} ago, before the
    queue was read
queue_unknown: Queue unknown | the queue's depth is not known ({blindness}), so there is no demand
queue_paused: Consumer paused | the consumer is paused: its messages count, but none is delivered
learned_need: Needed now | these messages need {value:replica}: a task takes {service_s}, and a new
    replica is ready after {ready_s}{one_by_one}
worth_starting: Worth starting | {value:replica}: {base} for these messages, and {likely} more
    because about {arrivals_per_min} tasks arrive per minute and a new replica is ready only after
    {ready_s}{one_by_one}
worth_keeping: Worth keeping | {value:replica} run and stay: {start} would do now, but at
    {arrivals_per_min} tasks per minute it costs less to keep up to {keep} than to start them again
not_worth_keeping: Not worth keeping | down to {value:replica}: at {arrivals_per_min} tasks per
    minute, {service_s} each, more than that are not worth keeping
surplus_held: Surplus held | {value:replica}, although only {keep} are worth keeping: a surplus
    replica goes after {hold_s}, in {until}
redelivered: Redelivered | {redelivered:message} in flight came back after an earlier delivery: for
    these alone no more than {value:replica}
poison: Poison | {redelivered:message} in flight{of_queue} come back again and again and no others
    wait ({deliveries} deliveries in {since}, none acknowledged): they add no replicas
metric: Metric | {metric} is {measured}, its target is {target} {per}: {value:replica}
metric_unknown: Metric unknown | {metric} is not known ({blindness}), so it takes nothing away
fallback: Fallback | {metric} is not known ({blindness}): its fallback is used instead
inactive: Below activation | {messages:message} do not wake a pool whose activation is {activation}
activated: Activated | {messages:message}, more than the activation of {activation}: {value:replica}
    at once
activated_by_metric: Activated | {metric} is {measured}, more than its activation of {activation}:
    {value:replica} at once
activation_forced: Forced active | an annotation of the workload forces the pool to be active:
    {value:replica}
cooldown: Cooling down | idle, but kept at {value:replica} until the cooldown ends in {until}
asleep: Asleep | idle for longer than the cooldown of {cooldown_s}: to zero
resting: Resting | idle for longer than the cooldown of {cooldown_s}: to its idle size,
    {value:replica}
stabilized_up: Stabilised upwards | {value:replica}, the lowest recommendation of the last
    {window_s}; more in {until}
stabilized_down: Stabilised downwards | {value:replica}, the highest recommendation of the last
    {window_s}; fewer in {until}
rate_limited_up: Growth limited | policy {policy}: no more than {value:replica} now
rate_limited_down: Shrinking limited | policy {policy}: no fewer than {value:replica} now
tolerated: Within tolerance | {ratio} of the target is within the tolerance: it stays at
    {value:replica}
at_min: At min | at least {min:replica} (min)
at_max: At max | at most {max:replica} (max)
scaled_to_zero_by_hand: Zero by hand | it was scaled to zero by hand although min is {min}: it stays
    at zero until it is scaled up by hand
workload_unknown: Workload unknown | the workload is not known ({blindness}): nothing is written
pods_unknown: Pods unknown | the pods are not known ({blindness}): it stays at {value:replica},
    nothing is written
held_blind: Held blind | held at {value:replica}: the queue is not known ({blindness}), and missing
    data takes nothing away
held_unmeasured: Held blind | held at {value:replica}: {metric} is not known ({blindness}), and
    missing data takes nothing away
blind_for_long: Blind for long | its work has not been known for {since}, longer than {after_s}: at
    least {value:replica}
held_warm_up: Held, warming up | held at {value:replica}: nothing is taken away before {window_s}
    have been observed, {until} to go
scheduled: Schedule | an open schedule sets min {min} and max {max}
paused: Paused | paused by {who} ({reason}): nothing new starts
kept_while_paused: Paused | paused by {who} ({reason}): kept at {value:replica}
pause_unreadable: Pause unreadable | the pause by {who} asks for {keep} replicas, which cannot be:
    kept at {value:replica}
kept_by_annotation: Paused | the workload's annotation {annotation} keeps it at {value:replica}
no_shrinking: Shrinking paused | the workload's annotation {annotation} lets no replica go:
    {value:replica}
no_growth: Growth paused | the workload's annotation {annotation} lets no replica be added:
    {value:replica}
annotation_unreadable: Annotation unreadable | the workload's annotation {annotation} is not a
    number of replicas ({text}): kept at {value:replica}
capped: Capped | capped by {who} ({reason}): at most {value:replica}
not_growing: Not growing | no growth, asked for by {who} ({reason}): no more than {value:replica}
pinned: Pinned | {spares:spare} pinned by {who} ({reason}): {value:replica}
warm_spares: Warm spares | {spares:spare} for tasks that may arrive: {value:replica}
baseline: Baseline | a tenant with work has at least {value:replica}
quota: Quota | the tenant's quota ({row}: {capacity}) leaves {value:replica} to this pool
budget: Budget | {used_percent} % of the day's tokens are used, and a pace of {pace_per_minute}
    tokens/min feeds {value:replica}{outlook}
budget_set: Budget set | {who} set the day's budget to {tokens:token} ({reason})
budget_spent: Budget spent | the day's tokens are spent: down to {value:replica} until the reset
usage_unknown: Usage unknown | what is left of the budget is not known: no more than {value:replica}
    until it is
limit_unreadable: Limit unreadable | the {limit} that was read cannot be one: no more than
    {value:replica} until it can
cost: Cost | the limit in USD per hour ({row}: {capacity}) pays for {value:replica} of this pool
cost_alert: Cost alert | the tenant's pools cost {usd_per_hour} USD per hour, at or above its alert
    of {usd_alert}
rate: Rate limit | the provider's limit ({row}: {capacity}) feeds {value:replica}
capacity: Capacity | the cluster's {row} ({capacity}) leaves {value:replica} to this pool
unshareable: Not shareable | {subject} cannot be calculated with, so nothing can be shared: it stays
    at {value:replica}
busy: Busy | {busy:replica} at work finish their tasks first: {value:replica} now
draining: Draining | {drained} of {going:replica} that go are drained, {busy} finish their tasks
    first: {value:replica} now
rolling_out: Rolling out | its pods are of {generations} pod templates: none is taken away before
    the rollout has ended, {value:replica} now
rollout_paused: Rollout paused | its pods are of {generations} pod templates and its Deployment is
    paused: none is taken away before the rollout goes on and has ended, {value:replica} now
busy_at_the_top: Busy at the top | the highest ordinals of a StatefulSet go first, and {pod} is not
    drained yet ({busy} of {going:replica} that go at work): {value:replica} now
busy_somewhere: Busy somewhere | {busy:replica} at work, and nothing says whether these are the
    highest ordinals, which a StatefulSet removes first: {value:replica} until all are idle
room: No room yet | replicas that are leaving still take the room it may have ({row}):
    {value:replica} now
minimum_runtime: Minimum runtime | replicas that just began are not taken back yet: {value:replica}
    now
workers_unknown: Workers unknown | what its workers do is not known ({blindness}), so none is taken
    away: {value:replica}
frozen: Frozen | frozen by {who} ({reason}): it stays at {value:replica}
contested: Contested | {writer} keeps setting it back, {times} times, last from {ours} to {theirs}:
    left at {value:replica} until that has not happened for {window_s}, {until} to go
set_back: Set back | set back from {ours} to {theirs} by {writer}: left at {value:replica} until
    that has not happened for {window_s}, {until} to go
other_autoscaler: Other autoscaler | {autoscaler} scales it too: left at {value:replica} until that
    is gone
not_becoming_ready: Not becoming ready | {stuck:pod} crash, cannot start or fit nowhere: no more
    than {value:replica} until they are ready
follower: Follower | {holder} leads: this process would set {wanted:replica}, and writes nothing
"""


def _read(table: str) -> dict[Code, Wording]:
    """The wordings by code; an entry begins with its code, and its other lines are indented."""
    wordings: dict[Code, Wording] = {}
    for entry in re.split(r"\n(?=\S)", table.strip()):
        code, _, wording = " ".join(entry.split()).partition(": ")
        heading, _, text = wording.partition(" | ")
        wordings[Code(code)] = Wording(heading, text)
    return wordings


WORDINGS: Final[dict[Code, Wording]] = _read(_TABLE)

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
    "of_queue": ("queue", " of {queue}"),
    "one_by_one": ("starts", ", one after the other"),
}


def writing_manager(reason: Reason) -> str:
    """The field manager that a reason speaks of; empty if it names none."""
    by = reason.numbers.get("by")
    return by if isinstance(by, str) else ""


def title(code: Code) -> str:
    """The code as a heading."""
    return WORDINGS[code].title


def sentence(reason: Reason, now: float) -> str:
    """The reason as text, as of `now` (Unix seconds). Never raises: a number that is missing or
    absurdly large is shown as `?`.
    """
    return WORDINGS[reason.code].sentence.format_map(_Words(reason, now))


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
            return _Word(words.format_map(self) if needed in self._reason.numbers else "")
        if name == "writer":
            return _Word(named(writing_manager(self._reason)))
        number = self._reason.value if name == "value" else self._reason.numbers.get(name)
        return _Word(UNKNOWN if number is None else _shown(name, number, self._now))


def _shown(name: str, number: Number, now: float) -> str:
    if isinstance(number, str):
        return _WHYS.get(number, number)
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
