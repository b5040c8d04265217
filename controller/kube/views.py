"""One namespace's Deployments and pods as values, indexed by what a pool asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import msgspec

from controller.kube.metrics_pods import MeasuredPods
from controller.kube.objects import (
    PodRecord,
    RefusedObject,
    UnnamedObject,
    counted,
    deployment_record,
    pod_record,
)
from controller.kube.usage import NamespaceUsage
from controller.model.observation import Pod, Pods, Workload

Changed: TypeAlias = Callable[[str], None]
"""Called with the name of the Deployment that changed, or whose pods did."""


class DeploymentView:
    """The Deployments of one namespace by name.

    A write's answer is applied at once (`applied`), and no older event takes it back.
    An object without a readable name is nobody's and is left out.
    """

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._found: dict[str, Workload | RefusedObject] = {}
        self._written: dict[str, int] = {}

    def get(self, name: str) -> Workload | RefusedObject | None:
        """The Deployment, what is wrong with it, or None: there is none to be scaled."""
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
        """A write succeeded: what it made of the object. Versions that cannot be compared are left
        to the watch.
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

    def _take(self, found: msgspec.Raw) -> str | None:
        record = deployment_record(found)
        if isinstance(record, UnnamedObject):
            return None
        if record.found is None:
            self._drop(record.name)
        elif not self._outdated(record.name, record.found):
            self._written.pop(record.name, None)
            if self._found.get(record.name) != record.found:
                self._found[record.name] = record.found
                self._changed(record.name)
        return record.name

    def _outdated(self, name: str, found: Workload | RefusedObject) -> bool:
        """Older than what our own write made of it."""
        written = self._written.get(name)
        if written is None or not isinstance(found, Workload):
            return False
        return found.resource_version.isdecimal() and int(found.resource_version) < written

    def _drop(self, name: str) -> None:
        self._written.pop(name, None)
        if self._found.pop(name, None) is not None:
            self._changed(name)


_Namesakes: TypeAlias = dict[str, Pod | RefusedObject]


class PodView:
    """The pods of one namespace, counted by Deployment; a count is made anew only when one of its
    pods changed. `usage` is what all of them take, those without a Deployment too; `measured` are
    the pods of the Deployments named so, as the HPA sees them.
    """

    def __init__(self, changed: Changed, measured: Collection[str] = ()) -> None:
        self._changed = changed
        self.measured = MeasuredPods(measured)
        self._owner: dict[str, str] = {}
        self._pods: defaultdict[str, _Namesakes] = defaultdict(dict)
        self._counted: dict[str, Pods | RefusedObject] = {}
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
            self._keep(record, record.deployment)
            self.measured.put(record.name, record.deployment, found)
        return record.name

    def _keep(self, record: PodRecord, deployment: str) -> None:
        pods = self._pods[deployment]
        if pods.get(record.name) != record.found:
            pods[record.name] = record.found
            self._owner[record.name] = deployment
            self._touch(deployment)

    def _drop(self, name: str) -> None:
        deployment = self._owner.pop(name, None)
        if deployment is None:
            return
        self.measured.drop(name, deployment)
        del self._pods[deployment][name]
        if not self._pods[deployment]:
            del self._pods[deployment]
        self._touch(deployment)

    def _touch(self, deployment: str) -> None:
        self._counted.pop(deployment, None)
        self._changed(deployment)


def _count(pods: _Namesakes) -> Pods | RefusedObject:
    for found in pods.values():
        if isinstance(found, RefusedObject):
            return found
    return counted(pod for pod in pods.values() if isinstance(pod, Pod))
