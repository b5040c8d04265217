"""How agentdash answers the cases of the HPA that speak of pods, and its whole passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.planning.hpa import (
    HpaMemory,
    Outcome,
    Scale,
    Selector,
    Settings,
    Spec,
    reconcile,
    settle,
)

from controller.model.fleet import (
    Behavior,
    PolicyType,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.memory import RecommendationRun, ScaleChange
from controller.model.metrics import (
    AverageValueTarget,
    ConditionStatus,
    ContainerRequest,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MeasuredMetric,
    MeasuredPod,
    MetricSpec,
    MetricValue,
    ObjectMetric,
    PodFigure,
    PodFigures,
    PodReadiness,
    PodsMetric,
    PodUsage,
    PodUsages,
    ResourceMetric,
    Series,
    StatusPhase,
    UnknownMetric,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.demand.metrics.external import MetricError, Tolerance
from controller.planning.demand.metrics.pods import (
    Sample,
    Startup,
    figure_samples,
    group_pods,
    pod_requests,
    pod_samples,
    pods_average_value,
    resource_utilization,
)
from controller.planning.recommend.behavior import hpa_defaults

Inputs = Mapping[str, Any]
Answer = Mapping[str, Any]


def tolerance_of(config: Inputs) -> Tolerance:
    return Tolerance(down=config["tolerance_down"], up=config["tolerance_up"])


def startup_of(config: Inputs) -> Startup:
    return Startup(
        cpu_initialization_s=config["cpu_initialization_period_s"],
        readiness_delay_s=config["initial_readiness_delay_s"],
    )


def pods_of(pods: list[Any], resource: str = "cpu") -> tuple[MeasuredPod, ...]:
    return tuple(_pod(pod, resource) for pod in pods)


def _pod(pod: Inputs, resource: str) -> MeasuredPod:
    ready = pod.get("ready")
    readiness = None
    if ready is not None:
        status = ConditionStatus.TRUE if ready else ConditionStatus.FALSE
        readiness = PodReadiness(status=status, since=pod.get("ready_transition_time") or 0)
    # a pod always has a container; where no request is named, it asks for nothing
    requests = pod.get(f"{resource}_requests_milli") or {"": None}
    containers = tuple(_container(name, milli, resource) for name, milli in requests.items())
    return MeasuredPod(
        name=pod["name"],
        phase=StatusPhase(pod.get("phase", "Running")),
        deleting=pod.get("deleting", False),
        started_at=pod.get("start_time"),
        readiness=readiness,
        containers=containers,
    )


def _container(name: str, milli: int | None, resource: str) -> ContainerRequest:
    return ContainerRequest(name=name, requests_milli={} if milli is None else {resource: milli})


def _usages(metric: Inputs) -> PodUsages:
    key = f"{metric.get('resource', 'cpu')}_usage_milli"
    return PodUsages(
        items=tuple(
            PodUsage(
                pod=sample["pod"],
                containers=sample.get(key) or {},
                at=sample["timestamp"],
                window_s=sample["window_s"],
            )
            for sample in metric.get("samples") or ()
        )
    )


def _figures(metric: Inputs) -> PodFigures:
    return PodFigures(
        items=tuple(
            PodFigure(
                pod=sample["pod"],
                value_milli=sample["value_milli"],
                at=sample["timestamp"],
                window_s=sample["window_s"],
            )
            for sample in metric.get("samples") or ()
        )
    )


def _resource_utilization(inputs: Inputs) -> Answer:
    metric = inputs["metric"]
    resource, container = metric["resource"], metric.get("container") or ""
    try:
        found = resource_utilization(
            pod_samples(_usages(metric), container),
            metric["target_percent"],
            current=inputs["current_replicas"],
            pods=pods_of(inputs["pods"], resource),
            resource=resource,
            container=container,
            tolerance=tolerance_of(inputs["config"]),
            startup=startup_of(inputs["config"]),
            now=inputs["now"],
        )
    except MetricError as error:
        return {"error": str(error)}
    return {
        "replicas": found.replicas,
        "utilization_percent": found.percent,
        "average_raw_milli": found.average_milli,
    }


def _pods_average_value(inputs: Inputs) -> Answer:
    metric = inputs["metric"]
    resource = metric.get("resource") or ""
    try:
        samples = (
            pod_samples(_usages(metric), metric.get("container") or "")
            if resource
            else figure_samples(_figures(metric))
        )
        found = pods_average_value(
            samples,
            metric["target_milli"],
            current=inputs["current_replicas"],
            pods=pods_of(inputs["pods"], resource),
            tolerance=tolerance_of(inputs["config"]),
            startup=startup_of(inputs["config"]),
            now=inputs["now"],
            resource=resource,
        )
    except MetricError as error:
        return {"error": str(error)}
    return {"replicas": found.replicas, "usage_milli": found.usage_milli}


def _pod_grouping(inputs: Inputs) -> Answer:
    samples = {
        pod: Sample(0, sample["timestamp"], sample["window_s"])
        for pod, sample in inputs["metrics"].items()
    }
    groups = group_pods(
        pods_of(inputs["pods"]), samples, inputs["resource"], startup_of(inputs), inputs["now"]
    )
    return {
        "ready_pod_count": groups.ready,
        "unready": sorted(groups.unready),
        "missing": sorted(groups.missing),
        "ignored": sorted(groups.ignored),
    }


def _pod_requests(inputs: Inputs) -> Answer:
    resource = inputs["resource"]
    try:
        requests = pod_requests(
            tuple(_requesting(pod, resource) for pod in inputs["pods"]),
            resource,
            inputs["container"] or "",
            pod_level=inputs["pod_level_resources_enabled"],
        )
    except MetricError as error:
        return {"error": str(error)}
    return {"requests_milli": requests}


def _requesting(pod: Inputs, resource: str) -> MeasuredPod:
    whole = pod.get("pod_level_request_milli")
    return MeasuredPod(
        name=pod["name"],
        phase=StatusPhase.RUNNING,
        containers=tuple(
            _container(one["name"], one["request_milli"], resource) for one in pod["containers"]
        ),
        sidecars=tuple(
            _container(one["name"], one["request_milli"], resource)
            for one in pod["init_containers"]
            if one.get("restartable") or one.get("restart_policy") == "Always"
        ),
        requests_milli={} if whole is None else {resource: whole},
    )


def rules_of(rules: Inputs | None, default: ScalingRules) -> ScalingRules:
    """One direction as it is written; what is left out is the HPA's default."""
    if rules is None:
        return default
    window_s = rules.get("stabilization_window_s")
    policies = rules.get("policies")
    return ScalingRules(
        stabilization_window_s=default.stabilization_window_s if window_s is None else window_s,
        select_policy=SelectPolicy(rules.get("select_policy") or "Max"),
        policies=tuple(
            ScalingPolicy(
                type=PolicyType(one["type"]), value=one["value"], period_s=one["period_s"]
            )
            for one in policies
        )
        if policies
        else default.policies,
    )


