"""HorizontalPodAutoscalers and KEDA's ScaledObjects read as pools, and what has no counterpart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from controller.config import parse
from controller.config.document import FleetFileError, KeyPath, read, spell
from controller.config.foreign import Entry, Given, Remark
from controller.config.scalars import RESERVED_SIGNALS
from controller.model.fleet import QUEUE
from controller.model.text import clean

HPA: Final = "HorizontalPodAutoscaler"
SCALED_OBJECT: Final = "ScaledObject"

# KEDA: pkg/scalers/*_scaler.go, the metadata that holds the target of a trigger
_TARGETS: Final = (
    *("lagThreshold", "threshold", "value", "targetValue", "queueLength", "listLength"),
    *("messageCount", "subscriptionSize", "pendingEntriesCount", "streamLength", "lagCount"),
    *("targetQueryValue", "queryValue", "targetMetricValue", "thresholdValue", "targetQueueSize"),
    *("unprocessedEventThreshold", "msgBacklogThreshold", "msgBacklog", "messageCountTarget"),
    *("targetWorkflowQueueLength", "targetPipelinesQueueLength", "queueDepth", "shardCount"),
    *("blobCount", "objectCount", "targetObjectCount", "depthThreshold"),
)
_DEFAULT_TARGETS: Final = {
    **dict.fromkeys(("nats-jetstream", "stan", "kafka", "apache-kafka", "pulsar"), "10"),
    **dict.fromkeys(("aws-sqs-queue", "azure-queue", "azure-servicebus", "temporal"), "5"),
    **dict.fromkeys(("redis", "redis-cluster", "redis-sentinel", "azure-blob", "gcp-pubsub"), "5"),
    **dict.fromkeys(("redis-streams", "redis-cluster-streams", "redis-sentinel-streams"), "5"),
    **dict.fromkeys(("github-runner", "azure-pipelines", "selenium-grid"), "1"),
    **dict.fromkeys(("activemq", "artemis-queue", "nsq"), "10"),
    **dict.fromkeys(("rabbitmq", "ibmmq"), "20"),
    "azure-eventhub": "64",
}
_SEPARATOR: Final = re.compile(r"^---(?=\s|$).*$", re.MULTILINE)
_NO_QUEUE: Final = "set this: no trigger reads JetStream; without it the metrics alone decide"


class Imported(NamedTuple):
    """One autoscaler. `pool`: its entry in a fleet file, None if it cannot be one."""

    kind: str
    namespace: str
    name: str
    target: str
    pool: Entry | None
    remarks: tuple[Remark, ...]
    file: str
    line: int
    timezone: str = ""
    prometheus: str = ""

    @property
    def title(self) -> str:
        """Its kind, namespace and name."""
        return clean(f"{self.kind} {self.namespace}/{self.name}")

    @property
    def state(self) -> str:
        """How much of it a fleet file can say: wholly, in part, or not."""
        if self.pool is None:
            return "not"
        return "in part" if any(each.is_lost for each in self.remarks) else "wholly"


class _Refusal(Exception):  # noqa: N818 - it says why one object is left out, and ends in a remark
    """Why an object cannot be a pool."""

    def __init__(self, path: KeyPath, words: str) -> None:
        super().__init__(words)
        self.path, self.words = path, words


def autoscalers(text: str, name: str, namespace: str = "default") -> Iterator[Imported | Remark]:
    """Each HPA and ScaledObject of a text with YAML documents, and `List`s, in its order; a Remark
    for what cannot be read. Other kinds are passed over. `name` is that of the file in messages;
    `namespace` is that of objects that name none.
    """
    ends = [*_SEPARATOR.finditer(text)]
    begin = 0
    for end in (*(each.span() for each in ends), (len(text), len(text))):
        part, first_line = text[begin : end[0]], text.count("\n", 0, begin)
        begin = end[1]
        try:
            document = read(part, name)
        except FleetFileError as error:
            yield _unreadable(error, first_line, part)
            continue
        for root, data in _objects((), document.data):
            given = Given(document, first_line, root, data)
            if str(data.get("kind")) in _READERS:
                yield _imported(given, namespace)
            elif data.get("kind") == "ScaledJob":
                where = given.text("metadata", "name")
                given.remark(("kind",), f"ScaledJob {where} starts jobs, which are no pools")
                yield given.remarks[0]


def _unreadable(error: FleetFileError, first_line: int, text: str) -> Remark:
    first = error.errors[0]
    words = f"{first.path and first.path + ': '}{first.message}"
    if "{{" in text:
        words += "; it looks like a template: render it first, as with helm template"
    return Remark(first.file, first.line + first_line, "this document", words)


def _objects(path: KeyPath, data: object) -> Iterator[tuple[KeyPath, Entry]]:
    if not isinstance(data, dict):
        return
    items = data.get("items")
    if str(data.get("kind")).endswith("List") and isinstance(items, list):
        for number, item in enumerate(items):
            yield from _objects((*path, "items", number), item)
    else:
        yield path, data


def _imported(given: Given, namespace: str) -> Imported:
    kind, name = str(given.get("kind")), given.text("metadata", "name") or "(no name)"
    namespace = given.text("metadata", "namespace") or namespace
    draft = _Draft(given, namespace)
    try:
        draft.read_target()
        _READERS[kind](given, draft)
        draft.check()
        given.remark_the_rest()
        pool: Entry | None = draft.pool
    except _Refusal as why:
        given.remark(why.path, f"not imported: {why.words}")
        pool = None
    target = f"{draft.target_kind.lower()}/{draft.target}"
    place = (given.file, given.line())
    more = (*place, draft.timezone, draft.prometheus)
    return Imported(kind, namespace, name, target, pool, tuple(given.remarks), *more)


class _Draft:
    """A pool that is being written, with the place from which each of its keys comes."""

    def __init__(self, given: Given, namespace: str) -> None:
        self.given = given
        self.pool: Entry = {"tenant": namespace, "rule": "hpa"}
        self.metrics: list[tuple[KeyPath, Entry]] = []
        self.signals: Entry = {}
        self.origins: dict[str, KeyPath] = {"tenant": ("metadata", "namespace")}
        self.timezone = self.prometheus = self.target = ""
        self.target_kind = "Deployment"

    def read_target(self) -> None:
        """The workload. Raises _Refusal if it is none that agentdash scales."""
        at = ("spec", "scaleTargetRef")
        self.target_kind = self.given.text(*at, "kind") or "Deployment"
        self.given.text(*at, "apiVersion")
        # keda.k8s.io, before version 2, calls it deploymentName
        self.target = self.given.text(*at, "name") or self.given.text(*at, "deploymentName")
        if self.target_kind not in {"Deployment", "StatefulSet"} or not self.target:
            what = f"a {self.target_kind}" if self.target else "nothing with a name"
            words = f"it scales {what}; agentdash scales Deployments and StatefulSets"
            raise _Refusal(at, words)
        name = re.sub(r"[^a-z0-9-]+", "-", self.target.lower()).strip("-")[:63].strip("-")
        key = "deployment" if self.target_kind == "Deployment" else "statefulset"
        queue = queue_to_set(self.pool["tenant"], name)
        self.pool = {"name": name, **self.pool, "queue": queue, "slots": 1}
        if key == "statefulset" or name != self.target:
            self.pool[key] = self.target

    def put(self, key: str, value: Any, path: KeyPath) -> None:
        """Write a key, unless there is nothing to write."""
        if value is not None:
            self.pool[key], self.origins[key] = value, path

    def signal(self, wanted: str, source: Entry) -> str:
        """The name of a signal with this source."""
        plain = re.sub(r"[^A-Za-z0-9_]", "_", wanted)[:58]
        plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"m_{plain}"
        name, number = plain, 2
        while name in RESERVED_SIGNALS or self.signals.get(name, source) != source:
            name, number = f"{plain}_{number}", number + 1
        self.signals[name] = source
        return name

    def check(self) -> None:
        """Leave out what the fleet file's reader refuses. Raises _Refusal if nothing is left."""
        while True:
            self.pool |= {
                "metrics": [entry for _, entry in self.metrics] or None,
                "signals": self.signals or None,
            }
            self.pool = {key: value for key, value in self.pool.items() if value is not None}
            problems = problems_of([self.pool])
            if not problems:
                break
            self._leave_out(*problems[0])
        if not self.metrics and "schedules" not in self.pool:
            raise _Refusal(("spec",), "none of its metrics has a counterpart")

    def _leave_out(self, path: KeyPath, words: str) -> None:
        key, *rest = path or ("name",)
        if key == "metrics" and rest and isinstance(rest[0], int):
            at, _ = self.metrics.pop(rest[0])
        elif key == "signals" and rest and isinstance(rest[0], str):
            at = self.origins.get(f"signals.{rest[0]}", ("spec",))
            self.signals.pop(rest[0])
            self.metrics = [
                each
                for each in self.metrics
                if each[1].get("external", {}).get("metric") != {"name": rest[0]}
            ]
        elif key in self.origins and key not in {"replicas", "tenant"}:
            at = self.origins.pop(str(key))
            del self.pool[str(key)]
        else:
            raise _Refusal(self.origins.get(str(key), ("spec",)), f"{spell(path)}: {words}")
        self.given.remark(at, f"left out: {spell(path)}: {words}")


