"""How fast a pool may change: autoscaling/v2's `behavior`, letter for letter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.config.numbers import Tolerance
from controller.config.schema.section import INT32_MAX, Section


class PolicyEntry(Section):
    """autoscaling/v2's HPAScalingPolicy: a limit on the change within a period."""

    looks_like = "{type: Pods, value: 10, periodSeconds: 60}"

    type: Literal["Pods", "Percent"] = Field(description="What value counts.")
    value: int = Field(gt=0, le=INT32_MAX, description="Pods, or percent of the replicas.")
    period_seconds: int = Field(
        alias="periodSeconds", ge=1, le=1800, description="The period's length, 1 to 1800 seconds."
    )


class ScalingEntry(Section):
    """autoscaling/v2's HPAScalingRules: how fast one direction may go."""

    looks_like = "{stabilizationWindowSeconds: 300, policies: [...]}"

    stabilization_window_seconds: int | None = Field(
        default=None,
        alias="stabilizationWindowSeconds",
        ge=0,
        le=3600,
        description="The most cautious recommendation of so many seconds counts, 0 to 3600. "
        "Default 0 up, 300 down.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max",
        alias="selectPolicy",
        description="The policy that allows most or least change counts; Disabled stops the "
        "direction. Default Max.",
    )
    policies: Annotated[list[PolicyEntry], Field(min_length=1)] | None = Field(
        default=None,
        description="Limits on the change. Default: none for rule native; the HPA's for rule hpa.",
    )
    tolerance: Tolerance | None = Field(
        default=None,
        description="How far a metric may be off its target without a change, such as 0.1. "
        "Default: the cluster's, 0.1.",
    )


class BehaviorEntry(Section):
    """autoscaling/v2's HorizontalPodAutoscalerBehavior."""

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