def behavior_of(behavior: Inputs | None, downscale_window_s: int) -> Behavior | None:
    if behavior is None:
        return None
    default = hpa_defaults(downscale_window_s)
    return Behavior(
        scale_up=rules_of(behavior.get("scale_up"), default.scale_up),
        scale_down=rules_of(behavior.get("scale_down"), default.scale_down),
    )


def _value_target(metric: Inputs) -> ValueTarget | AverageValueTarget:
    if metric["target_type"] == "value":
        return ValueTarget(milli=metric["target_milli"])
    return AverageValueTarget(milli=metric["target_milli"])


def _resource_target(metric: Inputs) -> UtilizationTarget | AverageValueTarget:
    if metric["target_type"] == "utilization":
        return UtilizationTarget(percent=metric["target_percent"])
    return AverageValueTarget(milli=metric["target_milli"])


def metric_of(metric: Inputs) -> MetricSpec:
    name = metric.get("name") or ""
    match metric["source"]:
        case "external":
            return ExternalMetric(name=name, target=_value_target(metric))
        case "object":
            return ObjectMetric(name=name, target=_value_target(metric))
        case "pods":
            return PodsMetric(name=name, target=AverageValueTarget(milli=metric["target_milli"]))
        case "resource" | "container_resource":
            resource, target = metric["resource"], _resource_target(metric)
            if metric.get("container"):
                container = metric["container"]
                return ContainerResourceMetric(
                    resource=resource, container=container, target=target
                )
            return ResourceMetric(resource=resource, target=target)
        case other:
            return UnknownMetric(source=other)


