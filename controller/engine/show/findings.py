"""Findings: conditions that need a person's attention, worst first. Only the time since when work
stands still is remembered; all else are pure functions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.model.decision import (
    CEILINGS,
    HARMLESS,
    Bound,
    Code,
    Decision,
    Gate,
    Outcome,
    OutcomeKind,
    Reason,
)
from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey, WorkloadKind
from controller.model.observation import (
    ClusterRoom,
    Pod,
    PodPhase,
    PoolObservation,
    RefusedEvents,
    TenantObservation,
    TokenUsage,
    WakeWatch,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, T, Why, last_known
from controller.model.rights import writer
from controller.model.scarcity import Budget, Capacity, LlmModel, RateLimits
from controller.model.settings import Notice
from controller.model.snapshot import (
    FROZEN,
    Finding,
    Link,
    LinkState,
    PoolView,
    QueueRates,
    Severity,
)
from controller.planning.explain import duration, sentence, writing_manager
from controller.planning.gate import NOT_STARTING
from controller.planning.inputs import read_freeze
from controller.planning.share.reasons import CostTerms, cost_alerts
from controller.planning.share.rows import TenantScarcity, local_day, with_budget

_RANK: Final = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_STUCK: Final = frozenset({PodPhase.UNSCHEDULED, PodPhase.CRASHING, PodPhase.FAILED})
# the cause is the connection, and the connection has its own finding
_OF_THE_LINK: Final = frozenset({Why.NEVER_READ, Why.DISCONNECTED, Why.TIMED_OUT})
_NAMED: Final = 3

Found = tuple[Severity, str, str, str]
"""Severity, subject, kind and text of a finding that has no time yet."""


def findings(
    links: Iterable[Link],
    tenants: Mapping[str, TenantObservation],
    capacity: Reading[ClusterRoom],
    *,
    notices: Iterable[Found],
    since: Mapping[tuple[str, str], float],
    now: float,
) -> tuple[Finding, ...]:
    """All findings, `notices` included, worst first.

    One whose subject and kind were there before keeps its time of `since`; the others get `now`
    (Unix seconds).
    """
    found = [
        *(
            (Severity.CRITICAL, link.name, "link", f"not connected: {link.detail}")
            for link in links
            if link.state is LinkState.DISCONNECTED
        ),
        *notices,
        *_of_limits(tenants, capacity),
    ]
    dated = [
        Finding(
            severity=severity,
            subject=subject,
            kind=kind,
            text=text,
            since=since.get((subject, kind), now),
        )
        for severity, subject, kind, text in found
    ]
    return tuple(sorted(dated, key=lambda finding: (_RANK[finding.severity], finding.subject)))


def listed(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _of_limits(
    tenants: Mapping[str, TenantObservation], capacity: Reading[ClusterRoom]
) -> Iterator[Found]:
    """Limits of the cluster that cannot be read. One finding for all tenants with the same problem:
    a missing RBAC rule affects all alike.
    """
    if (nodes := _lost(capacity)) is not None:
        yield _without("nodes", "nodes", nodes)
    readings = {name: _lost(seen.quota) for name, seen in tenants.items()}
    for key, kind in (("quotas", Absent), ("quotas stale", Stale)):
        lost = {name: each for name, each in readings.items() if isinstance(each, kind)}
        if lost:
            names = list(lost)
            yield _without(key, f"quotas of {listed(names)}", lost[names[0]])


def _lost(reading: Reading[T]) -> Stale[T] | Absent | None:
    return None if isinstance(reading, Fresh) or reading.why in _OF_THE_LINK else reading


def _without(kind: str, what: str, reading: Stale[T] | Absent) -> Found:
    """The finding when a limit of the cluster cannot be read: it never stops a pool."""
    detail = f": {reading.detail}" if reading.detail else ""
    if isinstance(reading, Stale):
        text = f"{what} stale ({_words(reading)}); what was known last still limits{detail}"
        return Severity.WARNING, "kubernetes", kind, text
    severity = Severity.INFO if reading.why is Why.REFUSED else Severity.WARNING
    text = f"{what} cannot be read ({_words(reading)}) and set no limit{detail}"
    return severity, "kubernetes", kind, text


def pool_findings(pool: PoolView) -> Iterator[Found]:
    """The findings about one pool's readings and its last write; decisions have their own."""
    seen = pool.observation
    yield from _of_reading(pool, "queue", seen.queue)
    kind = pool.workload.kind.lower()
    yield from _of_reading(pool, kind, seen.workload)
    if isinstance(seen.workload, Fresh) and seen.workload.value.message:
        yield Severity.WARNING, pool.key, kind, seen.workload.value.message
    pods = last_known(seen.pods)
    stuck = [pod for pod in (() if pods is None else pods.items) if _is_stuck(pod)]
    if pods is not None and stuck:
        why = ": ".join(part for part in (stuck[0].reason, stuck[0].message) if part)
        text = f"{len(stuck)} of {len(pods.items)} pods {stuck[0].phase.value}: {why}"
        yield Severity.WARNING, pool.key, "pods", text
    if pool.outcome is not None and pool.outcome.kind not in HARMLESS:
        yield Severity.WARNING, pool.key, "write", failed_write(pool.outcome)
    if seen.unmarkable:
        text = (
            "its pods cannot be given a deletion cost, so Kubernetes chooses which of them go, busy"
            f" or not: {seen.unmarkable}; allow the controller to patch pods"
        )
        yield Severity.WARNING, pool.key, "drain", text
    if isinstance(seen.workload, Fresh):
        if (freeze := read_freeze(seen.workload.value, pool.key)) is not None:
            text = f"nothing is written: frozen by {freeze.who} ({freeze.why})"
            yield Severity.WARNING, pool.key, FROZEN, text
        yield from _of_rollout(pool, seen.workload.value)
    if seen.unfreezable:
        text = (
            "the annotation agentdash.dev/freeze on its namespace is not seen: "
            f"{seen.unfreezable}; allow the controller to list and watch namespaces"
        )
        yield Severity.INFO, pool.key, "freeze", text
    if seen.wake is WakeWatch.POLLED:
        yield Severity.INFO, pool.key, "wake", f"woken by polling only: {seen.wake_detail}"


