"""Pools, settings and whole traces in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import (
    QUEUE,
    AverageValueTarget,
    Behavior,
    ExternalMetric,
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
)
from controller.model.ids import pool_key
from controller.simulate.planned import PlannerPolicy
from controller.simulate.policies import HpaKedaSettings
from controller.simulate.score import least_replica_s
from controller.simulate.trace import Trace
from controller.simulate.world import Policy, PoolRun, SeenPool, World, run_pool

SOURCE_SETTINGS: Final = HpaKedaSettings(
    behavior=Behavior(
        scale_up=ScalingRules(
            stabilization_window_s=30,
            policies=(ScalingPolicy(type=PolicyType.PODS, value=10, period_s=60),),
        ),
        scale_down=ScalingRules(
            stabilization_window_s=300,
            policies=(ScalingPolicy(type=PolicyType.PODS, value=5, period_s=120),),
        ),
    ),
    cooldown_s=900.0,
)

# the same with a scaler that counts only waiting messages, and a target of two per slot
LAG_SETTINGS: Final = SOURCE_SETTINGS._replace(in_flight_counts=False, target_milli=2000)

# the default behavior for rule native: no limit on scale-up, the HPA's window on scale-down
_NATIVE_BEHAVIOR: Final = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=300),
)
_TENANT: Final = "simulated"


def native_pool(
    name: str,
    native: NativePreset | NativeCosts,
    *,
    slots: int = 1,
    cooldown_s: float = 900.0,
    maximum: int = 10_000,
) -> Pool:
    """A pool of rule `native`, with the fleet file's defaults for everything else."""
    return Pool(
        key=pool_key(_TENANT, name),
        name=name,
        tenant=_TENANT,
        namespace=_TENANT,
        deployment=name,
        stream="TASKS",
        consumer=name,
        behavior=_NATIVE_BEHAVIOR,
        slots=slots,
        target=slots,
        max=maximum,
        cooldown_s=cooldown_s,
        native=native,
        window_given=False,
    )


def hpa_pool(name: str, settings: HpaKedaSettings, *, slots: int = 1) -> Pool:
    """A pool of rule `hpa` with these settings; messages in flight always count as demand."""
    target = AverageValueTarget(milli=settings.target_milli * slots)
    return replace(
        native_pool(name, NativePreset.PROMPT, slots=slots, maximum=settings.maximum),
        rule=Rule.HPA,
        behavior=settings.behavior,
        cooldown_s=settings.cooldown_s,
        min=settings.minimum,
        metrics=(ExternalMetric(name=QUEUE, target=target),),
        window_given=True,
    )


HPA_SYNC_S, KEDA_POLL_S = 15.0, 30.0


class InHpaPeriods(PlannerPolicy):
    """The planner at the fixed times of an HPA, or of KEDA while there are no replicas."""

    on_events = False

    def next_look(self, _: SeenPool, replicas: int, now: float) -> float:
        period_s = HPA_SYNC_S if replicas else KEDA_POLL_S
        return (now // period_s + 1) * period_s


def run(trace: Trace, policy: Callable[[str], Policy], world: World) -> dict[str, PoolRun]:
    """Run each pool of the trace with its own policy, until its tasks are done and the trace has
    ended. `policy` makes the policy of a pool from its name. Pools share nothing.
    """
    return {
        name: run_pool(tasks, policy(name), world, trace.end_s)
        for name, tasks in trace.pools.items()
    }


def clairvoyant_replica_s(trace: Trace, world: World) -> float:
    """The least replica-seconds with which no task of the trace waits."""
    return sum(least_replica_s(tasks, world) for tasks in trace.pools.values())
