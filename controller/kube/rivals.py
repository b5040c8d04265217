"""Other autoscalers of our workloads: HorizontalPodAutoscalers and KEDA's ScaledObjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.text import clean_name

KEDA_PAUSED: Final = "autoscaling.keda.sh/paused"
"""KEDA removes the HPA of a ScaledObject with this annotation and leaves its target alone
(kedacore/keda, apis/keda/v1alpha1/scaledobject_types.go)."""
_KINDS: Final = frozenset(WorkloadKind)


class _Target(wire.WireObject):
    """autoscaling/v2 CrossVersionObjectReference, and KEDA's ScaleTarget."""

    name: str
    kind: str | None = None


class _ScalingSpec(wire.WireObject):
    """The part of the specification that both kinds share."""

    scale_target_ref: _Target


class _Autoscaler(wire.WireObject):
    """autoscaling/v2 HorizontalPodAutoscaler, keda.sh/v1alpha1 ScaledObject."""

    metadata: wire.WireDeploymentMetadata
    spec: _ScalingSpec


_AUTOSCALER: Final = msgspec.json.Decoder(_Autoscaler)


class RivalView:
    """The autoscalers of one kind in one namespace, by the workload that they scale. One that
    cannot be read, or that is paused, scales none.
    """

    def __init__(self, kind: str, changed: Callable[[WorkloadName], None]) -> None:
        """`changed` is called with a workload that got or lost an autoscaler."""
        self._kind = kind
        self._changed = changed
        self._targets: dict[str, WorkloadName | None] = {}
        self._rivals: dict[WorkloadName, set[str]] = {}

    def of(self, workload: WorkloadName) -> str:
        """The workload's autoscaler, as kind and name; empty if it has none."""
        rivals = self._rivals.get(workload)
        return f"{self._kind} {min(rivals)}" if rivals else ""

    def count(self) -> int:
        """How many autoscalers it has."""
        return len(self._targets)

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        names = {self._take(found) for found in objects}
        for name in self._targets.keys() - names:
            self._aim(name, None)
            del self._targets[name]

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        try:
            name = clean_name(decoded(wire.IDENTIFIED, gone).metadata.name)
        except UndecodableError:
            return
        self._aim(name, None)
        self._targets.pop(name, None)

    def _take(self, found: msgspec.Raw) -> str:
        try:
            autoscaler = decoded(_AUTOSCALER, found)
        except UndecodableError:
            return ""
        name, reference = clean_name(autoscaler.metadata.name), autoscaler.spec.scale_target_ref
        paused = (autoscaler.metadata.annotations or {}).get(KEDA_PAUSED, "false") != "false"
        kind = reference.kind or WorkloadKind.DEPLOYMENT
        target = None
        if kind in _KINDS and not paused:
            target = WorkloadName(clean_name(reference.name), WorkloadKind(kind))
        self._aim(name, target)
        return name

    def _aim(self, name: str, workload: WorkloadName | None) -> None:
        """Note what this autoscaler scales now."""
        before = self._targets.get(name)
        self._targets[name] = workload
        if before == workload:
            return
        if before is not None:
            self._rivals[before].discard(name)
            self._changed(before)
        if workload is not None:
            self._rivals.setdefault(workload, set()).add(name)
            self._changed(workload)