def _of_rollout(pool: PoolView, workload: Workload) -> Iterator[Found]:
    """A paused Deployment still follows its size, and nothing else of its specification."""
    if workload.paused:
        waits = f"{workload.updated} of {workload.current} pods are of its newest template"
        state = waits if workload.is_rolling_out else "a new pod template would wait"
        text = (
            f"its Deployment is paused (spec.paused): it is still scaled, but {state};"
            f" kubectl -n {pool.namespace} rollout resume deployment/{pool.deployment} ends that"
        )
        severity = Severity.WARNING if workload.is_rolling_out else Severity.INFO
        yield severity, pool.key, "rollout", text


# what of a pool cannot be known while a connection is lost, and the connection
_LINK_OF: Final[Mapping[str, str]] = {
    "queue": "nats",
    "wake": "nats",
    "orders": "nats",
    **{kind.lower(): "kubernetes" for kind in WorkloadKind},
    "pods": "kubernetes",
    "write": "kubernetes",
    "freeze": "kubernetes",
    FROZEN: "kubernetes",
}
_GONE_WITH_LINK: Final = frozenset(
    {"queue", "wake", "orders", *(kind.lower() for kind in WorkloadKind)}
)


def by_cause(found: Iterable[Found], links: Iterable[Link]) -> Iterator[Found]:
    """The findings of pools, one for each cause: those that say the same of several pools are one
    about the connection, and those that follow from a lost connection are left to its own.
    """
    lost = {link.name for link in links if link.state is LinkState.DISCONNECTED}
    same: dict[tuple[Severity, str, str], list[str]] = {}
    for severity, subject, kind, text in found:
        if kind not in _GONE_WITH_LINK or _LINK_OF[kind] not in lost:
            same.setdefault((severity, kind, text), []).append(subject)
    for (severity, kind, text), subjects in same.items():
        pools = sorted(subjects)
        if len(pools) == 1 or kind not in _LINK_OF:
            yield from ((severity, pool, kind, text) for pool in pools)
        else:
            of_pools = f"{len(pools)} pools, {listed(pools)}"
            yield severity, _LINK_OF[kind], f"{kind} {pools[0]}", f"{of_pools}: {text}"


def _of_reading(pool: PoolView, what: str, reading: Reading[T]) -> Iterator[Found]:
    if isinstance(reading, Fresh):
        return
    kind = "unknown" if isinstance(reading, Absent) else "stale"
    detail = f": {reading.detail}" if reading.detail else ""
    yield Severity.WARNING, pool.key, what, f"{what} {kind} ({_words(reading)}){detail}"


