"""The few fields we read of Kubernetes objects, as they stand in the JSON; all else is skipped.

Every field may be missing or null, as Go writes them; what none of this fits is refused by itself.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

Quantity: TypeAlias = str | int | float
"""resource.Quantity. The API server writes strings; whoever writes the objects may not."""


class _Wire(msgspec.Struct, rename="camel"):
    pass


class OwnerReference(_Wire):
    """metav1.OwnerReference."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(_Wire):
    """metav1.ObjectMeta."""

    name: str
    resource_version: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class Identified(_Wire):
    """Enough of any object to name it, even if the rest of it is odd."""

    metadata: Metadata


class Versioned(_Wire):
    """Enough of a watch line's object to resume after it; a bookmark has nothing else."""

    metadata: VersionMetadata


class VersionMetadata(_Wire):
    """The version alone."""

    resource_version: str


class Condition(_Wire):
    """A condition of a Deployment, a pod or a node."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class Amounts(_Wire):
    """core/v1 ResourceList, as far as we count."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    pods: Quantity | None = None


class ResourceRequirements(_Wire):
    """core/v1 ResourceRequirements."""

    requests: Amounts | None = None
    limits: Amounts | None = None


class Container(_Wire):
    """core/v1 Container."""

    resources: ResourceRequirements | None = None
    restart_policy: str | None = None


class PodSpec(_Wire):
    """core/v1 PodSpec."""

    node_name: str | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    resources: ResourceRequirements | None = None
    overhead: Amounts | None = None


class PodTemplate(_Wire):
    """core/v1 PodTemplateSpec."""

    spec: PodSpec | None = None


class DeploymentMetadata(Metadata):
    """metav1.ObjectMeta with what people and other autoscalers wrote on it."""

    annotations: dict[str, str] | None = None


class DeploymentSpec(_Wire):
    """apps/v1 DeploymentSpec. No `replicas` means one (apps/v1 defaults)."""

    replicas: int | None = None
    paused: bool | None = None
    template: PodTemplate | None = None


class DeploymentStatus(_Wire):
    """apps/v1 DeploymentStatus."""

    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    observed_generation: int | None = None
    conditions: list[Condition] | None = None


class Deployment(_Wire):
    """apps/v1 Deployment."""

    metadata: DeploymentMetadata
    spec: DeploymentSpec | None = None
    status: DeploymentStatus | None = None


class Waiting(_Wire):
    """Why a container does not run yet."""

    reason: str | None = None
    message: str | None = None


class Terminated(_Wire):
    """How a container ended."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None


class ContainerState(_Wire):
    """One of these, or neither while it runs."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Wire):
    """core/v1 ContainerStatus."""

    name: str = ""
    restart_count: int = 0
    state: ContainerState | None = None


class PodStatus(_Wire):
    """core/v1 PodStatus."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[Condition] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    container_statuses: list[ContainerStatus] | None = None


class Pod(_Wire):
    """core/v1 Pod."""

    metadata: Metadata
    spec: PodSpec | None = None
    status: PodStatus | None = None


class QuotaSpec(_Wire):
    """core/v1 ResourceQuotaSpec; of the scopes only whether there are any."""

    hard: dict[str, Quantity] | None = None
    scopes: list[str] | None = None
    scope_selector: dict[str, object] | None = None


class Quota(_Wire):
    """core/v1 ResourceQuota."""

    metadata: Metadata
    spec: QuotaSpec | None = None


class Taint(_Wire):
    """core/v1 Taint."""

    key: str = ""
    effect: str = ""


class NodeSpec(_Wire):
    """core/v1 NodeSpec."""

    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class NodeStatus(_Wire):
    """core/v1 NodeStatus."""

    allocatable: Amounts | None = None
    conditions: list[Condition] | None = None


class Node(_Wire):
    """core/v1 Node."""

    metadata: Metadata
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ObjectReference(_Wire):
    """What an event is about."""

    kind: str = ""
    name: str = ""


class EventSeries(_Wire):
    """core/v1 EventSeries."""

    count: int = 0
    last_observed_time: str | None = None


class Event(_Wire):
    """core/v1 Event."""

    metadata: Metadata
    involved_object: ObjectReference | None = None
    type: str = ""
    reason: str | None = None
    message: str | None = None
    count: int | None = None
    event_time: str | None = None
    last_timestamp: str | None = None
    series: EventSeries | None = None


class ScaleSpec(_Wire):
    """autoscaling/v1 ScaleSpec; zero is left out by Go."""

    replicas: int = 0


class Scale(_Wire):
    """autoscaling/v1 Scale."""

    metadata: Metadata
    spec: ScaleSpec


class ListMeta(_Wire):
    """metav1.ListMeta. Without a version nothing can be watched from here, so it is required."""

    resource_version: str
    continue_: str = msgspec.field(name="continue", default="")


class Page(_Wire):
    """One page of a list; its objects are decoded one by one, so that an odd one hides no other."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None


class WatchLine(_Wire):
    """metav1.WatchEvent."""

    type: str
    object: msgspec.Raw


PAGE: Final = msgspec.json.Decoder(Page)
WATCH_LINE: Final = msgspec.json.Decoder(WatchLine)
VERSIONED: Final = msgspec.json.Decoder(Versioned)
IDENTIFIED: Final = msgspec.json.Decoder(Identified)
DEPLOYMENT: Final = msgspec.json.Decoder(Deployment)
POD: Final = msgspec.json.Decoder(Pod)
QUOTA: Final = msgspec.json.Decoder(Quota)
NODE: Final = msgspec.json.Decoder(Node)
EVENT: Final = msgspec.json.Decoder(Event)
SCALE: Final = msgspec.json.Decoder(Scale)
