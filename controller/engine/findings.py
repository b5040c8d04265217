"""Findings: conditions that need a person's attention, worst first. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from controller.model.decision import HARMLESS, Outcome, OutcomeKind
from controller.model.ids import WorkloadKind
from controller.model.observation import (
    ClusterRoom,
    Pod,
    PodPhase,
    Pods,
    TenantObservation,
    WakeWatch,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, T, Why, last_known
from controller.model.snapshot import FROZEN, Finding, Link, LinkState, PoolView, Severity
from controller.planning.gate import NOT_STARTING
from controller.planning.inputs import read_freeze

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
        *_of_links(links),
        *notices,
        *_of_nodes(capacity),
        *_of_quotas(tenants),
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


def _of_links(links: Iterable[Link]) -> Iterator[Found]:
    for link in links:
        if link.state is LinkState.DISCONNECTED:
            yield Severity.CRITICAL, link.name, "link", f"not connected: {link.detail}"


def _of_nodes(capacity: Reading[ClusterRoom]) -> Iterator[Found]:
    if (lost := _lost(capacity)) is not None:
        yield _without("nodes", "nodes", lost)


def _of_quotas(tenants: Mapping[str, TenantObservation]) -> Iterator[Found]:
    """One finding for all tenants with the same problem; a missing RBAC rule affects all alike."""
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
    if pods is not None:
        yield from _of_pods(pool, pods)
    if pool.outcome is not None and pool.outcome.kind not in HARMLESS:
        yield Severity.WARNING, pool.key, "write", failed_write(pool.outcome)
    if seen.unmarkable:
        text = (
            "its pods cannot be given a deletion cost, so Kubernetes chooses which of them go, busy"
            f" or not: {seen.unmarkable}; allow the controller to patch pods"
        )
        yield Severity.WARNING, pool.key, "drain", text
    if isinstance(seen.workload, Fresh):
        yield from _of_freeze(pool, seen.workload.value)
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


def _of_freeze(pool: PoolView, workload: Workload) -> Iterator[Found]:
    freeze = read_freeze(workload, pool.key)
    if freeze is not None:
        text = f"nothing is written: frozen by {freeze.who} ({freeze.why})"
        yield Severity.WARNING, pool.key, FROZEN, text


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


def _of_pods(pool: PoolView, pods: Pods) -> Iterator[Found]:
    stuck = [pod for pod in pods.items if _is_stuck(pod)]
    if stuck:
        worst = stuck[0]
        words = ": ".join(part for part in (worst.reason, worst.message) if part)
        yield (
            Severity.WARNING,
            pool.key,
            "pods",
            f"{len(stuck)} of {len(pods.items)} pods {worst.phase.value}: {words}",
        )


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
