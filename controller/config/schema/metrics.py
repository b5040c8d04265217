"""Metrics as autoscaling/v2 spells them, and KEDA's scalingModifiers and fallback."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.config.numbers import MetricTarget, MetricValue
from controller.config.scalars import FreeText, LabelKey, LabelValue
from controller.config.schema.section import INT32_MAX, NO_OTHER_NAMES, Replicas, Section
from controller.notation.formula_check import check
from controller.notation.formula_syntax import FormulaError

Percent = Annotated[int, Field(ge=1, le=INT32_MAX)]


def _formula(text: str) -> str:
    try:
        check(text)
    except FormulaError as error:
        raise ValueError(f"cannot be read: {error}") from None
    return text


class RequirementEntry(Section):
    """meta/v1's LabelSelectorRequirement."""

    looks_like = "{key: app, operator: In, values: [a, b]}"

    key: LabelKey = Field(description="The label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label relates to the values."
    )
    values: list[LabelValue] = Field(
        default_factory=list, description="For In and NotIn at least one, for the others none."
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            wants = "needs values" if not self.values else "takes no values"
            raise ValueError(f"operator {self.operator} {wants}")
        return self


class MetricSelectorEntry(Section):
    """meta/v1's LabelSelector."""

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
    """autoscaling/v2's MetricIdentifier."""

    looks_like = "{name: queue}"

    name: FreeText = Field(
        description="The metric's name. External: one of the pool's signals, or queue, which is "
        "its pending + in flight."
    )
    selector: MetricSelectorEntry | None = Field(
        default=None, description="Which of its series count. Default: all."
    )


class TypedEntry(Section):
    """A section of which `type` says what else it has: one key for each type."""

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
    """autoscaling/v2's MetricTarget."""

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
        description="Whether the metric itself counts, or the metric per replica."
    )
    value: MetricTarget | None = Field(default=None, description='A quantity: "30", "500m".')
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per replica: "5", "500m".'
    )


class PodsTargetEntry(TargetEntry):
    """The target of a Pods metric."""

    looks_like = '{type: AverageValue, averageValue: "5"}'

    type: Literal["AverageValue"] = Field(description="The metric per pod: AverageValue.")
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per pod: "5", "500m".'
    )


class ResourceTargetEntry(TargetEntry):
    """The target of a Resource or ContainerResource metric."""

    looks_like = "{type: Utilization, averageUtilization: 75}"

    type: Literal["Utilization", "AverageValue"] = Field(
        description="Whether the share of what is requested counts, or the amount."
    )
    average_utilization: Percent | None = Field(
        default=None, alias="averageUtilization", description="Percent of what the pods request."
    )
    average_value: MetricTarget | None = Field(
        default=None, alias="averageValue", description='A quantity per pod: "500m", "1Gi".'
    )


class ExternalEntry(Section):
    """autoscaling/v2's ExternalMetricSource."""

    looks_like = '{metric: {name: queue}, target: {type: AverageValue, averageValue: "5"}}'

    metric: MetricNameEntry = Field(description="What is watched.")
    target: FigureTargetEntry = Field(description="What it should be.")


class DescribedObjectEntry(Section):
    """autoscaling/v2's CrossVersionObjectReference."""

    looks_like = "{kind: Service, name: web, apiVersion: v1}"

    kind: FreeText = Field(description="The object's kind.")
    name: FreeText = Field(description="The object's name.")
    api_version: FreeText | None = Field(
        default=None, alias="apiVersion", description="Its API group and version. Default: v1."
    )


class ObjectEntry(Section):
    """autoscaling/v2's ObjectMetricSource."""

    looks_like = "{describedObject: {...}, metric: {name: ...}, target: {...}}"

    described_object: DescribedObjectEntry = Field(
        alias="describedObject", description="The object that the figure describes."
    )
    metric: MetricNameEntry = Field(description="What is watched.")
    target: FigureTargetEntry = Field(description="What it should be.")


class PodsEntry(Section):
    """autoscaling/v2's PodsMetricSource."""

    looks_like = '{metric: {name: ...}, target: {type: AverageValue, averageValue: "5"}}'

    metric: MetricNameEntry = Field(description="What is watched.")
    target: PodsTargetEntry = Field(description="What it should be.")


class ResourceEntry(Section):
    """autoscaling/v2's ResourceMetricSource."""

    looks_like = "{name: cpu, target: {type: Utilization, averageUtilization: 75}}"

    name: Literal["cpu", "memory"] = Field(description="cpu or memory.")
    target: ResourceTargetEntry = Field(description="What its use should be.")


class ContainerResourceEntry(Section):
    """autoscaling/v2's ContainerResourceMetricSource."""

    looks_like = "{name: cpu, container: app, target: {...}}"

    name: Literal["cpu", "memory"] = Field(description="cpu or memory.")
    container: FreeText = Field(description="The container's name.")
    target: ResourceTargetEntry = Field(description="What its use should be.")


class MetricEntry(TypedEntry):
    """autoscaling/v2's MetricSpec: its type, and the block of that type."""

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
        description="Which of the blocks it has."
    )
    external: ExternalEntry | None = Field(
        default=None, description="A figure that has nothing to do with Kubernetes objects."
    )
    object: ObjectEntry | None = Field(
        default=None, description="A figure that describes one Kubernetes object."
    )
    pods: PodsEntry | None = Field(default=None, description="A figure that each pod has.")
    resource: ResourceEntry | None = Field(default=None, description="CPU or memory of the pods.")
    container_resource: ContainerResourceEntry | None = Field(
        default=None,
        alias="containerResource",
        description="CPU or memory of one container in each pod.",
    )

    @property
    def is_of_pods(self) -> bool:
        """Whether it is CPU or memory."""
        return self.resource is not None or self.container_resource is not None


class ModifiersEntry(Section):
    """KEDA's scalingModifiers: one number computed from several."""

    looks_like = '{formula: "queue / 2", target: "5"}'

    formula: Annotated[str, Field(min_length=1), AfterValidator(_formula)] = Field(
        description="A formula over signals, and queue; it replaces the metrics that it names."
    )
    target: MetricTarget = Field(description="What it should be: a quantity.")
    metric_type: Literal["AverageValue", "Value"] = Field(
        default="AverageValue",
        alias="metricType",
        description="Whether the number per replica counts, or the number itself. Default "
        "AverageValue.",
    )
    activation_target: MetricValue = Field(
        default=0,
        alias="activationTarget",
        description="The pool is active while the formula gives strictly more. Default 0.",
    )


class FallbackEntry(Section):
    """KEDA's fallback: what counts instead of metrics that cannot be read."""

    looks_like = "{failureThreshold: 3, replicas: 4}"

    failure_threshold: int = Field(
        alias="failureThreshold",
        ge=0,
        le=INT32_MAX,
        description="Used once a metric has failed more often than this in a row.",
    )
    replicas: Replicas = Field(description="Replicas that a failing metric stands for.")
    behavior: Literal[
        "static",
        "currentReplicas",
        "currentReplicasIfHigher",
        "currentReplicasIfLower",
        "scalingModifiers",
    ] = Field(
        default="static",
        description="Whether replicas count, or the current ones. Default static.",
    )
