"""Which Deployment has another autoscaler, by what the cluster has of them now."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from controller.kube.rivals import RivalView
from controller.model.ids import WorkloadKind, WorkloadName


def autoscaler(name: str, target: str, **more: Any) -> msgspec.Raw:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    metadata = {"name": name, "annotations": more.pop("annotations", None)}
    spec = {"scaleTargetRef": reference | more, "maxReplicas": 9}
    return msgspec.Raw(json.dumps({"metadata": metadata, "spec": spec}).encode())


class Seen:
    """A view, and the Deployments it reported."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.view = RivalView(
            "HorizontalPodAutoscaler", lambda workload: self.changed.append(workload.name)
        )


def test_those_of_other_kinds_and_paused_ones_scale_no_deployment() -> None:
    seen = Seen()
    paused = {"autoscaling.keda.sh/paused": "true"}
    seen.view.replace(
        [
            autoscaler("a", "research", kind="StatefulSet"),
            autoscaler("b", "research", annotations=paused),
            msgspec.Raw(b'{"metadata":{"name":"c"},"spec":{}}'),
            msgspec.Raw(b"[[["),
        ]
    )
    assert seen.view.of(WorkloadName("research")) == ""
    stateful = WorkloadName("research", WorkloadKind.STATEFUL_SET)
    assert seen.view.of(stateful) == "HorizontalPodAutoscaler a"
    resumed = {"autoscaling.keda.sh/paused": "false"}
    seen.view.put(autoscaler("b", "research", annotations=resumed))
    assert seen.view.of(WorkloadName("research")) == "HorizontalPodAutoscaler b"