def _is_stuck(pod: Pod) -> bool:
    """Whether the pod gives a reason for not running, and one that does not pass by itself."""
    if pod.phase is PodPhase.STARTING:
        return pod.reason in NOT_STARTING
    return pod.phase in _STUCK and bool(pod.reason or pod.message)


def _words(reading: Stale[T] | Absent) -> str:
    return reading.why.value.replace("_", " ")


_ADVICE: Final[Mapping[OutcomeKind, str]] = {
    OutcomeKind.FORBIDDEN: "not permitted to scale it",
    OutcomeKind.UNAUTHORIZED: "the credentials are not accepted",
    OutcomeKind.GONE: "the workload does not exist",
    OutcomeKind.INVALID: "the API server refused the change",
    OutcomeKind.THROTTLED: "the API server asks us to slow down",
    OutcomeKind.FAILED: "the API server failed",
    OutcomeKind.UNREACHABLE: "the API server cannot be reached",
    OutcomeKind.UNKNOWN: "no answer: it may or may not have been applied",
}


def failed_write(outcome: Outcome) -> str:
    """Why a write was not applied, in words."""
    words = _ADVICE.get(outcome.kind, outcome.kind.value)
    return f"{words}: {outcome.detail}" if outcome.detail else words


FLEET_FILE: Final = "fleet file"
FLEET: Final = "fleet"


def file_findings(notices: Iterable[Notice]) -> Iterator[Found]:
    """One finding for each key of the fleet file that has no effect."""
    for notice in notices:
        yield Severity.INFO, FLEET_FILE, notice.path, str(notice)


def cost_findings(costs: CostTerms, decisions: Mapping[PoolKey, Decision]) -> Iterator[Found]:
    """One finding for each tenant whose pools are planned to cost its alert or more (USD/h)."""
    for alert in cost_alerts(costs, decisions):
        text = (
            f"planned at {float(alert.usd_per_hour):,.2f} USD per hour, at or above its alert of "
            f"{alert.usd_alert:,}"
        )
        yield Severity.WARNING, alert.tenant, "cost", text


_WHAT_TO_DO: Final[Mapping[Code, str]] = {
    Code.OTHER_AUTOSCALER: "delete that one, or take the pool out of the fleet file",
    Code.POISON: (
        "see what these messages have in common; agentdash's workers bury them after"
        " AGENTDASH_ATTEMPTS tries (agentdash dead list), others must end them themselves: with"
        " max_deliver they would be lost"
    ),
    Code.BLIND_FOR_LONG: "its size is a guess until its queue and metrics can be read again",
    Code.ANNOTATION_UNREADABLE: "set it to a whole number, or remove it to let the pool scale",
    Code.PAUSE_UNREADABLE: "resume the pool, or pause it again with a whole number of replicas",
    Code.LIMIT_UNREADABLE: "correct the ResourceQuota or the nodes that it was read from",
}


_OF_A_WRITER: Final = frozenset({Code.CONTESTED, Code.SET_BACK})


def needs_attention(decision: Decision) -> bool:
    """Whether `decision_findings` has a finding for this decision."""
    return any(_what_to_do(reason) for reason in decision.reasons)


def _what_to_do(reason: Reason) -> str:
    """What a person is to do; empty if nothing."""
    if reason.code in _OF_A_WRITER:
        return writer(writing_manager(reason)).to_do
    return _WHAT_TO_DO.get(reason.code, "")


def decision_findings(decisions: Collection[Decision], now: float) -> Iterator[Found]:
    """One for each reason that needs a person, of the kind of its code: what is wrong, and what to
    do about it. Pools that have all been blind for long are one finding: they have one cause.
    """
    blind = [each for each in decisions if _is_blind_for_long(each)]
    if len(blind) > 1:
        names = listed([each.pool for each in blind])
        text = f"the work of {len(blind)} pools, {names}, has not been known for long"
        advice = "their sizes are guesses until their queues and metrics can be read again"
        yield Severity.WARNING, FLEET, Code.BLIND_FOR_LONG.value, f"{text}; {advice}"
    for decision in decisions:
        for reason in decision.reasons:
            if reason.code is Code.BLIND_FOR_LONG and len(blind) > 1:
                continue
            if to_do := _what_to_do(reason):
                text = f"{sentence(reason, now)}; {to_do}"
                yield Severity.WARNING, decision.pool, _kind(reason), text


