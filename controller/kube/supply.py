"""The cluster's room: what pods request, what ResourceQuotas leave, what nodes hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Final, TypeVar

import msgspec

from controller.kube import wire
from controller.kube.watch import KindView, Refused, Seen
from controller.model.ids import read_selector
from controller.model.observation import ClusterRoom, NodeState
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.text import clean, clean_name
from controller.model.value import CPU, INT64_MAX, MEMORY, MILLI, UndecodableError, Value
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

T = TypeVar("T")


def requested(spec: wire.WirePodSpec) -> Resources:
    """A pod's requests of CPU and memory; None for a resource that no container requests.

    It is the sum over containers and sidecars, or the need of the init containers if that is more,
    plus the overhead of the runtime class (PodRequests in k8s.io/component-helpers). Defaults that
    a LimitRange would add are not included. Raises ValueError for an amount that cannot be read.
    """
    cpu = _of_pod(spec, CPU)
    memory = _of_pod(spec, MEMORY)
    return Resources(
        cpu_milli=None if cpu is None else rounded_up(cpu, MILLI),
        memory_bytes=None if memory is None else rounded_up(memory),
    )


def _of_pod(spec: wire.WirePodSpec, resource: str) -> Fraction | None:
    # requests of the pod as a whole (Kubernetes 1.34) replace those of its containers
    whole = spec.resources or wire.WireResourceRequirements()
    asked = _stated(whole.requests, resource)
    if asked is None:
        asked = _of_containers(spec, resource)
    if asked is None:
        asked = _stated(whole.limits, resource)
    overhead = _stated(spec.overhead, resource)
    return overhead if asked is None else asked + (overhead or 0)


def _of_containers(spec: wire.WirePodSpec, resource: str) -> Fraction | None:
    """The containers' requests: the larger of the need at start and the need while running.

    At start, init containers run one after the other, each beside the sidecars before it. Then all
    containers run beside all sidecars.
    """
    sidecars = start = Fraction(0)
    stated = False
    for container in spec.init_containers or ():
        own = _of_container(container, resource)
        stated = stated or own is not None
        if container.restart_policy == wire.SIDECAR_RESTART_POLICY:
            sidecars += own or 0
            start = max(start, sidecars)
        else:
            start = max(start, sidecars + (own or 0))
    running = [_of_container(container, resource) for container in spec.containers or ()]
    if not stated and all(own is None for own in running):
        return None
    return max(start, sidecars + sum(own for own in running if own is not None))


def asked_by(container: wire.WireContainer, resource: str) -> wire.WireQuantity | None:
    """A container's request; a limit without one counts as it (core/v1 SetDefaults_Pod)."""
    resources = container.resources or wire.WireResourceRequirements()
    request = (resources.requests or {}).get(resource)
    return (resources.limits or {}).get(resource) if request is None else request


def _of_container(container: wire.WireContainer, resource: str) -> Fraction | None:
    written = asked_by(container, resource)
    return None if written is None else exact_amount(written)


def _stated(amounts: wire.WireAmounts | None, resource: str) -> Fraction | None:
    written = None if amounts is None else amounts.get(resource)
    return None if written is None else exact_amount(written)


def refused(what: str, fault: ValueError, last: T | None = None, *, where: str = "") -> Refused[T]:
    """The refusal of an object, `what`, whose amounts are implausible or cannot be read."""
    implausible = isinstance(fault, ImplausibleAmountError)
    why = Why.IMPLAUSIBLE if implausible else Why.UNREADABLE
    return Refused(why=why, detail=clean(f"{what}: {where}{fault}"), last=last)


