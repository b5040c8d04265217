"""The views of one namespace's Deployments and pods, by the Deployment's name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import msgspec

from controller.kube.metrics_pods import MeasuredPods
from controller.kube.objects import (
    PodRecord,
    RefusedObject,
    SuspectWorkload,
    UnnamedObject,
    counted,
    deployment_record,
    pod_record,
)
from controller.kube.usage import NamespaceUsage
from controller.model.observation import Pod, Pods, Workload

Changed: TypeAlias = Callable[[str], None]
"""Called with the name of the Deployment that changed, or whose pods did."""
_Found: TypeAlias = Workload | SuspectWorkload | RefusedObject


class DeploymentView:
    """The Deployments of one namespace by name.

    The answer to our own write is taken over at once (`applied`), and an older event does not undo
    it. A Deployment with implausible requests keeps the last good ones; if it has none, it is
    refused. An object without a readable name is ignored.
    """

    def __init__(self, changed: Changed, written: Changed = lambda _name: None) -> None:
        """`changed` is called after an event, `written` after a write of our own."""
        self._changed = changed
        self._notify_written = written
        self._found: dict[str, _Found] = {}
        self._believed: dict[str, Workload] = {}
        self._written: dict[str, int] = {}

    def get(self, name: str) -> _Found | None:
        """The Deployment, or its fault; None if there is none, or it is being deleted."""
        return self._found.get(name)

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
        record = deployment_record(gone)
        if not isinstance(record, UnnamedObject):
            self._drop(record.name)

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
        self._found[name] = msgspec.structs.replace(
            known, replicas=replicas, resource_version=version
        )
        self._notify_written(name)

    def _take(self, found: msgspec.Raw) -> str | None:
        record = deployment_record(found)
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
                self._changed(name)
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
        """Whether this state of the Deployment is older than our own last write to it."""
        written = self._written.get(name)
        if written is None or isinstance(found, RefusedObject):
            return False
        workload = found.workload if isinstance(found, SuspectWorkload) else found
        return workload.resource_version.isdecimal() and int(workload.resource_version) < written

    def _drop(self, name: str) -> None:
        self._written.pop(name, None)
        self._believed.pop(name, None)
        if self._found.pop(name, None) is not None:
            self._changed(name)


_PodsByName: TypeAlias = dict[str, Pod | RefusedObject]


class PodView:
    """The pods of one namespace by Deployment; they are counted again only when one changes.

    `usage` is the quota usage of all pods, also of those without a Deployment. `measured` has the
    pods of the measured Deployments as the HPA sees them.
    """

    def __init__(self, changed: Changed, measured: Collection[str] = ()) -> None:
        self._changed = changed
        self._owner: dict[str, str] = {}
        self._pods: defaultdict[str, _PodsByName] = defaultdict(dict)
        self._counted: dict[str, Pods | RefusedObject] = {}
        self.measured = MeasuredPods(measured)
        self.usage = NamespaceUsage()

    def get(self, deployment: str) -> Pods | RefusedObject:
        """The Deployment's pods, or the one of them that cannot be read."""
        known = self._counted.get(deployment)
        if known is None:
            known = self._counted[deployment] = _count(self._pods.get(deployment, {}))
        return known

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

    def _take(self, found: msgspec.Raw) -> str | None:
        record = pod_record(found)
        if isinstance(record, UnnamedObject):
            return None
        self.usage.put(record.name, record.deployment, record.takes)
        if self._owner.get(record.name) != record.deployment:
            self._drop(record.name)
        if record.deployment is not None:
            self.measured.put(record.name, record.deployment, found)
            self._keep(record, record.deployment)
        return record.name

    def _keep(self, record: PodRecord, deployment: str) -> None:
        pods = self._pods[deployment]
        if pods.get(record.name) != record.found:
            pods[record.name] = record.found
            self._owner[record.name] = deployment
            self._recount(deployment)

    def _drop(self, name: str) -> None:
        deployment = self._owner.pop(name, None)
        if deployment is None:
            return
        self.measured.drop(name, deployment)
        del self._pods[deployment][name]
        if not self._pods[deployment]:
            del self._pods[deployment]
        self._recount(deployment)

    def _recount(self, deployment: str) -> None:
        self._counted.pop(deployment, None)
        self._changed(deployment)


def _count(pods: _PodsByName) -> Pods | RefusedObject:
    for found in pods.values():
        if isinstance(found, RefusedObject):
            return found
    return counted(pod for pod in pods.values() if isinstance(pod, Pod))