def queue_to_set(tenant: str, name: str) -> Entry:
    """The queue of a pool that has none; a fleet file must name one."""
    return {"stream": "TASKS", "consumer": f"{tenant}-{name}"}


def problems_of(
    pools: Sequence[Entry], tenants: Mapping[str, Entry] | None = None, prometheus: str = ""
) -> list[tuple[KeyPath, str]]:
    """What the fleet file's reader says against these pools: the path in the first that it names,
    and its words. For several pools the path begins with the pool's number.
    """
    text = json.dumps(document_of(pools, tenants, prometheus))
    try:
        parse(text, "import")
    except FleetFileError as error:
        found = []
        for each in error.errors:
            keys = re.findall(r"\[(\d+)\]|\.?([^.\[\]]+)", each.path)
            path: KeyPath = tuple(int(number) if number else key for number, key in keys)
            if path[:1] == ("tenants",):
                path = ("pools", 0, "tenant")
            is_one = path[:2] == ("pools", 0) and len(pools) == 1
            found.append((path[2:] if is_one else path[1:], each.message))
        return found
    return []


def document_of(
    pools: Sequence[Entry], tenants: Mapping[str, Entry] | None = None, prometheus: str = ""
) -> Entry:
    """A fleet file with these pools, as data."""
    owners = {pool["tenant"]: {"tier": "growth"} for pool in pools}
    queries = any(
        "prometheus" in signal for pool in pools for signal in pool.get("signals", {}).values()
    )
    url = prometheus or ("http://prometheus:9090" if queries else "")
    return {
        "version": 1,
        "nats": {"servers": ["nats://127.0.0.1:4222"]},
        **({"prometheus": {"url": url}} if url else {}),
        "tenants": {**owners, **(tenants or {})},
        "pools": list(pools),
    }


