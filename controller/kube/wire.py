"""The fields of Kubernetes objects that we read; other fields are skipped.

A field may be missing or null, as Go writes it. An object that does not fit is refused alone. The
types are named after those of the API (core/v1 PodSpec is WirePodSpec).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Final, Self, TypeAlias, TypeVar

import msgspec

from controller.model.text import clean_name
from controller.model.value import UndecodableError, decoded

WireQuantity: TypeAlias = str | int | float
"""resource.Quantity. The API server writes strings; other writers may write numbers."""
WireAmounts: TypeAlias = dict[str, WireQuantity]
"""core/v1 ResourceList."""
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""The annotation of a pod that says how much is lost with it, as an int32."""
SIDECAR_RESTART_POLICY: Final = "Always"
"""The restart policy that makes an init container a sidecar."""


def unix_seconds(time: str | None) -> float | None:
    """An RFC 3339 time in Unix seconds; None if there is none or it cannot be read."""
    if not time:
        return None
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def micro_time(at: float) -> str:
    """Unix seconds as a metav1.MicroTime."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class WireObject(msgspec.Struct, rename="camel"):
    """An object as Kubernetes writes it: names in camel case, unknown fields skipped."""

    @classmethod
    def of(cls, raw: msgspec.Raw | bytes) -> Self:
        """The object from JSON. Raises UndecodableError."""
        found: Self = decoded(_decoder(cls), raw)
        return found


T = TypeVar("T")


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


class WireOwnerReference(WireObject):
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class WireMetadata(WireObject):
    name: str
    resource_version: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    owner_references: list[WireOwnerReference] | None = None


class WireIdentified(WireObject):
    """The metadata of any object, even if the rest cannot be read."""

    metadata: WireMetadata


Named = TypeVar("Named", bound=WireIdentified)


def object_name(raw: msgspec.Raw | bytes) -> str | None:
    """An object's name; None if it cannot be read."""
    try:
        return clean_name(WireIdentified.of(raw).metadata.name)
    except UndecodableError:
        return None


def read(
    kind: type[Named], raw: msgspec.Raw | bytes
) -> tuple[str, Named | UndecodableError] | None:
    """An object by its name, or why it cannot be read; None without a readable name."""
    try:
        found = kind.of(raw)
    except UndecodableError as error:
        name = object_name(raw)
        return None if name is None else (name, error)
    return clean_name(found.metadata.name), found


class WireListMeta(WireObject):
    """metav1.ListMeta. The version is required, because a watch begins from it."""

    resource_version: str
    continue_: str = msgspec.field(name="continue", default="")


class WireVersioned(WireObject):
    """The version from which a watch can resume after this object; a bookmark has nothing else."""

    metadata: WireListMeta


class WireCondition(WireObject):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class WireResourceRequirements(WireObject):
    requests: WireAmounts | None = None
    limits: WireAmounts | None = None


class WireVariable(WireObject):
    name: str = ""
    value: str | None = None  # None where it comes from elsewhere


class WireContainer(WireObject):
    name: str = ""
    env: list[WireVariable] | None = None
    env_from: list[dict[str, object]] | None = None
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    resources: WireResourceRequirements | None = None
    restart_policy: str | None = None
    readiness_probe: dict[str, object] | None = None


class WirePodSpec(WireObject):
    node_name: str | None = None
    containers: list[WireContainer] | None = None
    init_containers: list[WireContainer] | None = None
    resources: WireResourceRequirements | None = None
    overhead: WireAmounts | None = None
    termination_grace_period_seconds: int | None = None


class WirePodTemplate(WireObject):
    spec: WirePodSpec | None = None


class WireManagedSpec(WireObject):
    replicas: dict[str, object] | None = msgspec.field(name="f:replicas", default=None)


class WireManagedFields(WireObject):
    """metav1.FieldsV1: of the fields, only whether `spec.replicas` is one of them."""

    spec: WireManagedSpec | None = msgspec.field(name="f:spec", default=None)


class WireManagedEntry(WireObject):
    """metav1.ManagedFieldsEntry: a writer, when it wrote last, and the fields that it owns."""

    manager: str = ""
    operation: str = ""
    time: str | None = None
    fields_v1: WireManagedFields | None = msgspec.field(name="fieldsV1", default=None)


class WireDeploymentMetadata(WireMetadata):
    annotations: dict[str, str] | None = None
    managed_fields: list[WireManagedEntry] | None = None


class WireOrdinals(WireObject):
    """apps/v1 StatefulSetOrdinals: the number of the first pod."""

    start: int = 0


class WireAnnotated(WireIdentified):
    """v1 Namespace, or any object of which only the metadata matters."""

    metadata: WireDeploymentMetadata


class WireReference(WireObject):
    """What an event or a metric is about (core/v1 ObjectReference), or an autoscaler scales
    (autoscaling/v2 CrossVersionObjectReference, KEDA's ScaleTarget).
    """

    kind: str | None = None
    name: str = ""


class WireScalingSpec(WireObject):
    scale_target_ref: WireReference


class WireAutoscaler(WireIdentified):
    """autoscaling/v2 HorizontalPodAutoscaler, keda.sh/v1alpha1 ScaledObject."""

    metadata: WireDeploymentMetadata
    spec: WireScalingSpec


