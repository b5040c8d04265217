"""Metrics as autoscaling/v2 spells them, and KEDA's scalingModifiers and fallback."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.config.scalars import (
    FreeText,
    LabelKey,
    LabelValue,
    MetricQuantity,
    MetricTarget,
    PromQuery,
)
from controller.config.schema.section import NO_OTHER_NAMES, Replicas, Section
from controller.model.value import INT32_MAX
from controller.notation.formula_syntax import FormulaError, check

Percent = Annotated[int, Field(ge=1, le=INT32_MAX)]


def _formula(text: str) -> str:
    try:
        check(text)
    except FormulaError as error:
        raise ValueError(f"cannot be read: {error}") from None
    return text


class RequirementEntry(Section):
    """LabelSelectorRequirement of meta/v1."""

    looks_like = "{key: app, operator: In, values: [a, b]}"

    key: LabelKey = Field(description="The label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label must relate to the values."
    )
    values: list[LabelValue] = Field(
        default_factory=list, description="At least one for In and NotIn, none for the others."
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            wants = "needs values" if not self.values else "takes no values"
            raise ValueError(f"operator {self.operator} {wants}")
        return self


class MetricSelectorEntry(Section):
    """LabelSelector of meta/v1."""

    looks_like = "{matchLabels: {team: globex}}"

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        alias="matchLabels",
        description="Labels and their values.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    match_expressions: list[RequirementEntry] = Field(
        default_factory=list, alias="matchExpressions", description="Requirements on labels."
    )


class MetricNameEntry(Section):
    """MetricIdentifier of autoscaling/v2."""

    looks_like = "{name: queue}"

    name: FreeText = Field(
        description="The metric's name. For type External: one of the pool's signals, or queue, "
        "which is its pending + in flight."
    )
    selector: MetricSelectorEntry | None = Field(
        default=None, description="Selects among its series; they are added up. Default: all."
    )


class TypedEntry(Section):
    """A section whose `type` says which other key it has."""

    key_of_type: ClassVar[Mapping[str, str]] = {}

    type: str

    @model_validator(mode="after")
    def _only_its_own(self) -> Self:
        fields = type(self).model_fields
        wanted = self.key_of_type[self.type]
        given = {fields[name].alias or name for name in self.model_fields_set} - {"type"}
        if given != {wanted}:
            others = " and ".join(sorted(given - {wanted}))
            raise ValueError(f"type {self.type} takes {wanted}{others and f', not {others}'}")
        return self


class TargetEntry(TypedEntry):
    """MetricTarget of autoscaling/v2."""

    key_of_type = MappingProxyType(
        {
            "Value": "value",
            "AverageValue": "averageValue",
            "Utilization": "averageUtilization",
        }
    )


class FigureTargetEntry(TargetEntry):
    """The target of an External or Object metric."""

    looks_like = '{type: AverageValue, averageValue: "5"}'

    type: Literal["Value", "AverageValue"] = Field(
        description="Value compares the metric itself, AverageValue the metric per replica."
    )
    value: MetricTarget | None = Field(default=None, description='A quantity: "30", "500m".')
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per replica: "5", "500m".'
    )


class PodsTargetEntry(TargetEntry):
    """The target of a Pods metric."""

    looks_like = '{type: AverageValue, averageValue: "5"}'

    type: Literal["AverageValue"] = Field(
        description="AverageValue, which compares the metric per pod."
    )
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per pod: "5", "500m".'
    )


class ResourceTargetEntry(TargetEntry):
    """The target of a Resource or ContainerResource metric."""

    looks_like = "{type: Utilization, averageUtilization: 75}"

    type: Literal["Utilization", "AverageValue"] = Field(
        description="Utilization compares the share of the requests, AverageValue the amount."
    )
    average_utilization: Percent | None = Field(
        default=None, alias="averageUtilization", description="Percent of the pods' requests."
    )
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per pod: "500m", "1Gi".'
    )


class ExternalEntry(Section):
    """ExternalMetricSource of autoscaling/v2."""

    looks_like = '{metric: {name: queue}, target: {type: AverageValue, averageValue: "5"}}'

    metric: MetricNameEntry = Field(description="The metric.")
    target: FigureTargetEntry = Field(description="Its target.")


class DescribedObjectEntry(Section):
    """CrossVersionObjectReference of autoscaling/v2."""

    looks_like = "{kind: Service, name: web, apiVersion: v1}"

    kind: FreeText = Field(description="The object's kind.")
    name: FreeText = Field(description="The object's name.")
    api_version: FreeText | None = Field(
        default=None, alias="apiVersion", description="Its API group and version. Default: v1."
    )


class ObjectEntry(Section):
    """ObjectMetricSource of autoscaling/v2."""

    looks_like = "{describedObject: {...}, metric: {name: ...}, target: {...}}"

    described_object: DescribedObjectEntry = Field(
        alias="describedObject", description="The object that the metric describes."
    )
    metric: MetricNameEntry = Field(description="The metric.")
    target: FigureTargetEntry = Field(description="Its target.")


class PodsEntry(Section):
    """PodsMetricSource of autoscaling/v2."""

    looks_like = '{metric: {name: ...}, target: {type: AverageValue, averageValue: "5"}}'

    metric: MetricNameEntry = Field(description="The metric.")
    target: PodsTargetEntry = Field(description="Its target.")


class ResourceEntry(Section):
    """ResourceMetricSource of autoscaling/v2."""

    looks_like = "{name: cpu, target: {type: Utilization, averageUtilization: 75}}"

    name: Literal["cpu", "memory"] = Field(description="cpu or memory.")
    target: ResourceTargetEntry = Field(description="The target of its use.")


class ContainerResourceEntry(Section):
    """ContainerResourceMetricSource of autoscaling/v2."""

    looks_like = "{name: cpu, container: app, target: {...}}"

    name: Literal["cpu", "memory"] = Field(description="cpu or memory.")
    container: FreeText = Field(description="The container's name.")
    target: ResourceTargetEntry = Field(description="The target of its use.")


class MetricEntry(TypedEntry):
    """MetricSpec of autoscaling/v2: a type, and the block of that type."""

    looks_like = "{type: External, external: {metric: {name: queue}, target: {...}}}"
    key_of_type = MappingProxyType(
        {
            "External": "external",
            "Object": "object",
            "Pods": "pods",
            "Resource": "resource",
            "ContainerResource": "containerResource",
        }
    )

    type: Literal["External", "Object", "Pods", "Resource", "ContainerResource"] = Field(
        description="Which of the other keys it has."
    )
    external: ExternalEntry | None = Field(
        default=None, description="A metric that belongs to no Kubernetes object."
    )
    object: ObjectEntry | None = Field(
        default=None, description="A metric of one Kubernetes object."
    )
    pods: PodsEntry | None = Field(default=None, description="A metric that each pod has.")
    resource: ResourceEntry | None = Field(default=None, description="CPU or memory of the pods.")
    container_resource: ContainerResourceEntry | None = Field(
        default=None,
        alias="containerResource",
        description="CPU or memory of one container in each pod.",
    )

    @property
    def is_of_pods(self) -> bool:
        """Whether it is of CPU or memory."""
        return self.resource is not None or self.container_resource is not None


class ModifiersEntry(Section):
    """KEDA's scalingModifiers: a formula that makes one number of several."""

    looks_like = '{formula: "queue / 2", target: "5"}'

    formula: Annotated[str, Field(min_length=1), AfterValidator(_formula)] = Field(
        description="A formula over signals and queue. It replaces the metrics that it names."
    )
    target: MetricTarget = Field(description="Its target: a quantity.")
    metric_type: Literal["AverageValue", "Value"] = Field(
        default="AverageValue",
        alias="metricType",
        description="AverageValue compares the number per replica, Value the number itself. "
        "Default AverageValue.",
    )
    activation_target: MetricQuantity = Field(
        default=0,
        alias="activationTarget",
        description="The pool is active while the formula gives more than this. Default 0.",
    )


