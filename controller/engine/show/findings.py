"""Findings: what needs a person's attention, worst first; a table has their words and advice."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from controller.model.decision import HARMLESS, Bound, Code, Decision, Outcome, OutcomeKind, Reason
from controller.model.fleet import Fleet
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
)
from controller.model.readings import Absent, Fresh, Reading, Stale, T, Why, last_known
from controller.model.scarcity import Budget, Capacity, LlmModel, RateLimits
from controller.model.servers import writer
from controller.model.settings import Notice
from controller.model.snapshot import (
    FROZEN,
    Finding,
    Link,
    LinkState,
    ModelView,
    PoolView,
    QueueRates,
    Severity,
)
from controller.planning.explain import duration, sentence, writing_manager
from controller.planning.gate import NOT_STARTING
from controller.planning.inputs import read_freeze
from controller.planning.share.claims import CostTerms
from controller.planning.share.reasons import cost_alerts

# name | severity | words | what to do; reasons that need a person have the names of their codes
_TABLE: Final = """
link | critical | not connected: {why} | look at the server and at our credentials; `agentdash
    doctor` says which
lease | critical | cannot be kept, so this process writes nothing: {why} | give it the right to
    Leases that `agentdash manifests` prints
journal_down | critical | nothing is written: frozen by {who} ({why}); make room on its disk, or see
    who may write there | free the disk, or give the right back; it goes on by itself