class WireRollingUpdate(WireObject):
    max_unavailable: int | str | None = None


class WireStrategy(WireObject):
    type: str = "RollingUpdate"
    rolling_update: WireRollingUpdate | None = None


class WireDeploymentSpec(WireObject):
    """apps/v1 DeploymentSpec or StatefulSetSpec. No `replicas` means one, and a StatefulSet without
    `pod_management_policy` is OrderedReady (apps/v1 defaults).
    """

    replicas: int | None = None
    paused: bool | None = None
    template: WirePodTemplate | None = None
    ordinals: WireOrdinals | None = None
    pod_management_policy: str | None = None
    strategy: WireStrategy | None = None


class WireDeploymentStatus(WireObject):
    """apps/v1 DeploymentStatus or StatefulSetStatus."""

    replicas: int | None = None
    updated_replicas: int | None = None
    ready_replicas: int | None = None
    available_replicas: int | None = None
    observed_generation: int | None = None
    conditions: list[WireCondition] | None = None


class WireDeployment(WireIdentified):
    """apps/v1 Deployment or StatefulSet: what we read of both is in the same places."""

    metadata: WireDeploymentMetadata
    spec: WireDeploymentSpec | None = None
    status: WireDeploymentStatus | None = None


class WireStateDetails(WireObject):
    """core/v1 ContainerStateRunning, ContainerStateWaiting or ContainerStateTerminated."""

    started_at: str | None = None
    finished_at: str | None = None
    exit_code: int = 0
    reason: str | None = None
    message: str | None = None


class WireContainerState(WireObject):
    """core/v1 ContainerState: one of these; none of them means that it waits."""

    running: WireStateDetails | None = None
    waiting: WireStateDetails | None = None
    terminated: WireStateDetails | None = None


class WireContainerStatus(WireObject):
    name: str = ""
    image: str | None = None
    ready: bool | None = None
    restart_count: int = 0
    state: WireContainerState | None = None
    last_state: WireContainerState | None = None


class WirePodStatus(WireObject):
    phase: str | None = None
    start_time: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[WireCondition] | None = None
    init_container_statuses: list[WireContainerStatus] | None = None
    container_statuses: list[WireContainerStatus] | None = None


class WirePodAnnotations(WireObject):
    deletion_cost: str | None = msgspec.field(name=DELETION_COST, default=None)


class WirePodMetadata(WireMetadata):
    annotations: WirePodAnnotations | None = None


class WirePod(WireIdentified):
    metadata: WirePodMetadata
    spec: WirePodSpec | None = None
    status: WirePodStatus | None = None


class WireQuotaSpec(WireObject):
    """core/v1 ResourceQuotaSpec; of the scopes it matters only whether there are any."""

    hard: WireAmounts | None = None
    scopes: list[str] | None = None
    scope_selector: dict[str, object] | None = None


class WireQuota(WireIdentified):
    spec: WireQuotaSpec | None = None


class WireTaint(WireObject):
    key: str = ""
    effect: str = ""
    value: str | None = None


class WireNodeSpec(WireObject):
    unschedulable: bool | None = None
    taints: list[WireTaint] | None = None


class WireNodeStatus(WireObject):
    allocatable: WireAmounts | None = None
    conditions: list[WireCondition] | None = None


class WireNode(WireIdentified):
    spec: WireNodeSpec | None = None
    status: WireNodeStatus | None = None


class WireEventSeries(WireObject):
    count: int = 0
    last_observed_time: str | None = None


class WireEvent(WireIdentified):
    involved_object: WireReference | None = None
    type: str = ""
    reason: str | None = None
    message: str | None = None
    count: int | None = None
    event_time: str | None = None
    last_timestamp: str | None = None
    series: WireEventSeries | None = None


class WireScaleSpec(WireObject):
    """autoscaling/v1 ScaleSpec; zero is left out by Go."""

    replicas: int = 0


class WireScale(WireIdentified):
    spec: WireScaleSpec


class WireItems(WireObject):
    """A list of any of these, of which only the items matter."""

    items: list[msgspec.Raw]


class WirePage(WireObject):
    """One page of a list; its objects are decoded one by one, so one hides no others."""

    metadata: WireListMeta
    items: list[msgspec.Raw] | None


class WireWatchLine(WireObject):
    type: str
    object: msgspec.Raw


class WireContainerUsage(WireObject):
    name: str
    usage: WireAmounts = msgspec.field(default_factory=dict)


class WirePodMetrics(WireIdentified):
    """metrics.k8s.io PodMetrics; `window` is a Go duration."""

    timestamp: str
    window: str
    containers: list[WireContainerUsage]


class WireExternalValue(WireObject):
    value: WireQuantity


class WireMetricValue(WireObject):
    """custom.metrics.k8s.io MetricValue; its two versions name the window differently."""

    described_object: WireReference
    timestamp: str
    value: WireQuantity
    window_seconds: int | None = None
    window: int | None = None


class WireGroupVersion(WireObject):
    version: str


class WireGroup(WireObject):
    versions: list[WireGroupVersion]


class WireApiResource(WireObject):
    """meta/v1 APIResource; `name` is the plural, with a slash for a subresource."""

    name: str
    kind: str


class WireResourceList(WireObject):
    resources: list[WireApiResource]