class FallbackEntry(Section):
    """KEDA's fallback: the replicas that stand in for metrics that cannot be read."""

    looks_like = "{failureThreshold: 3, replicas: 4}"

    failure_threshold: int = Field(
        alias="failureThreshold",
        ge=0,
        le=INT32_MAX,
        description="The fallback is used once a metric has failed more often than this in a row.",
    )
    replicas: Replicas = Field(description="The replicas that a failing metric asks for.")
    behavior: Literal[
        "static",
        "currentReplicas",
        "currentReplicasIfHigher",
        "currentReplicasIfLower",
        "scalingModifiers",
    ] = Field(
        default="static",
        description="static: replicas counts; the others: the current number may count. Default "
        "static.",
    )


class ExternalSignalEntry(Section):
    """Series of the external metrics API."""

    looks_like = "{name: firestore_active, selector: {matchLabels: {team: globex}}}"

    name: FreeText = Field(description="The metric's name in that API.")
    selector: MetricSelectorEntry | None = Field(
        default=None, description="Selects among its series; they are added up. Default: all."
    )


class SignalEntry(Section):
    """Where one signal is read: from Prometheus, or from the external metrics API."""

    looks_like = '{prometheus: "sum(agent_backlog)"} or {external: {name: ...}}'

    prometheus: PromQuery | None = Field(
        default=None,
        description="A PromQL query whose result is one number; the server of prometheus.url "
        "answers it.",
    )
    external: ExternalSignalEntry | None = Field(
        default=None,
        description="A metric of the external metrics API, such as one of a KEDA scaler.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.prometheus is None) == (self.external is None):
            raise ValueError("give exactly one of prometheus and external")
        return self