stream | warning | {why} | the rights of the stream, or its space
incomplete | warning | is not complete, and the controller goes on: {why} | a faster disk
frozen | warning | nothing is written: frozen by {who} ({why}) | remove it when the work is done:
    see [Kill switches](../operating.md#kill-switches)
freeze | info | the annotation agentdash.dev/freeze on its namespace is not seen: {why}; allow the
    controller to list and watch namespaces | the right to `namespaces`, or use the annotation of
    workloads
unknown | warning | cannot be looked for, so the switch stays as it was: {why} | its folder's rights
no write | critical | no write succeeds: {why}{advice} | the API server's answer stands in the
    finding: a right, a webhook, its load
write | warning | {why} | the answer stands in the finding
overtaken | warning | {pools}: writes lose against changes that no watch reports, so each workload
    is read by itself; does a proxy before the API server hold watches back? | something else writes
    to it: see [What others do](../on-a-cluster.md#what-others-do-to-the-same-objects)
contested | warning | {reason}; {to_do} | take `spec.replicas` out of the manifests, or let Argo CD
    ignore it
set_back | warning | {reason}; {to_do} | take `spec.replicas` out of the manifests, or let Argo CD
    ignore it
other_autoscaler | warning | {reason}; {to_do} | delete that one, or take the pool out of the fleet
    file
poison | warning | {reason}; {to_do} | see what these messages have in common; agentdash's workers
    bury them after AGENTDASH_ATTEMPTS tries (agentdash dead list), others must end them themselves:
    with max_deliver they would be lost
blind_for_long | warning | {reason}; {to_do} | its size is a guess until its queue and metrics can
    be read again
annotation_unreadable | warning | {reason}; {to_do} | set it to a whole number, or remove it to let
    the pool scale
pause_unreadable | warning | {reason}; {to_do} | resume the pool, or pause it again with a whole
    number of replicas
limit_unreadable | warning | {reason}; {to_do} | correct the ResourceQuota or the nodes that it was
    read from
pods | warning | {stuck} of {all} pods {phase}: {why} | the reason of the scheduler or the container
    stands in it; `l` on the pod shows its log
rollout | info | its Deployment is paused (spec.paused): it is still scaled, but {state}; kubectl -n
    {namespace} rollout resume deployment/{deployment} ends that | resume it
drain | warning | its pods cannot be given a deletion cost, so Kubernetes chooses which of them go,
    busy or not: {why}; allow the controller to patch pods | the right to patch `pods`
orders | warning | its workers cannot be told: {why} | the rights to the bucket of orders
workers | warning | what they do cannot be read, so their pools are not scaled down: {why} | the
    rights to the bucket of workers
allowances | warning | workers cannot be told their share of the models' limits: {why} | the rights
    to the bucket of allowances
wake | info | woken by polling only: {why} | the right to subscribe to the stream's subjects
waits | warning | messages wait for more than {wait}, its aim is {aim}; `agentdash why {pool}` says
    what holds it | `d` on the pool says which rule holds it
unfinished | warning | the replicas that must go are busy for longer than a session may take
    ({longest}), and none of them goes: look at its pods' logs (l in :pods) | look at the agent's
    log: its task hangs, or never ends
held by | warning | held by {bound} at {target:,} of {demand:,} wanted replicas for longer than a
    task takes ({longest:.0f} s);{names} {advice} | raise that limit, or let the work wait
budget | warning | {state} until {until}{stops} | `agentdash budget TENANT 8M` until the reset, or
    wait for it
cost | warning | planned at {usd:,.2f} USD per hour, at or above its alert of {alert:,} | `:tenants`
    says whose; raise `usd_per_hour`, or hold pools of a lower tier
usage | warning | token usage of {tenants} {known} ({why}): {detail} | the rights to the stream of
    usage
remembered | warning | the stream of usage was deleted and made again: {tokens:,} tokens of today
    are counted from the controller's memory, and growth is held once the budget is spent; if they
    were never used, agentdash budget {tenant} gives more until the reset | nothing; or `agentdash
    budget TENANT 8M` until the reset; let nobody delete the stream
refused events | warning | {count} usage events were not counted; the last: {last} | the finding
    names the first reason
lost | warning | {why} | nothing: pools are held for one window
save | warning | cannot be saved, so a restart would begin new windows: {why} | the rights to the
    bucket; a restart would forget
kept | warning | the bucket was restored, or deleted and made again: intents in force that it does
    not have: {count:,}; each stays until it is asked for or taken back there, or the controller
    restarts | `agentdash intents` shows them; ask anew or take them back
more faults | warning | {count:,} more keys in the bucket are no intents that can be read | correct
    the ones that are named first
more without effect | warning | {count:,} more intents have no effect in this fleet | correct the
    ones that are named first
restart | warning | {parts} changed: restart the controller to put that in force | restart the
    controller when it suits
invalid | warning | is not taken over, the last good one stays in force: {faults} | the finding
    says file, line and column
limits | info | models.{model} has no limits, so no rate limit applies to {pools}; write `limits:
    {{}}` if the provider sets none | write its limits, or that there are none
refuses | warning | its provider refuses up to {share} % of the calls (429), which workers make
    again later; `:models` shows who calls | set the model's limits in the fleet file to what the
    provider allows, or ask the provider for more
unmeasured | info | {ceiling} does not apply to {pools}: the tokens per task are not measured yet;
    until then their key `usage` can state them | nothing, once tasks have ended; or the pools' key
    `usage`
events | info | no events are written: {why}; allow us to create and patch events | the right to
    `events` of `events.k8s.io`
"""


class FindingKind(NamedTuple):
    """A row of the table; `words` has the names of its numbers in braces."""

    severity: Severity
    words: str
    to_do: str


def read_kinds(table: str) -> dict[str, FindingKind]:
    """The rows of a table by name; an entry's other lines are indented."""
    kinds = {}
    for entry in re.split(r"\n(?=\S)", table.strip()):
        name, severity, *texts = " ".join(entry.split()).split(" | ")
        kinds[name] = FindingKind(Severity(severity), *texts)
    return kinds


FINDINGS: Final = read_kinds(_TABLE)
FLEET_FILE: Final = "fleet file"
FLEET: Final = "fleet"


class Found(NamedTuple):
    """A finding that has no time yet."""

    severity: Severity
    subject: str
    kind: str
    text: str


def found(
    name: str, subject: str, *, severity: Severity | None = None, kind: str = "", **numbers: object
) -> Found:
    """A finding of kind `name`; `kind` if a subject can have several, `severity` if another."""
    row = FINDINGS[name]
    return Found(severity or row.severity, subject, kind or name, row.words.format(**numbers))


_RANK: Final = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_STUCK: Final = frozenset({PodPhase.UNSCHEDULED, PodPhase.CRASHING, PodPhase.FAILED})
# the cause is the connection, and the connection has its own finding
_OF_THE_LINK: Final = frozenset({Why.NEVER_READ, Why.DISCONNECTED, Why.TIMED_OUT})
_NAMED: Final = 3
_MANY_PERCENT: Final = 10


def findings(
    links: Iterable[Link],
    tenants: Mapping[str, TenantObservation],
    capacity: Reading[ClusterRoom],
    *,
    notices: Iterable[Found],
    since: Callable[[str, str, Severity], float],
) -> tuple[Finding, ...]:
    """All findings, worst first; `since`: when one of this subject, kind and severity began."""
    lost = (each for each in links if each.state is LinkState.DISCONNECTED)
    together = [
        *(found("link", each.name, why=each.detail) for each in lost),
        *notices,
        *_of_limits(tenants, capacity),
    ]
    dated = [
        Finding(
            severity=severity,
            subject=subject,
            kind=kind,
            text=text,
            since=since(subject, kind, severity),
        )
        for severity, subject, kind, text in together
    ]
    return tuple(sorted(dated, key=lambda finding: (_RANK[finding.severity], finding.subject)))


def listed(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def words_of(why: Why) -> str:
    """Why something cannot be read, in words."""
    return why.value.replace("_", " ")


def _of_limits(
    tenants: Mapping[str, TenantObservation], capacity: Reading[ClusterRoom]
) -> Iterator[Found]:
    """Unreadable limits of the cluster, which stop no pool; one finding for tenants alike."""
    if (nodes := _lost(capacity)) is not None:
        yield _without("nodes", "nodes", nodes)
    readings = {name: _lost(seen.quota) for name, seen in tenants.items()}
    for kind, of in (("quotas", Absent), ("quotas stale", Stale)):
        lost = {name: each for name, each in readings.items() if isinstance(each, of)}
        if lost:
            names = list(lost)
            yield _without(kind, f"quotas of {listed(names)}", lost[names[0]])


def _lost(reading: Reading[T]) -> Stale[T] | Absent | None:
    return None if isinstance(reading, Fresh) or reading.why in _OF_THE_LINK else reading


def _without(kind: str, what: str, reading: Stale[T] | Absent) -> Found:
    why, detail = words_of(reading.why), f": {reading.detail}" if reading.detail else ""
    if isinstance(reading, Stale):
        text = f"{what} stale ({why}); what was known last still limits{detail}"
        return Found(Severity.WARNING, "kubernetes", kind, text)
    severity = Severity.INFO if reading.why is Why.REFUSED else Severity.WARNING
    text = f"{what} cannot be read ({why}) and set no limit{detail}"
    return Found(severity, "kubernetes", kind, text)


Numbers: TypeAlias = Mapping[str, Any] | None


def _why(why: str) -> Numbers:
    return {"why": why} if why else None


def _of_pods(pool: PoolView) -> Numbers:
    pods = last_known(pool.observation.pods)
    stuck = [pod for pod in pods.items if _is_stuck(pod)] if pods is not None else []
    if pods is None or not stuck:
        return None
    first, phase = stuck[0], stuck[0].phase.value
    why = first.message or first.reason
    return {"stuck": len(stuck), "all": len(pods.items), "phase": phase, "why": why}


def _is_stuck(pod: Pod) -> bool:
    """Whether the pod gives a reason for not running, and one that does not pass by itself."""
    if pod.phase is PodPhase.STARTING:
        return pod.reason in NOT_STARTING
    # a pod that the scheduler has not looked at yet has no reason
    return pod.phase in _STUCK and (pod.phase is not PodPhase.UNSCHEDULED or bool(pod.reason))


def _of_write(pool: PoolView) -> Numbers:
    outcome = pool.outcome
    return None if outcome is None or outcome.kind in HARMLESS else _why(failed_write(outcome))


def _of_freeze(pool: PoolView) -> Numbers:
    workload = pool.observation.workload
    freeze = read_freeze(workload.value, pool.key) if isinstance(workload, Fresh) else None
    return None if freeze is None else {"who": freeze.who, "why": freeze.why}


def _of_rollout(pool: PoolView) -> Numbers:
    """A paused Deployment still follows its size, and nothing else of its specification."""
    reading = pool.observation.workload
    if not isinstance(reading, Fresh) or not reading.value.paused:
        return None
    workload = reading.value
    named = {"namespace": pool.namespace, "deployment": pool.deployment}
    if not workload.is_rolling_out:
        return {**named, "state": "a new pod template would wait"}
    state = f"{workload.updated} of {workload.current} pods are of its newest template"
    return {**named, "state": state, "severity": Severity.WARNING}


def _of_wake(pool: PoolView) -> Numbers:
    seen = pool.observation
    return {"why": seen.wake_detail} if seen.wake is WakeWatch.POLLED else None


POOL_TESTS: Final[dict[str, Callable[[PoolView], Numbers]]] = {
    "pods": _of_pods,
    "write": _of_write,
    "drain": lambda pool: _why(pool.observation.unmarkable),
    FROZEN: _of_freeze,
    "rollout": _of_rollout,
    "freeze": lambda pool: _why(pool.observation.unfreezable),
    "wake": _of_wake,
}
"""The kinds that a pool's readings and its last write have: the numbers of its words, None where
there is nothing to find. They may have a `severity`.
"""


def pool_findings(pool: PoolView) -> Iterator[Found]:
    """The findings about one pool's readings and its last write; decisions have their own."""
    seen, kind = pool.observation, pool.workload.kind.lower()
    yield from _of_reading(pool, "queue", seen.queue)
    yield from _of_reading(pool, kind, seen.workload)
    if isinstance(seen.workload, Fresh) and seen.workload.value.message:
        yield Found(Severity.WARNING, pool.key, kind, seen.workload.value.message)
    for name, test in POOL_TESTS.items():
        if (numbers := test(pool)) is not None:
            yield found(name, pool.key, **numbers)


def _of_reading(pool: PoolView, what: str, reading: Reading[T]) -> Iterator[Found]:
    if not isinstance(reading, Fresh):
        known = "unknown" if isinstance(reading, Absent) else "stale"
        detail = f": {reading.detail}" if reading.detail else ""
        text = f"{what} {known} ({words_of(reading.why)}){detail}"
        yield Found(Severity.WARNING, pool.key, what, text)


_KINDS_OF_WORKLOADS: Final = frozenset(kind.lower() for kind in WorkloadKind)
# what of a pool cannot be known while a connection is lost, and the connection
_LINK_OF: Final[Mapping[str, str]] = {
    **dict.fromkeys(("queue", "wake", "orders"), "nats"),
    **dict.fromkeys((*_KINDS_OF_WORKLOADS, "pods", "write", "freeze", FROZEN), "kubernetes"),
}
_GONE_WITH_LINK: Final = _KINDS_OF_WORKLOADS | {"queue", "wake", "orders"}


def by_cause(found: Iterable[Found], links: Iterable[Link]) -> Iterator[Found]:
    """The findings of pools, one for each cause: those that say the same of several pools are one
    about the connection, and those that follow from a lost connection are left to its own.
    """
    lost = {link.name for link in links if link.state is LinkState.DISCONNECTED}
    same: defaultdict[tuple[Severity, str, str], list[str]] = defaultdict(list)
    for severity, subject, kind, text in found:
        if kind not in _GONE_WITH_LINK or _LINK_OF[kind] not in lost:
            same[severity, kind, text].append(subject)
    for (severity, kind, text), subjects in same.items():
        pools = sorted(subjects)
        if len(pools) == 1 or kind not in _LINK_OF:
            yield from (Found(severity, pool, kind, text) for pool in pools)
        else:
            together = f"{len(pools)} pools, {listed(pools)}: {text}"
            yield Found(severity, _LINK_OF[kind], f"{kind} {pools[0]}", together)


_WRITES: Final[Mapping[OutcomeKind, str]] = {
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
    words = _WRITES.get(outcome.kind, outcome.kind.value)
    return f"{words}: {outcome.detail}" if outcome.detail else words


def file_findings(notices: Iterable[Notice]) -> Iterator[Found]:
    """One finding for each key of the fleet file that has no effect."""
    for notice in notices:
        yield Found(Severity.INFO, FLEET_FILE, notice.path, str(notice))


def cost_findings(costs: CostTerms, decisions: Mapping[PoolKey, Decision]) -> Iterator[Found]:
    """One finding for each tenant whose pools are planned to cost its alert or more (USD/h)."""
    for each in cost_alerts(costs, decisions):
        yield found("cost", each.tenant, usd=float(each.usd_per_hour), alert=each.usd_alert)


_OF_A_WRITER: Final = frozenset({Code.CONTESTED, Code.SET_BACK})


def needs_attention(decision: Decision) -> bool:
    """Whether `decision_findings` has a finding for this decision."""
    return any(_needs_a_person(reason) for reason in decision.reasons)


def _needs_a_person(reason: Reason) -> bool:
    return reason.code.value in FINDINGS and "{reason}" in FINDINGS[reason.code.value].words


def decision_findings(decisions: Collection[Decision], now: float) -> Iterator[Found]:
    """One for each reason that needs a person, of the kind of its code: what is wrong, and what to
    do about it. Pools that have all been blind for long are one finding: they have one cause.
    """
    long = Code.BLIND_FOR_LONG
    blind = [each for each in decisions if any(one.code is long for one in each.reasons)]
    if len(blind) > 1:
        names = listed([each.pool for each in blind])
        reason = f"the work of {len(blind)} pools, {names}, has not been known for long"
        to_do = "their sizes are guesses until their queues and metrics can be read again"
        yield found(long, FLEET, reason=reason, to_do=to_do)
    for decision in decisions:
        for each in filter(_needs_a_person, decision.reasons):
            if each.code is not long or len(blind) == 1:
                yield _of_reason(decision.pool, each, now)


def _of_reason(pool: PoolKey, reason: Reason, now: float) -> Found:
    """Where a pool has several queues, the kind names the one that it is about."""
    name, queue = reason.code.value, reason.numbers.get("queue")
    kind, to_do = name if queue is None else f"{name} {queue}", FINDINGS[name].to_do
    if reason.code in _OF_A_WRITER:
        to_do = writer(writing_manager(reason)).to_do
    return found(name, pool, kind=kind, reason=sentence(reason, now), to_do=to_do)


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
        kind = f"models.{name}.limits"
        yield found("limits", FLEET_FILE, kind=kind, model=name, pools=listed(pools))
    for (subject, kind, name), pools in unmeasured.items():
        yield found("unmeasured", subject, kind=kind, ceiling=name, pools=listed(pools))


def _ceilings(
    capacity: Capacity, tenant: str, budget: Budget, model: LlmModel
) -> Iterator[tuple[str, str, str]]:
    """Subject, kind and name of each ceiling that needs the token usage of its tasks."""
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


def refusal_findings(models: Iterable[ModelView]) -> Iterator[Found]:
    """Models whose provider refuses calls, in tenths: words with each number would never rest."""
    for model in models:
        if refused := model.refused_calls_per_minute:
            share = 10 * min(math.ceil(10 * refused / (model.calls_per_minute or refused)), 10)
            severity = Severity.CRITICAL if share > _MANY_PERCENT else None
            yield found("refuses", model.key, severity=severity, share=share)


# usage of tenants without a budget is not read, and a lost connection has its own finding
_ELSEWHERE: Final = frozenset({Why.NEVER_READ, Why.DISCONNECTED})


def usage_findings(
    tenants: Mapping[str, TenantObservation], refused: RefusedEvents
) -> Iterator[Found]:
    """One finding for tenants whose usage is unreadable alike, one for refused events."""
    silent: defaultdict[Why, dict[str, Stale[TokenUsage] | Absent]] = defaultdict(dict)
    for name, seen in tenants.items():
        if not isinstance(seen.usage, Fresh) and seen.usage.why not in _ELSEWHERE:
            silent[seen.usage.why][name] = seen.usage
    for why, readings in silent.items():
        first = next(iter(readings.values()))
        yield found(
            "usage",
            "nats",
            kind=f"usage {why.value}",
            tenants=listed(list(readings)),
            known="unknown" if isinstance(first, Absent) else "stale",
            why=words_of(why),
            detail=first.detail,
        )
    for name, seen in tenants.items():
        known = last_known(seen.usage)
        if known is not None and known.remembered:
            yield found("remembered", name, tokens=round(known.remembered), tenant=name)
    if refused.count:
        yield found("refused events", "nats", count=refused.count, last=refused.last)


# a wait is told in steps, so that the text does not change with every second
_STEPS_S: Final = ((60.0, 5.0), (600.0, 30.0), (3600.0, 60.0))
_LONGEST_STEP_S: Final = 600.0


def wait_findings(
    aims: Mapping[PoolKey, float],
    rates: Iterable[QueueRates],
    decisions: Mapping[PoolKey, Decision],
    now: float,
) -> Iterator[Found]:
    """Each pool with a message that waits, or one in 20 of the last five minutes' that waited,
    longer than its aim (seconds), unless paused.
    """
    longest: dict[PoolKey, float] = {}
    for each in rates if aims else ():
        if each.pool in aims:
            oldest = 0.0 if each.oldest_at is None else now - each.oldest_at
            longest[each.pool] = max(longest.get(each.pool, 0.0), oldest, each.waited_p95_s or 0.0)
    for pool, wait_s in longest.items():
        decision, aim_s = decisions.get(pool), aims[pool]
        if wait_s > aim_s and (decision is None or decision.bound is not Bound.PAUSE):
            step_s = next((step for most, step in _STEPS_S if wait_s < most), _LONGEST_STEP_S)
            wait = duration(max(wait_s // step_s * step_s, aim_s))
            yield found("waits", pool, wait=wait, aim=duration(aim_s), pool=pool)
