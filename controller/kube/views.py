"""The views of one namespace's workloads and pods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

import msgspec

from controller.kube.measured_pods import MeasuredPods
from controller.kube.objects import (
    PodRecord,
    RefusedObject,
    SuspectWorkload,
    UnnamedObject,
    counted,
    deployment_record,
    pod_record,
    statefulset_record,
)
from controller.kube.quotas import NamespaceUsage
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import DELETED_FIRST, Pod, Pods, Workload
from controller.model.rights import FIELD_MANAGER
from controller.ports import Clock

Changed: TypeAlias = Callable[[WorkloadName], None]
"""Called with the workload that changed, or whose pods did."""
_Found: TypeAlias = Workload | SuspectWorkload | RefusedObject
_RECORDS: Final = {
    WorkloadKind.DEPLOYMENT: deployment_record,
    WorkloadKind.STATEFUL_SET: statefulset_record,
}


class WorkloadView:
    """The Deployments of one namespace by name, or its StatefulSets.

    The answer to our own write is taken over at once (`applied`), and an older event does not undo
    it. A workload with implausible requests keeps the last good ones; if it has none, it is
    refused. An object without a readable name is ignored.
    """

    def __init__(
        self,
        changed: Changed,
        written: Changed = lambda _workload: None,
        kind: WorkloadKind = WorkloadKind.DEPLOYMENT,
    ) -> None:
        """`changed` is called after an event, `written` after a write of our own."""
        self._changed = changed
        self._notify_written = written
        self._kind = kind
        self._record = _RECORDS[kind]
        self._found: dict[str, _Found] = {}
        self._believed: dict[str, Workload] = {}
        self._written: dict[str, int] = {}

    def get(self, name: str) -> _Found | None:
        """The workload, or its fault; None if there is none, or it is being deleted."""
        return self._found.get(name)

    def names(self) -> tuple[str, ...]:
        """The names of all of them."""
        return tuple(self._found)

    def count(self) -> int:
        """How many it has."""
        return len(self._found)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        names = {self._take(found) for found in objects}
        for name in self._found.keys() - names:
            self._drop(name)

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        record = self._record(gone)
        if not isinstance(record, UnnamedObject):
            self._drop(record.name)

    def reread(self, found: msgspec.Raw) -> None:
        """One was read by itself; an older state than the known one is ignored."""
        record = self._record(found)
        if isinstance(record, UnnamedObject):
            return
        known, read = self._found.get(record.name), record.found
        if isinstance(known, Workload) and isinstance(read, Workload) and _is_newer(known, read):
            return
        self._take(found)

    def applied(self, name: str, uid: str, replicas: int, version: str) -> None:
        """Take over the result of our own write. If its version cannot be compared with the known
        one, it is ignored, and the watch reports it later.
        """
        known = self._found.get(name)
        if not isinstance(known, Workload) or known.uid != uid:
            return
        if not (version.isdecimal() and known.resource_version.isdecimal()):
            return
        if int(known.resource_version) >= int(version):
            return  # the watch was faster
        self._written[name] = int(version)
        # the server counts each change of a spec
        generation = known.generation + (replicas != known.replicas)
        self._found[name] = msgspec.structs.replace(
            known,
            replicas=replicas,
            resource_version=version,
            generation=generation,
            sized_by=FIELD_MANAGER,
        )
        self._notify_written(WorkloadName(name, self._kind))

    def _take(self, found: msgspec.Raw) -> str | None:
        record = self._record(found)
        if isinstance(record, UnnamedObject):
            return None
        name = record.name
        if record.found is None:
            self._drop(name)
        elif not self._is_outdated(name, record.found):
            self._written.pop(name, None)
            believed = self._with_known_requests(name, record.found)
            if self._found.get(name) != believed:
                self._found[name] = believed
                self._changed(WorkloadName(name, self._kind))
        return name

    def _with_known_requests(self, name: str, found: _Found) -> _Found:
        if isinstance(found, Workload):
            self._believed[name] = found
            return found
        if isinstance(found, RefusedObject):
            return found
        known = self._believed.get(name)
        if known is None or known.uid != found.workload.uid:
            return RefusedObject(why=found.why, detail=found.detail)
        workload = msgspec.structs.replace(found.workload, requests=known.requests)
        return msgspec.structs.replace(found, workload=workload)

    def _is_outdated(self, name: str, found: _Found) -> bool:
        """Whether this state of the workload is older than our own last write to it."""
        written = self._written.get(name)
        if written is None or isinstance(found, RefusedObject):
            return False
        workload = found.workload if isinstance(found, SuspectWorkload) else found
        return workload.resource_version.isdecimal() and int(workload.resource_version) < written

    def _drop(self, name: str) -> None:
        self._written.pop(name, None)
        self._believed.pop(name, None)
        if self._found.pop(name, None) is not None:
            self._changed(WorkloadName(name, self._kind))


def _is_newer(known: Workload, other: Workload) -> bool:
    """Whether the known state is newer; versions are opaque, so only numbers are compared."""
    ours, theirs = known.resource_version, other.resource_version
    return ours.isdecimal() and theirs.isdecimal() and int(ours) > int(theirs)


_PodsByName: TypeAlias = dict[str, Pod | RefusedObject]


class PodView:
    """The pods of one namespace by workload; they are counted again only when one changes.

    `usage` is the quota usage of all pods, also of those without a workload. `measured` has the
    pods of the measured workloads as the HPA sees them.
    """

    def __init__(
        self, changed: Changed, measured: Collection[WorkloadName] = (), clock: Clock | None = None
    ) -> None:
        """Without a clock it is not noted when a pod was marked."""
        self._changed = changed
        self._clock = clock
        self._owner: dict[str, WorkloadName] = {}
        self._pods: defaultdict[WorkloadName, _PodsByName] = defaultdict(dict)
        self._counted: dict[WorkloadName, Pods | RefusedObject] = {}
        self.measured = MeasuredPods(measured)
        self.usage = NamespaceUsage()

    def get(self, workload: WorkloadName) -> Pods | RefusedObject:
        """The workload's pods, or the one of them that cannot be read."""
        known = self._counted.get(workload)
        if known is None:
            known = self._counted[workload] = _count(self._pods.get(workload, {}))
        return known

    def count(self) -> int:
        """How many pods it has that belong to a workload."""
        return len(self._owner)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        names = {self._take(found) for found in objects}
        for name in self._owner.keys() - names:
            self._drop(name)
        self.usage.keep(names)

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        record = pod_record(gone)
        if not isinstance(record, UnnamedObject):
            self._drop(record.name)
            self.usage.drop(record.name)

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times at which pods were marked."""
        for workload, pods in self._pods.items():
            marked = {
                name: msgspec.structs.replace(found, marked_at=found.marked_at + seconds)
                for name, found in pods.items()
                if isinstance(found, Pod) and found.marked_at is not None
            }
            if marked:
                pods.update(marked)
                self._recount(workload)

    def _take(self, found: msgspec.Raw) -> str | None:
        record = pod_record(found)
        if isinstance(record, UnnamedObject):
            return None
        self.usage.put(record.name, record.workload, record.takes)
        if self._owner.get(record.name) != record.workload:
            self._drop(record.name)
        if record.workload is not None:
            self.measured.put(record.name, record.workload, found)
            self._keep(record, record.workload)
        return record.name

    def _keep(self, record: PodRecord, workload: WorkloadName) -> None:
        pods = self._pods[workload]
        found = self._with_time_of_mark(record.found, pods.get(record.name))
        if pods.get(record.name) != found:
            pods[record.name] = found
            self._owner[record.name] = workload
            self._recount(workload)

    def _with_time_of_mark(
        self, found: Pod | RefusedObject, known: Pod | RefusedObject | None
    ) -> Pod | RefusedObject:
        if self._clock is None or not isinstance(found, Pod):
            return found
        if found.deletion_cost != DELETED_FIRST:
            return found
        marked_at = known.marked_at if isinstance(known, Pod) else None
        if marked_at is None:
            marked_at = self._clock.now()
        return msgspec.structs.replace(found, marked_at=marked_at)

    def _drop(self, name: str) -> None:
        workload = self._owner.pop(name, None)
        if workload is None:
            return
        self.measured.drop(name, workload)
        del self._pods[workload][name]
        if not self._pods[workload]:
            del self._pods[workload]
        self._recount(workload)

    def _recount(self, workload: WorkloadName) -> None:
        self._counted.pop(workload, None)
        self._changed(workload)


def _count(pods: _PodsByName) -> Pods | RefusedObject:
    for found in pods.values():
        if isinstance(found, RefusedObject):
            return found
    return counted(pod for pod in pods.values() if isinstance(pod, Pod))