# HorizontalPodAutoscaler


def _read_hpa(given: Given, draft: _Draft) -> None:
    version = given.text("apiVersion")
    if version not in {"autoscaling/v1", "autoscaling/v2", "autoscaling/v2beta2"}:
        words = f"{version or 'no apiVersion'}: write it as autoscaling/v2 first (kubectl convert)"
        raise _Refusal(("apiVersion",), words)
    low = given.get("spec", "minReplicas")
    bounds = {"min": 1 if low is None else low, "max": given.get("spec", "maxReplicas")}
    draft.put("replicas", bounds, ("spec",))
    _put_behavior(draft, ("spec", "behavior"))
    percent = given.get("spec", "targetCPUUtilizationPercentage")
    count = given.count("spec", "metrics")
    if not count:  # HPA: pkg/apis/autoscaling/v2/defaults.go
        target = {"type": "Utilization", "averageUtilization": 80 if percent is None else percent}
        at = ("spec",) if percent is None else ("spec", "targetCPUUtilizationPercentage")
        entry = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        draft.metrics.append((at, entry))
    for number in range(count):
        _put_metric(draft, ("spec", "metrics", number))
    given.remark(("spec", "scaleTargetRef"), f"queue: {_NO_QUEUE}", is_lost=False)
    if low == 0:
        words = "to and from zero goes by cooldown (5 min here), and by one replica first, as KEDA"
        given.remark(("spec", "minReplicas"), words, is_lost=False)
        draft.pool["cooldown"] = 300