def _kind(reason: Reason) -> str:
    """The code; where a pool has several queues, with the one that it is about: each has its own
    finding.
    """
    queue = reason.numbers.get("queue")
    return reason.code.value if queue is None else f"{reason.code.value} {queue}"


def _is_blind_for_long(decision: Decision) -> bool:
    return any(reason.code is Code.BLIND_FOR_LONG for reason in decision.reasons)


_NO_LIMITS: Final = RateLimits()
_NO_BUDGET: Final = Budget()
_UNSEEN: Final = PoolObservation()


def model_findings(fleet: Fleet, seen: Mapping[PoolKey, PoolObservation]) -> Iterator[Found]:
    """One finding for each model in use without limits, and one for each ceiling that does not
    apply to some pools because the token usage of their tasks is neither declared nor measured.

    A missing price is a finding of the fleet file instead.
    """
    models = {model.name: model for model in fleet.models}
    budgets = {tenant.name: tenant.budget for tenant in fleet.tenants}
    unlimited: defaultdict[str, list[str]] = defaultdict(list)
    unmeasured: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for pool in fleet.pools:
        model = models.get(pool.model or "")
        if model is None:
            continue
        if model.limits is None:
            unlimited[model.name].append(pool.key)
        if pool.usage is None and seen.get(pool.key, _UNSEEN).task_usage is None:
            budget = budgets.get(pool.tenant, _NO_BUDGET)
            for ceiling in _ceilings(fleet.capacity, pool.tenant, budget, model):
                unmeasured[ceiling].append(pool.key)
    for name, pools in unlimited.items():
        path = f"models.{name}.limits"
        text = (
            f"models.{name} has no limits, so no rate limit applies to {listed(pools)}; write "
            "`limits: {}` if the provider sets none"
        )
        yield Severity.INFO, FLEET_FILE, path, text
    for (subject, kind, name), pools in unmeasured.items():
        text = (
            f"{name} does not apply to {listed(pools)}: the tokens per task are not "
            "measured yet; until then their key `usage` can state them"
        )
        yield Severity.INFO, subject, kind, text


def _ceilings(
    capacity: Capacity, tenant: str, budget: Budget, model: LlmModel
) -> Iterator[tuple[str, str, str]]:
    """The ceilings that would apply to a pool if the token usage of its tasks were known: subject
    and kind of the finding, and the ceiling's name.
    """
    if model.limits is not None and model.limits != _NO_LIMITS:
        yield FLEET_FILE, f"models.{model.name} unmeasured", f"the limit of {model.name}"
    if budget.tokens_per_day is not None:
        yield tenant, "tokens unmeasured", "the budget of tokens per day"
    if model.price is None:
        return
    if budget.usd_per_hour is not None:
        yield tenant, "usd unmeasured", "the limit in USD per hour"
    if capacity.usd_per_hour is not None:
        yield FLEET_FILE, "usd unmeasured", "the fleet's limit in USD per hour"


UNFINISHED: Final = "unfinished"
"""The kind of the finding about busy replicas."""
# how long a task takes where nobody has measured it
_USUAL_SERVICE_S: Final = 60.0
# an operator's pause is meant to stop the work
_TOLD: Final = CEILINGS - {Bound.PAUSE}
_OF_TENANT: Final = frozenset({Bound.BUDGET, Bound.COST, Bound.QUOTA})
_OF_FLEET: Final = frozenset({Bound.CAPACITY, Bound.RATE})


class _Capped(NamedTuple):
    """A pool below its demand: since when (Unix seconds), and the decision that stands."""

    since: float
    decision: Decision


class _Finishing(NamedTuple):
    """A pool that waits for busy replicas to finish: since when (Unix seconds) none has gone, and
    its size meanwhile.
    """

    since: float
    replicas: int | None


