"""Metrics as autoscaling/v2 spells them, and KEDA's scalingModifiers and fallback."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from controller.config.scalars import (
    NO_OTHER_NAMES,
    Formula,
    FreeText,
    KubernetesSection,
    LabelKey,
    LabelValue,
    MetricQuantity,
    MetricTarget,
    Percent,
    PromQuery,
    Replicas,
    Section,
    exactly_one,
    value_of,
)
from controller.model.fleet import ExternalSeries, MetricSpec, PrometheusQuery, SignalSource
from controller.model.value import INT32_MAX


class RequirementEntry(KubernetesSection, looks_like="{key: app, operator: In, values: [a, b]}"):
    """LabelSelectorRequirement of meta/v1."""

    key: LabelKey
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label must relate to the values."""
    values: list[LabelValue] = Field(default_factory=list)
    """At least one for In and NotIn, none for the others."""

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            wants = "needs values" if not self.values else "takes no values"
            raise ValueError(f"operator {self.operator} {wants}")
        return self

    def __str__(self) -> str:
        match self.operator:
            case "In":
                return f"{self.key} in ({','.join(sorted(self.values))})"
            case "NotIn":
                return f"{self.key} notin ({','.join(sorted(self.values))})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"


class MetricSelectorEntry(KubernetesSection, looks_like="{matchLabels: {team: globex}}"):
    """LabelSelector of meta/v1."""

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Labels and their values."""
    match_expressions: list[RequirementEntry] = Field(default_factory=list)
    """Requirements on labels."""

    def __str__(self) -> str:
        """The label selector as text, its requirements in the order of their labels (meta/v1,
        LabelSelectorAsSelector).
        """
        requirements = [(label, f"{label}={value}") for label, value in self.match_labels.items()]
        requirements += [(one.key, str(one)) for one in self.match_expressions]
        return ",".join(text for _, text in sorted(requirements))


class MetricNameEntry(KubernetesSection, looks_like="{name: queue}"):
    """MetricIdentifier of autoscaling/v2."""

    name: FreeText
    """The metric's name. For type External: one of the pool's signals, or queue, which is its
    pending + in flight.
    """
    selector: MetricSelectorEntry | None = None
    """Selects among its series; they are added up. Default: all."""


class TypedEntry(KubernetesSection):
    """A section whose `type` says which other key it has: that of the same name, but for one."""

    type: str

    @model_validator(mode="after")
    def _only_its_own(self) -> Self:
        fields = type(self).model_fields
        wanted = self.type[0].lower() + self.type[1:]
        wanted = "averageUtilization" if wanted == "utilization" else wanted
        given = {fields[name].alias or name for name in self.model_fields_set} - {"type"}
        if given != {wanted}:
            others = " and ".join(sorted(given - {wanted}))
            raise ValueError(f"type {self.type} takes {wanted}{others and f', not {others}'}")
        return self


class TargetEntry(TypedEntry):
    """MetricTarget of autoscaling/v2."""

    @property
    def milli(self) -> int | None:
        """The quantity, in thousandths."""
        return getattr(self, "value", None) or getattr(self, "average_value", None)


class FigureTargetEntry(TargetEntry, looks_like='{type: AverageValue, averageValue: "5"}'):
    """The target of an External or Object metric."""

    type: Literal["Value", "AverageValue"]
    """Value compares the metric itself, AverageValue the metric per replica."""
    value: MetricTarget | None = None
    """A quantity: "30", "500m"."""
    average_value: MetricTarget | None = None
    """A quantity per replica: "5", "500m"."""


class PodsTargetEntry(TargetEntry, looks_like='{type: AverageValue, averageValue: "5"}'):
    """The target of a Pods metric."""

    type: Literal["AverageValue"]
    """AverageValue, which compares the metric per pod."""
    average_value: MetricTarget | None = None
    """A quantity per pod: "5", "500m"."""


class ResourceTargetEntry(TargetEntry, looks_like="{type: Utilization, averageUtilization: 75}"):
    """The target of a Resource or ContainerResource metric."""

    type: Literal["Utilization", "AverageValue"]
    """Utilization compares the share of the requests, AverageValue the amount."""
    percent: Percent | None = Field(default=None, alias="averageUtilization")
    """Percent of the pods' requests."""
    average_value: MetricTarget | None = None
    """A quantity per pod: "500m", "1Gi"."""


class ExternalEntry(
    KubernetesSection,
    looks_like='{metric: {name: queue}, target: {type: AverageValue, averageValue: "5"}}',
):
    """ExternalMetricSource of autoscaling/v2."""

    metric: MetricNameEntry
    """The metric."""
    target: FigureTargetEntry
    """Its target."""


class DescribedObjectEntry(
    KubernetesSection, looks_like="{kind: Service, name: web, apiVersion: v1}"
):
    """CrossVersionObjectReference of autoscaling/v2."""

    kind: FreeText
    """The object's kind."""
    name: FreeText
    """The object's name."""
    api_version: FreeText | None = None
    """Its API group and version. Default: v1."""


class ObjectEntry(
    KubernetesSection, looks_like="{describedObject: {...}, metric: {name: ...}, target: {...}}"
):
    """ObjectMetricSource of autoscaling/v2."""

    described_object: DescribedObjectEntry
    """The object that the metric describes."""
    metric: MetricNameEntry
    """The metric."""
    target: FigureTargetEntry
    """Its target."""