def reading_of(metric: Inputs, now: float) -> Reading[MetricValue]:
    if metric.get("fetch_error"):
        return Absent(why=Why.REFUSED, at=now, detail=metric["fetch_error"])
    value: MetricValue
    match metric["source"]:
        case "external":
            value = Series(values_milli=tuple(metric.get("values_milli") or ()))
        case "object":
            value = Figure(value_milli=metric["value_milli"])
        case "pods":
            value = _figures(metric)
        case "resource" | "container_resource":
            value = _usages(metric)
        case _:
            return Absent(why=Why.NEVER_READ)
    return Fresh(value=value, at=now)


def memory_of(inputs: Inputs) -> HpaMemory:
    history, now = inputs.get("recommendation_history"), inputs["now"]
    runs = None
    if history is not None:
        aged = sorted(history, key=lambda one: -one["age_s"])
        runs = tuple(
            RecommendationRun(
                replicas=one["replicas"], first_at=now - one["age_s"], last_at=now - one["age_s"]
            )
            for one in aged
        )
    return HpaMemory(
        recommendations=runs,
        scaled_up=_events(inputs, "scale_up_events"),
        scaled_down=_events(inputs, "scale_down_events"),
    )


def _events(inputs: Inputs, key: str) -> tuple[ScaleChange, ...]:
    return tuple(
        ScaleChange(change=event["change"], at=inputs["now"] - event["age_s"])
        for event in inputs.get(key) or ()
    )


_SELECTORS: Mapping[str, Selector] = {
    "valid": Selector.VALID,
    "missing": Selector.MISSING,
    "unparsable": Selector.UNPARSABLE,
    "pods_claimed_by_other_autoscaler": Selector.AMBIGUOUS,
}


def scale_of(inputs: Inputs) -> Scale | None:
    target = inputs["target"]
    if target.get("get_error"):
        return None
    return Scale(
        replicas=target["spec_replicas"],
        status_replicas=target["status_replicas"],
        pods=pods_of(inputs["pods"]),
        selector=_SELECTORS[target["selector"]],
    )


def settings_of(config: Inputs) -> Settings:
    return Settings(
        tolerance=tolerance_of(config),
        startup=startup_of(config),
        downscale_window_s=config["downscale_stabilization_s"],
        growth_factor=config["no_behavior_scale_up_limit_factor"],
        growth_minimum=config["no_behavior_scale_up_limit_minimum"],
    )


def _pass(inputs: Inputs, spec: Spec, settings: Settings) -> Outcome:
    now = inputs["now"]
    done = reconcile(spec, scale_of(inputs), memory_of(inputs), settings, now)
    return settle(done, spec, now, written=not inputs["target"].get("update_error"))


def min_of(hpa: Inputs) -> int:
    """spec.minReplicas, 1 where it is not said (pkg/apis/autoscaling/v2/defaults.go)."""
    low = hpa.get("min_replicas")
    return 1 if low is None else int(low)


def _reconcile(inputs: Inputs) -> Answer:
    hpa, settings = inputs["hpa"], settings_of(inputs["config"])
    spec = Spec(
        min=min_of(hpa),
        max=hpa["max_replicas"],
        metrics=tuple(
            MeasuredMetric(spec=metric_of(metric), reading=reading_of(metric, inputs["now"]))
            for metric in hpa["metrics"]
        ),
        behavior=behavior_of(hpa.get("behavior"), inputs["config"]["downscale_stabilization_s"]),
    )
    outcome = _pass(inputs, spec, settings)
    again = _pass(inputs, spec, settings)
    percents = [one.percent for one in outcome.statuses if one.percent is not None]
    current = inputs["target"]["spec_replicas"]
    return {
        "desired_replicas": current if outcome.desired is None else outcome.desired,
        "scale_written": outcome.action.value != "none",
        "conditions": [
            {"type": one.type.value, "status": str(one.holds), "reason": one.reason}
            for one in outcome.conditions
        ],
        "action": outcome.action.value,
        "error_class": "internal" if outcome.failed else "none",
        "event": None
        if outcome.event is None
        else {"reason": outcome.event[0], "message": outcome.event[1]},
        "cpu_utilization_percent": percents[0] if percents else None,
        # the status that is there is what the same pass found before
        "status_write": again.conditions != outcome.conditions or again.desired != outcome.desired,
    }


HPA_ANSWERS: Mapping[str, Callable[[Inputs], Answer]] = {
    "resource_utilization": _resource_utilization,
    "resource_average_value": _pods_average_value,
    "pods_average_value": _pods_average_value,
    "pod_grouping": _pod_grouping,
    "pod_requests": _pod_requests,
    "reconcile": _reconcile,
}