def _put_metric(draft: _Draft, at: KeyPath) -> None:
    """A metric of autoscaling/v2. An external one becomes a signal and a metric that names it."""
    entry = draft.given.get(*at)
    outer = entry.get("external") if isinstance(entry, dict) else None
    metric = outer.get("metric") if isinstance(outer, dict) else None
    if isinstance(metric, dict) and isinstance(outer, dict) and isinstance(metric.get("name"), str):
        name = draft.signal(metric["name"], {"external": {**metric}})
        draft.origins[f"signals.{name}"] = at
        entry = {**entry, "external": {**outer, "metric": {"name": name}}}
    draft.metrics.append((at, entry))


def _put_behavior(draft: _Draft, at: KeyPath) -> None:
    behavior = draft.given.get(*at)
    if isinstance(behavior, dict):  # an empty list of policies means that none is given
        behavior = {
            direction: {key: value for key, value in rules.items() if value != []}
            if isinstance(rules, dict)
            else rules
            for direction, rules in behavior.items()
        }
    draft.put("behavior", behavior, at)


# ScaledObject


def _read_scaled_object(given: Given, draft: _Draft) -> None:
    low, idle = given.get("spec", "minReplicaCount"), given.get("spec", "idleReplicaCount")
    most = given.get("spec", "maxReplicaCount")
    bounds = {"min": low or 0, "max": 100 if most is None else most}
    draft.put("replicas", {**bounds, **({} if idle is None else {"idle": idle})}, ("spec",))
    cooldown = given.get("spec", "cooldownPeriod")
    draft.put("cooldown", 300 if cooldown is None else cooldown, ("spec", "cooldownPeriod"))
    at: KeyPath = ("spec", "initialCooldownPeriod")
    draft.put("initial_cooldown", given.get(*at), at)
    draft.put("fallback", given.get("spec", "fallback"), ("spec", "fallback"))
    _put_behavior(draft, ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior"))
    found = [_Trigger(given, number) for number in range(given.count("spec", "triggers"))]
    formula_names = {name for each in found if (name := _put_trigger(draft, each))}
    _put_modifiers(draft, found, formula_names)
    _remark_annotations(given, draft)
    if QUEUE not in formula_names:
        given.remark(("spec", "triggers"), f"queue: {_NO_QUEUE}", is_lost=False)


class _Trigger:
    """One trigger of a ScaledObject; `name` is that of its signal, once it has one."""

    def __init__(self, given: Given, number: int) -> None:
        self.given, self.number, self.at = given, number, ("spec", "triggers", number)
        self.kind = given.text(*self.at, "type") or "(no type)"
        self.called = given.text(*self.at, "name")
        self.name = ""

    def text(self, key: str) -> str:
        """A value of its metadata."""
        return self.given.text(*self.at, "metadata", key)

    @property
    def target(self) -> str:
        """What its value is divided by; empty if that is not known."""
        texts = (self.text(key) for key in _TARGETS)
        return next(filter(None, texts), _DEFAULT_TARGETS.get(self.kind, ""))

    @property
    def metric_type(self) -> str:
        """AverageValue, Value or Utilization."""
        fallback = "Utilization" if self.kind in {"cpu", "memory"} else "AverageValue"
        return self.given.text(*self.at, "metricType") or self.text("type") or fallback

    def activation(self) -> str:
        """Its activation threshold; empty for 0."""
        given = self.given.peek(*self.at, "metadata")
        keys = given if isinstance(given, dict) else ()
        texts = [self.text(key) for key in keys if str(key).startswith("activation")]
        return next((text for text in texts if text.strip("0.")), "")


def _put_trigger(draft: _Draft, trigger: _Trigger) -> str:
    """Write a trigger as a metric; returns the name of what it reads, empty if it is no signal."""
    match trigger.kind:
        case "cpu" | "memory":
            _put_resource(draft, trigger)
            return ""
        case "cron":
            _put_cron(draft, trigger)
            return ""
        case "nats-jetstream" if "stream" not in draft.origins:
            stream, consumer = trigger.text("stream"), trigger.text("consumer")
            draft.put("queue", {"stream": stream, "consumer": consumer}, trigger.at)
            draft.origins["stream"] = trigger.at
            trigger.name = QUEUE
            _put_activation(draft, trigger)
        case "prometheus":
            trigger.name = _of_prometheus(draft, trigger)
        case _:
            trigger.name = _of_keda(draft, trigger)
    target = trigger.target
    if not target and trigger.given.peek("spec", "advanced", "scalingModifiers"):
        target = "1"  # the formula has a target, which alone counts
    if not target:
        words = f"the target of a trigger {trigger.kind} is not known here: add a metric by hand"
        trigger.given.remark(trigger.at, words)
        draft.signals.pop(trigger.name, None)
        return ""
    kind = trigger.metric_type
    written = {"type": kind, "value" if kind == "Value" else "averageValue": target}
    external = {"metric": {"name": trigger.name}, "target": written}
    draft.metrics.append((trigger.at, {"type": "External", "external": external}))
    draft.origins[f"signals.{trigger.name}"] = trigger.at
    return trigger.name


def _put_activation(draft: _Draft, trigger: _Trigger) -> None:
    activation = trigger.activation()
    if activation:
        number: object = int(activation) if activation.isdecimal() else activation
        draft.put("activation", number, (*trigger.at, "metadata", "activationLagThreshold"))


def _put_resource(draft: _Draft, trigger: _Trigger) -> None:
    value, kind = trigger.text("value"), trigger.metric_type
    target: Entry = {"type": kind, "averageValue": value}
    if kind == "Utilization":
        percent = int(value) if value.isdecimal() else value
        target = {"type": kind, "averageUtilization": percent}
    block = {"name": trigger.kind, "target": target}
    entry: Entry = {"type": "Resource", "resource": block}
    if container := trigger.text("containerName"):
        block = {**block, "container": container}
        entry = {"type": "ContainerResource", "containerResource": block}
    draft.metrics.append((trigger.at, entry))


def _of_prometheus(draft: _Draft, trigger: _Trigger) -> str:
    address, query = trigger.text("serverAddress"), trigger.text("query")
    is_another = bool(draft.prometheus and address and address != draft.prometheus)
    if is_another or problems_of([], prometheus=address):
        return _of_keda(draft, trigger)
    draft.prometheus = address or draft.prometheus
    trigger.text("metricName")
    if trigger.text("ignoreNullValues") != "false":
        words = "KEDA takes an empty answer for 0; here it holds the pool: add `or vector(0)`"
        trigger.given.remark((*trigger.at, "metadata", "query"), words, is_lost=False)
    return draft.signal(trigger.called or f"prometheus_{trigger.number}", {"prometheus": query})


def _of_keda(draft: _Draft, trigger: _Trigger) -> str:
    """The signal of a trigger that only KEDA can read: it is asked for the number."""
    given, owner = trigger.given, trigger.given.text("metadata", "name")
    names = given.peek("status", "externalMetricNames")
    names = names if isinstance(names, list) else []
    known = [each for each in names if str(each).startswith(f"s{trigger.number}-")]
    series = str(known[0]) if known else f"s{trigger.number}-{trigger.kind}"
    words = "KEDA goes on to read it: pause this ScaledObject, do not delete it"
    if not known:
        words += f"; check the series: kubectl get scaledobject {owner} -o yaml, in its status"
    given.remark(trigger.at, words, is_lost=False)
    given.get(*trigger.at, "metadata")
    given.get(*trigger.at, "authenticationRef")
    selector = {"matchLabels": {"scaledobject.keda.sh/name": owner}}
    wanted = trigger.called or f"{trigger.kind}_{trigger.number}"
    return draft.signal(wanted, {"external": {"name": series, "selector": selector}})


def _put_cron(draft: _Draft, trigger: _Trigger) -> None:
    """A window with a desired number of replicas: a schedule with this min."""
    zone, start, end = (trigger.text(key) for key in ("timezone", "start", "end"))
    length = _window_s(start, end, zone)
    desired = trigger.text("desiredReplicas")
    if length is None or not desired.isdecimal():
        words = "the window is not always of one length: write it as schedules by hand"
        trigger.given.remark(trigger.at, words)
        return
    if draft.timezone and zone != draft.timezone:
        words = f"its zone {zone} is another than {draft.timezone}: a tenant has one; move the hour"
        trigger.given.remark(trigger.at, words)
        return
    draft.timezone = zone
    schedules = draft.pool.get("schedules", [])
    window = {"cron": start, "for": length, "min": int(desired)}
    draft.put("schedules", [*schedules, window], trigger.at)
    if trigger.given.count("spec", "triggers") == 1:
        words = "nothing else sizes the pool: name a queue, or it is raised here and never lowered"
        trigger.given.remark(trigger.at, words)


def _window_s(start: str, end: str, zone: str) -> int | None:
    """The seconds from each firing of `start` to the next of `end`; None if they differ."""
    try:
        first = datetime(2026, 1, 5, tzinfo=ZoneInfo(zone)) - timedelta(seconds=1)
        lengths = {
            int((next(CronSim(end, at)) - at).total_seconds())
            for at in islice(CronSim(start, first), 20)
        }
    except (CronSimError, StopIteration, ValueError, KeyError, OSError):
        return None
    return lengths.pop() if len(lengths) == 1 else None


def _put_modifiers(draft: _Draft, triggers: Sequence[_Trigger], names: set[str]) -> None:
    """KEDA's formula; and one for a single trigger that has an activation of its own."""
    given, at = draft.given, ("spec", "advanced", "scalingModifiers")
    modifiers = given.get(*at)
    if isinstance(modifiers, dict):
        formula = str(modifiers.get("formula", ""))
        for each in triggers:
            if each.called and each.name:
                formula = re.sub(rf"\b{re.escape(each.called)}\b", each.name, formula)
        draft.put("modifiers", {**modifiers, "formula": formula}, at)
        # KEDA: the formula stands in for all external metrics
        draft.metrics = [
            (path, entry)
            for path, entry in draft.metrics
            if entry["type"] != "External"
            or re.search(rf"\b{entry['external']['metric']['name']}\b", formula)
        ]
        return
    for trigger in triggers:
        if trigger.name in {"", QUEUE} or not (activation := trigger.activation()):
            continue
        if len(names) > 1 or trigger.metric_type == "Utilization":
            words = "one of several triggers has an activation, which has no counterpart"
            given.remark((*trigger.at, "metadata"), words)
            continue
        made = {"formula": trigger.name, "target": trigger.target, "activationTarget": activation}
        draft.put("modifiers", {**made, "metricType": trigger.metric_type}, trigger.at)


def _remark_annotations(given: Given, draft: _Draft) -> None:
    if given.peek("spec", "advanced", "restoreToOriginalReplicaCount") is False:
        given.get("spec", "advanced", "restoreToOriginalReplicaCount")
    annotations = given.peek("metadata", "annotations")
    for key, value in annotations.items() if isinstance(annotations, dict) else ():
        if str(key).startswith("autoscaling.keda.sh/") and str(value).lower() != "false":
            words = f"put this annotation on {draft.target_kind} {draft.target}, where it is read"
            given.remark(("metadata", "annotations", key), words)


_READERS: Final[Mapping[str, Callable[[Given, _Draft], None]]] = {
    HPA: _read_hpa,
    SCALED_OBJECT: _read_scaled_object,
}
