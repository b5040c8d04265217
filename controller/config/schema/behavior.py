"""How fast a pool may change: `behavior`, spelled exactly as in autoscaling/v2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.config.numbers import Tolerance
from controller.config.schema.section import Section
from controller.model.limits import INT32_MAX


class PolicyEntry(Section):
    """HPAScalingPolicy of autoscaling/v2: a limit on the change within a period."""

    looks_like = "{type: Pods, value: 10, periodSeconds: 60}"

    type: Literal["Pods", "Percent"] = Field(description="What value is a number of.")
    value: int = Field(gt=0, le=INT32_MAX, description="Pods, or percent of the replicas.")
    period_seconds: int = Field(
        alias="periodSeconds", ge=1, le=1800, description="The period's length, 1 to 1800 seconds."
    )


class ScalingEntry(Section):
    """HPAScalingRules of autoscaling/v2: how fast the pool may change in one direction."""

    looks_like = "{stabilizationWindowSeconds: 300, policies: [...]}"

    stabilization_window_seconds: int | None = Field(
        default=None,
        alias="stabilizationWindowSeconds",
        ge=0,
        le=3600,
        description="The most cautious recommendation of this many seconds counts, 0 to 3600. "
        "Default 0 up, 300 down.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max",
        alias="selectPolicy",
        description="Max: the policy that allows the most change counts; Min: the least; Disabled: "
        "the pool never changes in this direction. Default Max.",
    )
    policies: Annotated[list[PolicyEntry], Field(min_length=1)] | None = Field(
        default=None,
        description="Limits on the change. Default: none for rule native; the HPA's for rule hpa.",
    )
    tolerance: Tolerance | None = Field(
        default=None,
        description="How far a metric may be off its target, as a share of it, without a change. "
        "Default: the cluster's, 0.1.",
    )


class BehaviorEntry(Section):
    """HorizontalPodAutoscalerBehavior of autoscaling/v2."""

    looks_like = "{scaleDown: {stabilizationWindowSeconds: 300}}"

    scale_up: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleUp",
        description="Limits on growing. Default: none.",
    )
    scale_down: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleDown",
        description="Limits on shrinking. Default: 300 s window.",
    )