class QuotaView(KindView[Resources | Refused[Resources]]):
    """The quotas of one namespace. All of them apply, so the least of each amount counts. Quotas of
    `limits.*` and of other kinds of objects are ignored, because they do not limit replicas by
    their requests. Of an implausible or unreadable quota the last good amounts apply.

    `hard` is what they allow in the whole namespace, None for an amount without a limit; refused if
    one of them is. It is the same object until it changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hard: Resources | Refused[Resources] = _NO_LIMIT

    def read(self, raw: msgspec.Raw) -> Seen[Resources | Refused[Resources]]:
        """A quota; those without a readable name are one, whose name is empty."""
        name, found = wire.read(wire.WireQuota, raw) or ("", UndecodableError("it has no name"))
        known = _last(self.kept.get(name, _NO_LIMIT)) or _NO_LIMIT
        what = f"ResourceQuota {name}"
        if isinstance(found, UndecodableError):
            return Seen(name, refused(what, found, known))
        return Seen(name, _allowed(what, found, known))

    def changed(self, *_: object) -> None:
        """Take the least of each amount anew."""
        amounts = [_last(each) or _NO_LIMIT for each in self.kept.values()]
        hard = _each(_least, amounts)
        fault = next((each for each in self.kept.values() if isinstance(each, Refused)), None)
        found: Resources | Refused[Resources] = hard
        if fault is not None:
            last = None if hard == _NO_LIMIT else hard
            found = msgspec.structs.replace(fault, last=last)
        if found != self.hard:
            self.hard = found


def _last(found: T | Refused[T]) -> T | None:
    """What counts of an object."""
    return found.last if isinstance(found, Refused) else found


def quota_reading(hard: Reading[Resources], of_others: Reading[Resources]) -> Reading[Resources]:
    """What the quotas leave for the Deployments that we scale: `hard` less the use of other pods.

    Other pods count with their present requests. A quota admits a pod only if it fits beside all
    existing pods, so the result is never less than what our own pods use already. (status.used of
    the quota is not used: it may be ahead of our view of the pods or behind it, and then our own
    new pods would count as others.) Pods that were never seen, or that the fleet's selector leaves
    out, are not subtracted.
    """
    if isinstance(hard, Absent) or hard.value == _NO_LIMIT:
        return hard
    if isinstance(of_others, Absent):
        return Stale(value=hard.value, at=hard.at, why=of_others.why, detail=of_others.detail)

    def left(amounts: list[int | None]) -> int | None:
        limit, taken = amounts
        return None if limit is None else max(0, limit - (taken or 0))

    value, at = _each(left, [hard.value, of_others.value]), min(hard.at, of_others.at)
    for each in (hard, of_others):
        if isinstance(each, Stale):
            return Stale(value=value, at=at, why=each.why, detail=each.detail)
    return Fresh(value=value, at=at)


def _allowed(what: str, quota: wire.WireQuota, known: Resources) -> Resources | Refused[Resources]:
    """What the quota allows; the last good amount replaces an implausible or unreadable one."""
    spec = quota.spec or wire.WireQuotaSpec()
    if spec.scopes or spec.scope_selector is not None:
        # It applies only to some pods (of a priority class, with or without a deadline, best
        # effort). As a limit of the whole namespace it would restrict other pods too.
        return _NO_LIMIT
    hard, faults = spec.hard or {}, list[tuple[str, ValueError]]()

    def least(names: Iterable[str], last_good: int | None, per_one: int = 1) -> int | None:
        allowed: list[int | None] = []
        for name in names:
            if name in hard:
                try:
                    allowed.append(rounded_down(exact_amount(hard[name]), per_one))
                except ValueError as error:
                    faults.append((name, error))
                    allowed.append(last_good)
        return _least(allowed)

    amounts = Resources(
        replicas=least(_REPLICA_NAMES, known.replicas),
        cpu_milli=least(_CPU_NAMES, known.cpu_milli, MILLI),
        memory_bytes=least(_MEMORY_NAMES, known.memory_bytes),
    )
    for name, fault in faults:
        return refused(what, fault, amounts, where=f"{name} ")
    return amounts


def _each(
    combine: Callable[[list[int | None]], int | None], them: Iterable[Resources]
) -> Resources:
    """The resources of which each amount is combined from the same amounts of these."""
    of = tuple(them)
    return Resources(
        replicas=combine([each.replicas for each in of]),
        cpu_milli=combine([each.cpu_milli for each in of]),
        memory_bytes=combine([each.memory_bytes for each in of]),
    )


def _least(amounts: Iterable[int | None]) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)


def added(amounts: Iterable[Resources]) -> Resources:
    """The sum, capped at int64; an amount that is None counts as 0."""
    return _each(lambda of: min(INT64_MAX, sum(each or 0 for each in of)), amounts)


_KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})
# Taints that Kubernetes and its node autoscalers put on a node that takes no pods. Taints that
# people set (spot, dedicated, GPU) are ignored here: the pods meant for such nodes tolerate them.
_CLOSED_BY: Final = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node-role.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
)
# a person reads them: a node with more taints shows only these
_MOST_TAINTS: Final = 8
_NO_ROOM: Final = Resources(replicas=0, cpu_milli=0, memory_bytes=0)


class Node(Value):
    """One node: its labels, what it holds, if it takes pods; `ends`: the taint of its end."""

    labels: dict[str, str]
    state: NodeState
    ends: str = ""
    fault: Refused[ClusterRoom] | None = None


class NodeView(KindView[Node]):
    """All nodes by name. A node is open when it is Ready, not cordoned, and has no taint of
    Kubernetes itself. If a node's amounts are implausible or unreadable, its last good ones count.
    A node that was never readable counts as closed.

    The use by other pods (of other namespaces, of DaemonSets) is not subtracted: it is not known,
    because that would need a watch on all pods of the cluster. If a pod fits on no node, the
    scheduler reports it, and the pool stops growing.
    """

    def __init__(self, ending_taints: Sequence[str] = ()) -> None:
        """`ending_taints` are keys of taints, beside the usual ones, that say that a node ends."""
        super().__init__()
        self._ending_taints = tuple(ending_taints)
        self._sizes: dict[str, Resources] = {}
        self._room: ClusterRoom | Refused[ClusterRoom] = ClusterRoom()
        self._classes: tuple[NodeClass, ...] | None = None  # those of `_room` while it is valid

    def room(self, classes: tuple[NodeClass, ...]) -> ClusterRoom | Refused[ClusterRoom]:
        """What all nodes together can hold, and those of each class: the existing nodes, and those
        that the class's autoscaler may still add. Refused if one of them is. The same object while
        this does not change.
        """
        if self._classes is not classes and self._classes != classes:
            nodes = self.kept.values()
            found: ClusterRoom | Refused[ClusterRoom] = self._add_up(classes)
            if (fault := next((each.fault for each in nodes if each.fault), None)) is not None:
                is_known = any(node.state.holds is not None for node in nodes)
                found = msgspec.structs.replace(fault, last=found if is_known else None)
            if found != self._room:
                self._room = found
            self._classes = classes
        return self._room

    def read(self, raw: msgspec.Raw) -> Seen[Node] | None:
        """A node. Unreadable parts are taken from the node that is known."""
        named = wire.read(wire.WireNode, raw)
        if named is None:
            return None
        name, found = named
        known, what = self.kept.get(name), f"node {name}"
        if isinstance(found, UndecodableError):
            closed = Node(labels={}, state=NodeState(closed="it cannot be read"))
            return Seen(name, msgspec.structs.replace(known or closed, fault=refused(what, found)))
        status, spec = found.status or wire.WireNodeStatus(), found.spec or wire.WireNodeSpec()
        holds = None if known is None else known.state.holds
        fault: Refused[ClusterRoom] | None = None
        amounts = status.allocatable or {}
        try:
            holds = Resources(
                replicas=rounded_down(exact_amount(amounts.get("pods") or 0)),
                cpu_milli=rounded_down(exact_amount(amounts.get(CPU) or 0), MILLI),
                memory_bytes=rounded_down(exact_amount(amounts.get(MEMORY) or 0)),
            )
        except ValueError as error:
            fault = refused(what, error)
        labels, taints = found.metadata.labels or {}, spec.taints or ()
        state = NodeState(
            holds=holds,
            taints=tuple(
                clean_name(f"{each.key}{f'={each.value}' if each.value else ''}:{each.effect}")
                for each in taints[:_MOST_TAINTS]
            ),
            closed=_closed(spec, status),
        )
        node = Node(
            labels={clean_name(key): clean_name(value) for key, value in labels.items()},
            state=state,
            ends=ending_taint(taints, self._ending_taints),
            fault=fault,
        )
        return Seen(name, node)

    def changed(self, *_: object) -> None:
        """Make the room anew when it is asked for."""
        self._classes = None

    def _add_up(self, classes: tuple[NodeClass, ...]) -> ClusterRoom:
        members: dict[str | None, list[Node]] = {each.name: [] for each in classes}
        names: dict[str, str] = {}
        for name, node in self.kept.items():
            chosen = class_of(node.labels, classes)
            members.setdefault(chosen, []).append(node)
            names[name] = chosen or ""
        rooms: dict[str, Resources] = {}
        for each in classes:
            nodes = members[each.name]
            holds = (node.state.holds for node in nodes)
            if sizes := [each for each in holds if each and each.cpu_milli]:
                self._sizes[each.name] = _each(lambda of: min(each or 0 for each in of), sizes)
            rooms[each.name] = class_room(nodes, each, self._sizes.get(each.name))
        others = added(_open(members.get(None, ())))
        total = _NO_LIMIT if _NO_LIMIT in rooms.values() else added([others, *rooms.values()])
        states = {name: node.state for name, node in self.kept.items()}
        ending = {name: node.ends for name, node in self.kept.items() if node.ends}
        return ClusterRoom(
            resources=total, classes=rooms, nodes=names, states=states, ending=ending
        )


def class_of(labels: dict[str, str], classes: Sequence[NodeClass]) -> str | None:
    """The first class whose selector matches, else the first without one; or None."""
    chosen = (
        each.name for each in classes if each.selector and read_selector(each.selector)(labels)
    )
    rest = (each.name for each in classes if not each.selector)
    return next(chosen, next(rest, None))


def class_room(nodes: Sequence[Node], limits: NodeClass, size: Resources | None) -> Resources:
    """What the open nodes of a class hold, plus the nodes that its autoscaler may still add.

    An added node counts with `size`, the smallest node of the class when it last had nodes. If none
    was ever seen and some may be added, the room is not known, so there is no limit. Without
    `max_nodes` the class has its existing nodes, or at least `min_nodes`.
    """
    most = limits.min_nodes if limits.max_nodes is None else limits.max_nodes
    more = max(0, most - len(nodes))
    if more and size is None:
        return _NO_LIMIT
    wanted = _each(lambda of: (of[0] or 0) * more, [size or _NO_ROOM])
    return added([*_open(nodes), wanted])


def _open(nodes: Iterable[Node]) -> list[Resources]:
    """What each of the nodes that take pods can hold."""
    return [each.state.holds for each in nodes if each.state.holds and not each.state.closed]


def _closed(spec: wire.WireNodeSpec, status: wire.WireNodeStatus) -> str:
    """Why the node takes no pods, in words; empty if it takes them."""
    if not any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()):
        return "not Ready"
    if spec.unschedulable:
        return "cordoned"
    for each in spec.taints or ():
        if each.effect in _KEEPS_AWAY and each.key.startswith(_CLOSED_BY):
            return f"tainted {clean_name(each.key)}"
    return ""


ENDING_TAINTS: Final = (
    # the cluster autoscaler, just before it drains and deletes the node
    "ToBeDeletedByClusterAutoscaler",
    # Karpenter, before it drains the node: since v1, and before
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # AWS node termination handler: spot interruption, scheduled event, end of its scaling group
    "aws-node-termination-handler/",
    # GKE: the machine is preempted or shut down
    "cloud.google.com/impending-node-termination",
    # Kubernetes and its cloud controllers: the machine is down
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
)
"""Keys, or with `/` at their end the beginnings of keys. Taints of whole groups of nodes, such as
`kubernetes.azure.com/scalesetpriority`, say only that a node may end some day.
"""


def ending_taint(taints: Iterable[wire.WireTaint], further: Iterable[str]) -> str:
    """The first taint's key that says that its node ends, of ours or `further`; or empty."""
    signs = (*ENDING_TAINTS, *further)
    whole = frozenset(sign for sign in signs if not sign.endswith("/"))
    beginnings = tuple(sign for sign in signs if sign.endswith("/"))
    keys = (each.key for each in taints if each.key in whole or each.key.startswith(beginnings))
    return clean_name(next(keys, ""))
