"""Cases of the HPA: their inputs as values, and the answers of the reference HPA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from conformance.statement import NOW, Answer, Inputs
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
    UtilizationTarget,
    ValueTarget,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from reference.behavior import (
    Limited,
    changed_within,
    clamp_without_behavior,
    entry,
    hpa_defaults,
    limit_change,
    longest_period_s,
    record_change,
    stabilize,
    stabilize_down,
)
from reference.hpa import (
    HpaMemory,
    Outcome,
    Scale,
    Selector,
    Settings,
    Spec,
    reconcile,
    settle,
)
from reference.metric_specs import ReadMetric, UnknownMetric
from reference.metrics import (
    MetricError,
    Proposal,
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
)
from reference.pod_metrics import (
    Sample,
    Startup,
    figure_samples,
    group_pods,
    pod_requests,
    pod_samples,
    pods_average_value,
    resource_utilization,
    serving_pods,
)


def tolerance_of(config: Inputs) -> Tolerance:
    return Tolerance(down=config["tolerance_down"], up=config["tolerance_up"])


def startup_of(config: Inputs) -> Startup:
    return Startup(
        cpu_initialization_s=config["cpu_initialization_period_s"],
        readiness_delay_s=config["initial_readiness_delay_s"],
    )


def pods_of(pods: Sequence[Inputs], resource: str = "cpu") -> tuple[MeasuredPod, ...]:
    return tuple(_pod(pod, resource) for pod in pods)


def _pod(pod: Inputs, resource: str) -> MeasuredPod:
    ready = pod.get("ready")
    readiness = None
    if ready is not None:
        status = ConditionStatus.TRUE if ready else ConditionStatus.FALSE
        readiness = PodReadiness(status=status, since=pod.get("ready_transition_time") or 0)
    # a pod always has a container; where no request is named, it requests nothing
    requests = pod.get(f"{resource}_requests_milli") or {"": None}
    return MeasuredPod(
        name=pod["name"],
        phase=StatusPhase(pod.get("phase", "Running")),
        deleting=pod.get("deleting", False),
        started_at=pod.get("start_time"),
        readiness=readiness,
        containers=tuple(_container(name, milli, resource) for name, milli in requests.items()),
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


def resource_utilization_by(inputs: Inputs, startup: Startup) -> Answer:
    """The answer with these settings for pods that have just started."""
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
            startup=startup,
            now=inputs["now"],
        )
    except MetricError as error:
        return {"error": str(error), "fault": error.fault.value}
    return {
        "replicas": found.replicas,
        "utilization_percent": found.percent,
        "average_raw_milli": found.average_milli,
    }


def pods_average_value_by(inputs: Inputs, startup: Startup) -> Answer:
    """The answer with these settings for pods that have just started."""
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
            startup=startup,
            now=inputs["now"],
            resource=resource,
        )
    except MetricError as error:
        return {"error": str(error), "fault": error.fault.value}
    return {"replicas": found.replicas, "usage_milli": found.usage_milli}


def _by_its_own_settings(
    answer: Callable[[Inputs, Startup], Answer],
) -> Callable[[Inputs], Answer]:
    return lambda inputs: answer(inputs, startup_of(inputs["config"]))


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


def _ready(inputs: Inputs) -> int | None:
    return serving_pods(pods_of(inputs["pods"]))


def _proposed(propose: Callable[[Inputs], Proposal | None]) -> Callable[[Inputs], Answer]:
    """The answer of a metric; one that proposes nothing is not known, and says why."""

    def answer(inputs: Inputs) -> Answer:
        try:
            proposal = propose(inputs)
        except MetricError as error:
            return {"known": False, "error": str(error), "fault": error.fault.value}
        if proposal is None:
            text = "no metrics returned from external metrics API"
            return {"known": False, "error": text, "fault": "no_series"}
        return {"replicas": proposal.replicas, "usage_milli": proposal.usage_milli, "known": True}

    return answer


def _external_value(inputs: Inputs) -> Proposal | None:
    metric = inputs["metric"]
    return external_value(
        metric.get("values_milli", ()),
        metric["target_milli"],
        inputs["current_replicas"],
        _ready(inputs),
        tolerance_of(inputs["config"]),
    )


def _external_average_value(inputs: Inputs) -> Proposal | None:
    metric = inputs["metric"]
    return external_average_value(
        metric.get("values_milli", ()),
        metric["target_milli"],
        inputs["status_replicas"],
        tolerance_of(inputs["config"]),
    )


def _object_value(inputs: Inputs) -> Proposal:
    metric = inputs["metric"]
    return object_value(
        metric["value_milli"],
        metric["target_milli"],
        inputs["current_replicas"],
        _ready(inputs),
        tolerance_of(inputs["config"]),
    )


def _object_average_value(inputs: Inputs) -> Proposal:
    metric = inputs["metric"]
    return object_average_value(
        metric["value_milli"],
        metric["target_milli"],
        inputs["status_replicas"],
        tolerance_of(inputs["config"]),
    )


def rules_of(rules: Inputs | None) -> ScalingRules:
    """One direction, with nothing filled in."""
    rules = rules or {}
    return ScalingRules(
        stabilization_window_s=rules.get("stabilization_window_s") or 0,
        select_policy=SelectPolicy(rules.get("select_policy") or "Max"),
        policies=tuple(
            ScalingPolicy(
                type=PolicyType(policy["type"]), value=policy["value"], period_s=policy["period_s"]
            )
            for policy in rules.get("policies") or ()
        ),
    )


def events_of(events: Sequence[Inputs] | None, now: float = NOW) -> tuple[ScaleChange, ...]:
    return tuple(
        ScaleChange(change=event["change"], at=now - event["age_s"]) for event in events or ()
    )


def history_of(given: Sequence[Inputs] | None, now: float = NOW) -> tuple[RecommendationRun, ...]:
    """The recommendations, oldest first."""
    aged = sorted(given or (), key=lambda one: -one["age_s"])
    return tuple(entry(one["replicas"], now - one["age_s"]) for one in aged)


def _limited(limited: Limited) -> Answer:
    return {"replicas": limited.replicas, "reason": limited.reason.value}


def _behavior_rate_limit(inputs: Inputs) -> Answer:
    behavior = inputs["behavior_effective"]
    return _limited(
        limit_change(
            inputs["current_replicas"],
            inputs["desired_replicas"],
            low=inputs["min_replicas"],
            high=inputs["max_replicas"],
            behavior=Behavior(
                scale_up=rules_of(behavior["scale_up"]), scale_down=rules_of(behavior["scale_down"])
            ),
            added=events_of(inputs.get("scale_up_events")),
            removed=events_of(inputs.get("scale_down_events")),
            now=NOW,
        )
    )


def clamp_by(inputs: Inputs, factor: int, minimum: int) -> Answer:
    """The answer with this limit on growth without `behavior`."""
    return _limited(
        clamp_without_behavior(
            inputs["current_replicas"],
            inputs["desired_replicas"],
            inputs["min_replicas"],
            inputs["max_replicas"],
            factor=factor,
            minimum=minimum,
        )
    )


def _clamp_without_behavior(inputs: Inputs) -> Answer:
    return clamp_by(inputs, inputs["scale_up_limit_factor"], inputs["scale_up_limit_minimum"])


def _stabilize_with_behavior(inputs: Inputs) -> Answer:
    windows = Behavior(
        scale_up=ScalingRules(stabilization_window_s=inputs["scale_up_window_s"]),
        scale_down=ScalingRules(stabilization_window_s=inputs["scale_down_window_s"]),
    )
    log = history_of(inputs["recommendations"])
    current, desired = inputs["current_replicas"], inputs["desired_replicas"]
    return {"stabilized_replicas": stabilize(current, desired, log, windows, NOW)}


def _stabilize_without_behavior(inputs: Inputs) -> Answer:
    window_s, desired = inputs["downscale_stabilization_s"], inputs["desired_replicas"]
    log = history_of(inputs["recommendations"])
    return {"stabilized_replicas": stabilize_down(desired, log, window_s, NOW)}


def _scale_event_log(inputs: Inputs) -> Answer:
    """Only what still counts is compared: an outdated event is a free slot there, dropped here."""
    events = events_of(inputs["events"])
    after = events
    if inputs["rules"] is not None:  # the HPA keeps no log for a target without `behavior`
        change = abs(inputs["new_replicas"] - inputs["previous_replicas"])
        after = record_change(events, change, NOW, longest_period_s(rules_of(inputs["rules"])))
    return {
        "change_in_period_before_store": changed_within(events, inputs["query_period_s"], NOW),
        "events_after_store": sorted(event.change for event in after),
    }


def _written_rules(rules: Inputs | None, default: ScalingRules) -> ScalingRules:
    """One direction as it is written; what is left out is the HPA's default."""
    if rules is None:
        return default
    window_s = rules.get("stabilization_window_s")
    own = rules_of(rules)
    return ScalingRules(
        stabilization_window_s=default.stabilization_window_s if window_s is None else window_s,
        select_policy=own.select_policy,
        policies=own.policies or default.policies,
    )


