"""A pool's `behavior` as values, with the defaults of the pool's rule."""

from __future__ import annotations

from typing import Final

from controller.config.schema.behavior import BehaviorEntry, ScalingEntry
from controller.model.fleet import (
    Behavior,
    PolicyType,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)

# autoscaling/v2, defaults.go: the window and the policies of a direction that has none
UP_WINDOW_S: Final = 0
DOWN_WINDOW_S: Final = 300
_DOUBLE: Final = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
HPA_UP: Final = (ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15), _DOUBLE)
HPA_DOWN: Final = (_DOUBLE,)


def behavior(entry: BehaviorEntry, rule: Rule) -> Behavior:
    """Both directions. Without policies a direction has no limit by rule native, and the HPA's own
    default policies by rule hpa.
    """
    by_hpa = rule is Rule.HPA
    return Behavior(
        scale_up=_rules(entry.scale_up, UP_WINDOW_S, HPA_UP if by_hpa else ()),
        scale_down=_rules(entry.scale_down, DOWN_WINDOW_S, HPA_DOWN if by_hpa else ()),
    )


def _rules(
    entry: ScalingEntry, default_window_s: int, default: tuple[ScalingPolicy, ...]
) -> ScalingRules:
    window_s = entry.stabilization_window_seconds
    policies = tuple(
        ScalingPolicy(
            type=PolicyType(policy.type), value=policy.value, period_s=policy.period_seconds
        )
        for policy in entry.policies or ()
    )
    return ScalingRules(
        stabilization_window_s=default_window_s if window_s is None else window_s,
        select_policy=SelectPolicy(entry.select_policy),
        policies=policies or default,
        tolerance=entry.tolerance,
    )