class WorkFindings:
    """Remembers since when each pool is held below its demand, or waits for its busy replicas."""

    def __init__(self, fleet: Fleet) -> None:
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._tenant_of = {pool.key: pool.tenant for pool in fleet.pools}
        self._sessions_s = {pool.key: pool.session.duration_s for pool in fleet.pools}
        self._capped: dict[PoolKey, _Capped] = {}
        self._finishing: dict[PoolKey, _Finishing] = {}

    def decided(
        self, decisions: Iterable[Decision], now: float, bound_since: float | None = None
    ) -> None:
        """Take the decisions that were made again at `now`. `bound_since` is when their bound
        began, which may be before this process did (both Unix seconds).
        """
        began = now if bound_since is None else min(bound_since, now)
        for decision in decisions:
            known = self._capped.pop(decision.pool, None)
            if _is_capped(decision):
                since = began if known is None else known.since
                self._capped[decision.pool] = _Capped(since, decision)
            waits = self._finishing.pop(decision.pool, None)
            if decision.gate is Gate.BUSY:
                if waits is None or waits.replicas != decision.next:
                    waits = _Finishing(began if waits is None else now, decision.next)
                self._finishing[decision.pool] = waits

    def found(
        self,
        seen: Mapping[str, TenantObservation],
        scarce: Mapping[str, TenantScarcity],
        now: float,
    ) -> Iterator[Found]:
        """The findings as of `now`: one for each budget, one for each ceiling that holds pools for
        longer than their tasks take, and one for each pool whose busy replicas do not finish within
        the longest session. `scarce` has the budgets that operators set.
        """
        held: defaultdict[tuple[str, Bound], list[Decision]] = defaultdict(list)
        for key, (since, decision) in self._capped.items():
            if now - since > service_s(decision):
                held[self._subject(key, decision.bound), decision.bound].append(decision)
        for name, observation in seen.items():
            tenant = self._tenants.get(name)
            if tenant is not None:
                limits = scarce.get(name)
                tenant = with_budget(tenant, None if limits is None else limits.set_by)
                of_budget = held.get((name, Bound.BUDGET), [])
                found = _budget(tenant, observation, of_budget, now)
                if found is not None:
                    held.pop((name, Bound.BUDGET), None)
                    yield found
        for (subject, bound), decisions in held.items():
            yield Severity.WARNING, subject, f"held by {bound}", _held(bound, decisions)
        for key, (since, _) in self._finishing.items():
            longest_s = self._sessions_s.get(key, math.inf)
            if now - since > longest_s:
                text = (
                    "the replicas that must go are busy for longer than a session may take"
                    f" ({duration(longest_s)}), and none of them goes: look at its pods' logs"
                    " (l in :pods)"
                )
                yield Severity.WARNING, key, UNFINISHED, text

    def _subject(self, key: PoolKey, bound: Bound) -> str:
        if bound in _OF_TENANT:
            return self._tenant_of.get(key, key)
        return FLEET if bound in _OF_FLEET else key


def service_s(decision: Decision) -> float:
    """How long one of its tasks takes, in seconds, as far as the decision knows it."""
    for reason in decision.reasons:
        measured = reason.numbers.get("service_s")
        if isinstance(measured, int | float):
            return float(measured)
    return _USUAL_SERVICE_S


def _is_capped(decision: Decision) -> bool:
    if decision.target is None or decision.demand is None:
        return False
    return decision.bound in _TOLD and decision.target < decision.demand


def _held(bound: Bound, decisions: list[Decision]) -> str:
    target = sum(decision.target or 0 for decision in decisions)
    demand = sum(decision.demand or 0 for decision in decisions)
    longest = max(service_s(decision) for decision in decisions)
    names = "" if len(decisions) == 1 else f" {listed([each.pool for each in decisions])}:"
    return (
        f"held by {bound} at {target:,} of {demand:,} wanted replicas for longer than a task takes "
        f"({longest:.0f} s);{names} {_BOUND_ADVICE.get(bound, 'its work waits')}"
    )


_BOUND_ADVICE: Final[Mapping[Bound, str]] = {
    Bound.MAX: "raise replicas.max, or let the work wait",
    Bound.SCHEDULE: "its schedule allows no more now",
    Bound.QUOTA: "the tenant's quota is full",
    Bound.COST: "the limit in USD per hour is reached",
    Bound.CAPACITY: "the nodes have no room",
    Bound.RATE: "the model's rate limit feeds no more",
}