def behavior_of(behavior: Inputs | None, downscale_window_s: int) -> Behavior | None:
    if behavior is None:
        return None
    default = hpa_defaults(downscale_window_s)
    return Behavior(
        scale_up=_written_rules(behavior.get("scale_up"), default.scale_up),
        scale_down=_written_rules(behavior.get("scale_down"), default.scale_down),
    )


def _value_target(metric: Inputs) -> ValueTarget | AverageValueTarget:
    if metric["target_type"] == "value":
        return ValueTarget(milli=metric["target_milli"])
    return AverageValueTarget(milli=metric["target_milli"])


def _resource_target(metric: Inputs) -> UtilizationTarget | AverageValueTarget:
    if metric["target_type"] == "utilization":
        return UtilizationTarget(percent=metric["target_percent"])
    return AverageValueTarget(milli=metric["target_milli"])


def metric_of(metric: Inputs) -> MetricSpec | UnknownMetric:
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
    return HpaMemory(
        recommendations=None if history is None else history_of(history, now),
        scaled_up=events_of(inputs.get("scale_up_events"), now),
        scaled_down=events_of(inputs.get("scale_down_events"), now),
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


def min_of(hpa: Inputs) -> int:
    """spec.minReplicas, 1 where it is not said (pkg/apis/autoscaling/v2/defaults.go)."""
    low = hpa.get("min_replicas")
    return 1 if low is None else int(low)


def reconciled(inputs: Inputs, settings: Settings) -> Outcome:
    """One whole pass by these settings."""
    hpa, now = inputs["hpa"], inputs["now"]
    spec = Spec(
        min=min_of(hpa),
        max=hpa["max_replicas"],
        metrics=tuple(
            ReadMetric(metric_of(metric), reading_of(metric, now)) for metric in hpa["metrics"]
        ),
        behavior=behavior_of(hpa.get("behavior"), int(settings.downscale_window_s)),
    )
    done = reconcile(spec, scale_of(inputs), memory_of(inputs), settings, now)
    return settle(done, spec, now, written=not inputs["target"].get("update_error"))


def _reconcile(inputs: Inputs) -> Answer:
    settings = settings_of(inputs["config"])
    outcome, again = reconciled(inputs, settings), reconciled(inputs, settings)
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
    "resource_utilization": _by_its_own_settings(resource_utilization_by),
    "resource_average_value": _by_its_own_settings(pods_average_value_by),
    "pods_average_value": _by_its_own_settings(pods_average_value_by),
    "pod_grouping": _pod_grouping,
    "pod_requests": _pod_requests,
    "external_value": _proposed(_external_value),
    "external_average_value": _proposed(_external_average_value),
    "object_value": _proposed(_object_value),
    "object_average_value": _proposed(_object_average_value),
    "behavior_rate_limit": _behavior_rate_limit,
    "clamp_without_behavior": _clamp_without_behavior,
    "stabilize_with_behavior": _stabilize_with_behavior,
    "stabilize_without_behavior": _stabilize_without_behavior,
    "scale_event_log": _scale_event_log,
    "reconcile": _reconcile,
}
