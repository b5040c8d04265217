"""What pods request, what the ResourceQuotas of their namespace allow, and what these leave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, KeysView
from fractions import Fraction
from typing import Final, TypeAlias

import msgspec

from controller.kube import wire
from controller.kube.watch import KindView, RefusedObject, Seen, seen
from controller.model.decoding import UndecodableError
from controller.model.ids import WorkloadName
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.text import clean
from controller.model.value import CPU, INT64_MAX, MEMORY, MILLI
from controller.notation.quantity import (
    ImplausibleAmountError,
    exact_amount,
    rounded_down,
    rounded_up,
)

# core/v1 ResourceName: different names for the same amount in a quota
_REPLICA_NAMES: Final = ("pods", "count/pods")
_CPU_NAMES: Final = ("requests.cpu", CPU)
_MEMORY_NAMES: Final = ("requests.memory", MEMORY)
_NO_LIMIT: Final = Resources()


_Amount: TypeAlias = Callable[[wire.WireAmounts], wire.WireQuantity | None]


def requested(spec: wire.WirePodSpec) -> Resources:
    """A pod's requests of CPU and memory; None for a resource that no container requests.

    It is the sum over containers and sidecars, or the need of the init containers if that is more,
    plus the overhead of the runtime class (PodRequests in k8s.io/component-helpers). Defaults that
    a LimitRange would add are not included. Raises ValueError for an amount that cannot be read.
    """
    cpu = _of_pod(spec, lambda amounts: amounts.cpu)
    memory = _of_pod(spec, lambda amounts: amounts.memory)
    return Resources(
        cpu_milli=None if cpu is None else rounded_up(cpu, MILLI),
        memory_bytes=None if memory is None else rounded_up(memory),
    )


def _of_pod(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    # requests of the pod as a whole (Kubernetes 1.34) replace those of its containers
    whole = spec.resources or wire.WireResourceRequirements()
    asked = _stated(whole.requests, amount)
    if asked is None:
        asked = _of_containers(spec, amount)
    if asked is None:
        asked = _stated(whole.limits, amount)
    overhead = _stated(spec.overhead, amount)
    return overhead if asked is None else asked + (overhead or 0)


def _of_containers(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    """The containers' requests: the larger of the need at start and the need while running.

    At start, init containers run one after the other, each beside the sidecars before it. Then all
    containers run beside all sidecars.
    """
    sidecars = start = Fraction(0)
    stated = False
    for container in spec.init_containers or ():
        own = _of_container(container, amount)
        stated = stated or own is not None
        if container.restart_policy == wire.SIDECAR_RESTART_POLICY:
            sidecars += own or 0
            start = max(start, sidecars)
        else:
            start = max(start, sidecars + (own or 0))
    running = [_of_container(container, amount) for container in spec.containers or ()]
    if not stated and all(own is None for own in running):
        return None
    return max(start, sidecars + sum(own for own in running if own is not None))


def _of_container(container: wire.WireContainer, amount: _Amount) -> Fraction | None:
    """A limit without a request counts as the request (SetDefaults_Pod in core/v1)."""
    resources = container.resources or wire.WireResourceRequirements()
    asked = _stated(resources.requests, amount)
    return _stated(resources.limits, amount) if asked is None else asked


def _stated(amounts: wire.WireAmounts | None, amount: _Amount) -> Fraction | None:
    written = None if amounts is None else amount(amounts)
    return None if written is None else exact_amount(written)


class QuotaView(KindView[Seen[wire.WireQuota]]):
    """The quotas of one namespace. All of them apply, so the least of each amount counts. Quotas of
    `limits.*` and of other kinds of objects are ignored, because they do not limit replicas by
    their requests.

    If a quota or one of its amounts is implausible or unreadable, its last good amounts apply, and
    `refused` says what is wrong.
    """

    def __init__(self) -> None:
        self._amounts: dict[str, Resources] = {}
        self._refused: dict[str, RefusedObject] = {}
        self._hard = _NO_LIMIT

    @property
    def hard(self) -> Resources:
        """What the quotas allow in the whole namespace; None for an amount without a limit. The
        same object until it changes.
        """
        return self._hard

    @property
    def refused(self) -> RefusedObject | None:
        """What is wrong with the first implausible or unreadable quota; None if there is none."""
        return next(iter(self._refused.values()), None)

    def names(self) -> Collection[str]:
        """The names of all quotas."""
        return self._amounts.keys()

    def read(self, raw: msgspec.Raw) -> Seen[wire.WireQuota]:
        """A quota; those without a readable name are one, whose name is empty."""
        unnamed = UndecodableError("its name cannot be read")
        return seen(wire.QUOTA, raw) or Seen("", unnamed)

    def take(self, record: Seen[wire.WireQuota]) -> None:
        """One was added or changed."""
        name, found = record
        known, faults = self._amounts.get(name, _NO_LIMIT), _Faults()
        if isinstance(found, UndecodableError):
            self._amounts[name] = known
            faults.note(found)
        else:
            self._amounts[name] = _amounts(found, known, faults)
        refused = faults.refusal(name)
        if refused is None:
            self._refused.pop(name, None)
        elif refused != self._refused.get(name):
            self._refused[name] = refused
        self._add_up()

    def drop(self, name: str) -> None:
        """One is gone."""
        self._amounts.pop(name, None)
        self._refused.pop(name, None)
        self._add_up()

    def _add_up(self) -> None:
        amounts = self._amounts.values()
        hard = Resources(
            replicas=_least(each.replicas for each in amounts),
            cpu_milli=_least(each.cpu_milli for each in amounts),
            memory_bytes=_least(each.memory_bytes for each in amounts),
        )
        if hard != self._hard:
            self._hard = hard


def quota_reading(
    hard: Reading[Resources], refused: RefusedObject | None, of_others: Reading[Resources]
) -> Reading[Resources]:
    """What the quotas leave for the Deployments that we scale: `hard` less the use of other pods.

    Other pods count with their present requests. A quota admits a pod only if it fits beside all
    existing pods, so the result is never less than what our own pods use already. (status.used of
    the quota is not used: it may be ahead of our view of the pods or behind it, and then our own
    new pods would count as others.) Pods that were never seen, or that the fleet's selector leaves
    out, are not subtracted.

    A refused quota makes the reading Stale, and its last known amounts still apply. Without any
    known amount the reading is Absent.
    """
    if isinstance(hard, Absent):
        return hard
    if refused is not None and hard.value == _NO_LIMIT:
        return Absent(why=refused.why, at=hard.at, detail=refused.detail)
    reading = _beside(hard, of_others)
    if refused is not None and isinstance(reading, Fresh):
        return Stale(value=reading.value, at=reading.at, why=refused.why, detail=refused.detail)
    return reading


def _beside(
    hard: Fresh[Resources] | Stale[Resources], of_others: Reading[Resources]
) -> Fresh[Resources] | Stale[Resources]:
    """What is left of `hard` after the use of other pods."""
    value, at = hard.value, hard.at
    if value == _NO_LIMIT:
        return hard
    if isinstance(of_others, Absent):
        return Stale(value=value, at=at, why=of_others.why, detail=of_others.detail)
    value, at = _left(value, of_others.value), min(at, of_others.at)
    for each in (hard, of_others):
        if isinstance(each, Stale):
            return Stale(value=value, at=at, why=each.why, detail=each.detail)
    return Fresh(value=value, at=at)


class _Faults:
    """The faults of one quota; only the first is kept."""

    def __init__(self) -> None:
        self._first: Exception | None = None
        self._where = ""

    def note(self, error: Exception, where: str = "") -> None:
        if self._first is None:
            self._first, self._where = error, where

    def refusal(self, quota: str) -> RefusedObject | None:
        """The refusal for the first fault; None without faults."""
        if self._first is None:
            return None
        implausible = isinstance(self._first, ImplausibleAmountError)
        where = f"{self._where} " if self._where else ""
        return RefusedObject(
            why=Why.IMPLAUSIBLE if implausible else Why.UNREADABLE,
            detail=clean(f"ResourceQuota {quota}: {where}{self._first}"),
        )


def _amounts(quota: wire.WireQuota, known: Resources, faults: _Faults) -> Resources:
    """What the quota allows; the last good amount replaces an implausible or unreadable one."""
    spec = quota.spec or wire.WireQuotaSpec()
    if spec.scopes or spec.scope_selector is not None:
        # It applies only to some pods (of a priority class, with or without a deadline, best
        # effort). As a limit of the whole namespace it would restrict other pods too.
        return _NO_LIMIT
    hard = spec.hard or {}

    def least(names: Iterable[str], last_good: int | None, per_one: int = 1) -> int | None:
        allowed: list[int | None] = []
        for name in names:
            if name in hard:
                try:
                    allowed.append(rounded_down(exact_amount(hard[name]), per_one))
                except ValueError as error:
                    faults.note(error, name)
                    allowed.append(last_good)
        return _least(allowed)

    return Resources(
        replicas=least(_REPLICA_NAMES, known.replicas),
        cpu_milli=least(_CPU_NAMES, known.cpu_milli, MILLI),
        memory_bytes=least(_MEMORY_NAMES, known.memory_bytes),
    )


def _left(hard: Resources, taken: Resources) -> Resources:
    """What a quota leaves after the use of others, not below 0."""
    return Resources(
        replicas=_minus(hard.replicas, taken.replicas),
        cpu_milli=_minus(hard.cpu_milli, taken.cpu_milli),
        memory_bytes=_minus(hard.memory_bytes, taken.memory_bytes),
    )


def _least(amounts: Iterable[int | None]) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def _minus(limit: int | None, taken: int | None) -> int | None:
    return None if limit is None else max(0, limit - (taken or 0))


class NamespaceUsage:
    """The quota usage of each pod of the namespace. A sum is computed on demand, and kept until a
    pod that counts in it changes.
    """

    def __init__(self) -> None:
        self._takes: dict[str, tuple[WorkloadName | None, Resources]] = {}
        self._sums: dict[frozenset[WorkloadName], Resources] = {}

    def put(self, pod: str, workload: WorkloadName | None, takes: Resources | None) -> None:
        """Set the pod's usage; None if it uses nothing any more."""
        if takes is None:
            self.drop(pod)
            return
        known = self._takes.get(pod)
        if known != (workload, takes):
            if known is not None:
                self._forget_sums(known[0])
            self._takes[pod] = workload, takes
            self._forget_sums(workload)

    def drop(self, pod: str) -> None:
        """Remove the pod."""
        known = self._takes.pop(pod, None)
        if known is not None:
            self._forget_sums(known[0])

    def pods(self) -> KeysView[str]:
        """The pods that use something."""
        return self._takes.keys()

    def of_others(self, workloads: frozenset[WorkloadName]) -> Resources:
        """The total usage of the pods that belong to none of these workloads."""
        known = self._sums.get(workloads)
        if known is None:
            others = [takes for owner, takes in self._takes.values() if owner not in workloads]
            known = self._sums[workloads] = added(others)
        return known

    def _forget_sums(self, owner: WorkloadName | None) -> None:
        """Drop the sums that include the pods of this owner."""
        for workloads in [each for each in self._sums if owner not in each]:
            del self._sums[workloads]


def added(amounts: list[Resources]) -> Resources:
    """The sum, capped at int64; an amount that is None counts as 0."""
    return Resources(
        replicas=min(INT64_MAX, sum(each.replicas or 0 for each in amounts)),
        cpu_milli=min(INT64_MAX, sum(each.cpu_milli or 0 for each in amounts)),
        memory_bytes=min(INT64_MAX, sum(each.memory_bytes or 0 for each in amounts)),
    )