def _budget(
    tenant: Tenant, seen: TenantObservation, held: list[Decision], now: float
) -> Found | None:
    budget, usage = tenant.budget, last_known(seen.usage)
    if budget.tokens_per_day is None or usage is None:
        return None
    gone = Fraction(usage.used) + Fraction(usage.reserved)
    if gone < Fraction(budget.warn) * budget.tokens_per_day:
        return None
    stops = "" if not held else f"; it holds {listed([each.pool for each in held])}"
    reset = local_day(now, ZoneInfo(tenant.timezone)).end
    until = f"{datetime.fromtimestamp(reset, UTC):%H:%M}Z"
    if gone >= budget.tokens_per_day:
        severity = Severity.CRITICAL if budget.hard else Severity.WARNING
        effect = "its pools stop" if budget.hard else "its pools go on"
        spent = f"the day's {budget.tokens_per_day:,} tokens are spent"
        return severity, tenant.name, "budget", f"{spent}: {effect} until {until}{stops}"
    return Severity.WARNING, tenant.name, "budget", _nearly(budget, gone, until) + stops


def _nearly(budget: Budget, gone: Fraction, until: str) -> str:
    tokens = budget.tokens_per_day or 1
    end = "its pools stop" if budget.hard else "they are only slowed"
    percent = int(gone * 100 / tokens)
    used = f"{percent} % of the day's {tokens:,} tokens are used or reserved"
    return f"{used}; at 100 % {end}, until {until}"


# usage of tenants without a budget is not read, and a lost connection has its own finding
_ELSEWHERE: Final = frozenset({Why.NEVER_READ, Why.DISCONNECTED})


def usage_findings(
    tenants: Mapping[str, TenantObservation], refused: RefusedEvents
) -> Iterator[Found]:
    """One finding for all tenants whose usage cannot be read for the same reason, and one for usage
    events that were not counted.
    """
    silent: defaultdict[Why, dict[str, Stale[TokenUsage] | Absent]] = defaultdict(dict)
    for name, seen in tenants.items():
        if not isinstance(seen.usage, Fresh) and seen.usage.why not in _ELSEWHERE:
            silent[seen.usage.why][name] = seen.usage
    for why, readings in silent.items():
        first, words = next(iter(readings.values())), why.value.replace("_", " ")
        kind = "unknown" if isinstance(first, Absent) else "stale"
        text = f"token usage of {listed(list(readings))} {kind} ({words}): {first.detail}"
        yield Severity.WARNING, "nats", f"usage {why.value}", text
    if refused.count:
        text = f"{refused.count} usage events were not counted; the last: {refused.last}"
        yield Severity.WARNING, "nats", "refused events", text


WAITS: Final = "waits"
"""The kind of the finding."""
# a wait is told in steps, so that the text does not change with every second
_STEPS_S: Final = ((60.0, 5.0), (600.0, 30.0), (3600.0, 60.0))
_LONGEST_STEP_S: Final = 600.0


def aims_of(fleet: Fleet) -> dict[PoolKey, float]:
    """The longest that a message should wait, in seconds, for each pool that has an aim."""
    return {pool.key: pool.aim_s for pool in fleet.pools if pool.aim_s is not None}


def wait_findings(
    aims: Mapping[PoolKey, float],
    rates: Iterable[QueueRates],
    decisions: Mapping[PoolKey, Decision],
    now: float,
) -> Iterator[Found]:
    """One for each pool with a message that waits, or with one in 20 of those of the last five
    minutes that waited, longer than its aim. An operator's pause is meant to let work wait.
    """
    longest: dict[PoolKey, float] = {}
    for each in rates if aims else ():
        if each.pool in aims:
            oldest = 0.0 if each.oldest_at is None else now - each.oldest_at
            longest[each.pool] = max(longest.get(each.pool, 0.0), oldest, each.waited_p95_s or 0.0)
    for pool, wait_s in longest.items():
        decision = decisions.get(pool)
        if wait_s > aims[pool] and (decision is None or decision.bound is not Bound.PAUSE):
            wait, aim = duration(_in_steps(wait_s, aims[pool])), duration(aims[pool])
            text = f"messages wait for more than {wait}, its aim is {aim}"
            yield (
                Severity.WARNING,
                pool,
                WAITS,
                f"{text}; `agentdash why {pool}` says what holds it",
            )


def _in_steps(wait_s: float, aim_s: float) -> float:
    """The wait, rounded down to a step, but never below the aim."""
    step_s = next((step for most, step in _STEPS_S if wait_s < most), _LONGEST_STEP_S)
    return max(wait_s // step_s * step_s, aim_s)