class PodsEntry(
    KubernetesSection,
    looks_like='{metric: {name: ...}, target: {type: AverageValue, averageValue: "5"}}',
):
    """PodsMetricSource of autoscaling/v2."""

    metric: MetricNameEntry
    """The metric."""
    target: PodsTargetEntry
    """Its target."""


class ResourceEntry(
    KubernetesSection, looks_like="{name: cpu, target: {type: Utilization, averageUtilization: 75}}"
):
    """ResourceMetricSource of autoscaling/v2."""

    resource: Literal["cpu", "memory"] = Field(alias="name")
    """cpu or memory."""
    target: ResourceTargetEntry
    """The target of its use."""


class ContainerResourceEntry(
    KubernetesSection, looks_like="{name: cpu, container: app, target: {...}}"
):
    """ContainerResourceMetricSource of autoscaling/v2."""

    resource: Literal["cpu", "memory"] = Field(alias="name")
    """cpu or memory."""
    container: FreeText
    """The container's name."""
    target: ResourceTargetEntry
    """The target of its use."""


class MetricEntry(
    TypedEntry, looks_like="{type: External, external: {metric: {name: queue}, target: {...}}}"
):
    """MetricSpec of autoscaling/v2: a type, and the block of that type."""

    type: Literal["External", "Object", "Pods", "Resource", "ContainerResource"]
    """Which of the other keys it has."""
    external: ExternalEntry | None = None
    """A metric that belongs to no Kubernetes object."""
    object: ObjectEntry | None = None
    """A metric of one Kubernetes object."""
    pods: PodsEntry | None = None
    """A metric that each pod has."""
    resource: ResourceEntry | None = None
    """CPU or memory of the pods."""
    container_resource: ContainerResourceEntry | None = Field(default=None)
    """CPU or memory of one container in each pod."""

    @property
    def is_of_pods(self) -> bool:
        """Whether it is of CPU or memory."""
        return self.resource is not None or self.container_resource is not None

    @property
    def value(self) -> MetricSpec:
        """The metric that it is."""
        blocks = (self.external, self.object, self.pods, self.resource, self.container_resource)
        found = zip(blocks, get_args(MetricSpec), strict=True)
        block, kind = next((each, kind) for each, kind in found if each is not None)
        named: dict[str, str] = {}
        if isinstance(block, ExternalEntry | ObjectEntry | PodsEntry):
            named = {"name": block.metric.name, "selector": str(block.metric.selector or "")}
        if isinstance(block, ObjectEntry):
            of = block.described_object
            named |= {"kind": of.kind, "object_name": of.name, "api_version": of.api_version or ""}
        metric: MetricSpec = value_of(block, kind, **named)
        return metric


class ModifiersEntry(KubernetesSection, looks_like='{formula: "queue / 2", target: "5"}'):
    """KEDA's scalingModifiers: a formula that makes one number of several."""

    formula: Formula
    """A formula over signals and queue. It replaces the metrics that it names."""
    target_milli: MetricTarget = Field(alias="target")
    """Its target: a quantity."""
    metric_type: Literal["AverageValue", "Value"] = Field(default="AverageValue")
    """AverageValue compares the number per replica, Value the number itself. Default AverageValue.
    """
    activation_milli: MetricQuantity = Field(default=0, alias="activationTarget")
    """The pool is active while the formula gives more than this. Default 0."""


class FallbackEntry(KubernetesSection, looks_like="{failureThreshold: 3, replicas: 4}"):
    """KEDA's fallback: the replicas that stand in for metrics that cannot be read."""

    failure_threshold: int = Field(ge=0, le=INT32_MAX)
    """The fallback is used once a metric has failed more often than this in a row."""
    replicas: Replicas
    """The replicas that a failing metric asks for."""
    behavior: Literal[
        "static",
        "currentReplicas",
        "currentReplicasIfHigher",
        "currentReplicasIfLower",
        "scalingModifiers",
    ] = "static"
    """static: replicas counts; the others: the current number may count. Default static."""


class ExternalSignalEntry(
    Section, looks_like="{name: firestore_active, selector: {matchLabels: {team: globex}}}"
):
    """Series of the external metrics API."""

    name: FreeText
    """The metric's name in that API."""
    selector: MetricSelectorEntry | None = None
    """Selects among its series; they are added up. Default: all."""


class SignalEntry(
    Section, looks_like='{prometheus: "sum(agent_backlog)"} or {external: {name: ...}}'
):
    """Where one signal is read: from Prometheus, or from the external metrics API."""

    prometheus: PromQuery | None = None
    """A PromQL query whose result is one number; the server of prometheus.url answers it."""
    external: ExternalSignalEntry | None = None
    """A metric of the external metrics API, such as one of a KEDA scaler."""

    _one = exactly_one("prometheus", "external")

    @property
    def source(self) -> SignalSource:
        """Where it is read."""
        if self.external is not None:
            selector = str(self.external.selector or "")
            return ExternalSeries(name=self.external.name, selector=selector)
        return PrometheusQuery(query=self.prometheus or "")
