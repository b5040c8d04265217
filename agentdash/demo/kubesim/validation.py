"""What the API server refuses in a body, with every cause (kubernetes pkg/apis/*/validation)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agentdash.demo.kubesim.errors import (
    Cause,
    StatusError,
    bad_request,
    invalid,
    invalid_value,
    required_value,
)
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.quantities import milli
from agentdash.demo.kubesim.resources import (
    AUTOSCALERS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    EVENTS_V1,
    LEASES,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    STATEFUL_SETS,
    Resource,
)

_LABEL_SYNTAX = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_SYNTAX = rf"{_LABEL_SYNTAX}(\.{_LABEL_SYNTAX})*"
_VALUE_SYNTAX = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_QUALIFIED_SYNTAX = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN_SYNTAX}')"
)
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    f"used for validation is '{_LABEL_SYNTAX}')"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
    f"'my_value',  or '12345', regex used for validation is '{_VALUE_SYNTAX}')"
)
_KEY_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
    f"for validation is '{_QUALIFIED_SYNTAX}')"
)
_PATH_NAMED = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)
_NOT_NEGATIVE = "must be greater than or equal to 0"
_ANNOTATIONS_LIMIT = 256 * 1024
# time.Parse compares piece by piece and names the first one that does not fit.
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_MICRO_PIECES = (
    *(
        (rf"\d{{{len(word)}}}", word) if word.isdigit() else (re.escape(word), word)
        for word in ("2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05")
    ),
    (r"\.\d{6}", ".000000"),
    (r"Z|[+-]\d\d:\d\d", "Z07:00"),
)


def quoted(value: object) -> str:
    """A value as Go's field errors print it: JSON."""
    return msgspec.json.encode(value).decode()


def validate(
    resource: Resource, item: Object, *, old: Object | None = None, lenient: bool = False
) -> None:
    """Raise StatusError 422 with every cause found, 400 for a time that cannot be read.

    With `lenient`, names, labels, annotations and texts are not checked, so that hostile ones can
    be stored.
    """
    _times(resource, item)
    rules = _RULES.get(resource)
    causes = [] if lenient else list(_early(resource, item))
    if not lenient and old is None:
        causes += _metadata(resource, item["metadata"])
    elif not lenient:
        causes += _texts(item["metadata"])
    if rules is not None and not (lenient and resource in {EVENTS, EVENTS_V1}):
        causes += rules(item)
    if old is not None:
        causes += _immutable(resource, item, old)
    if causes:
        group = "" if resource is EVENTS_V1 else resource.group
        raise invalid(resource.kind, group, item["metadata"].get("name", ""), causes)


def _metadata(resource: Resource, metadata: Object) -> Iterator[Cause]:
    generated = metadata.get("generateName")
    if generated:
        # the API checks the prefix as it will be used, with a letter after a final dash
        words = _name_fault(resource, re.sub("-$", "-a", generated))
        if words:
            yield invalid_value("metadata.generateName", quoted(generated), words)
    name = metadata.get("name", "")
    if not name:
        yield required_value("metadata.name", "name or generateName is required")
    elif not generated:
        words = _name_fault(resource, name)
        if words:
            yield invalid_value("metadata.name", quoted(name), words)
    yield from _texts(metadata)


def _name_fault(resource: Resource, name: str) -> str:
    if resource in _PATH_NAMED:
        return "may not contain '/' or '%'" if re.search("[/%]", name) else ""
    if resource is NAMESPACES:
        limit, pattern, words = 63, _LABEL_SYNTAX, _LABEL_WORDS
    else:
        limit, pattern, words = 253, _SUBDOMAIN_SYNTAX, _SUBDOMAIN_WORDS
    if len(name) > limit:
        return f"must be no more than {limit} characters"
    return "" if re.fullmatch(pattern, name) else words


def _texts(metadata: Object) -> Iterator[Cause]:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for field, texts in (("metadata.labels", labels), ("metadata.annotations", annotations)):
        for key in texts:
            prefix, slash, name = key.rpartition("/")
            if not re.fullmatch(_QUALIFIED_SYNTAX, name) or len(name) > 63:
                yield invalid_value(field, quoted(key), _KEY_WORDS)
            elif slash and not re.fullmatch(_SUBDOMAIN_SYNTAX, prefix):
                yield invalid_value(field, quoted(key), f"prefix part {_SUBDOMAIN_WORDS}")
    for value in labels.values():
        if len(value) > 63:
            yield invalid_value("metadata.labels", quoted(value), "must be no more than 63 bytes")
        elif not re.fullmatch(_VALUE_SYNTAX, value):
            yield invalid_value("metadata.labels", quoted(value), _VALUE_WORDS)
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        why = f"may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield Cause("FieldValueTooLong", f"Too long: {why}", "metadata.annotations")


def _at_least(item: Mapping[str, Any], path: str, least: int = 0) -> Iterator[Cause]:
    value: Any = item
    for key in path.split("."):
        value = (value or {}).get(key)
    if value is not None and value < least:
        words = f"must be greater than or equal to {least}"
        yield invalid_value(path, str(value), words)


def _workload(item: Object) -> Iterator[Cause]:
    spec = item["spec"]
    yield from _at_least(item, "spec.replicas")
    yield from _at_least(item, "spec.minReadySeconds")
    yield from _at_least(item, "spec.revisionHistoryLimit")
    yield from _at_least(item, "spec.progressDeadlineSeconds")
    selector = spec.get("selector")
    if not selector:
        yield required_value("spec.selector")
        selector = {}
    labels = spec["template"].get("metadata", {}).get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        words = "`selector` does not match template `labels`"
        yield invalid_value("spec.template.metadata.labels", quoted(labels), words)
    yield from _pod_spec(spec["template"]["spec"], "spec.template.spec")


def _pod(item: Object) -> Iterator[Cause]:
    yield from _pod_spec(item["spec"], "spec")


def _pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield required_value(f"{path}.containers")
    names: set[str] = set()
    for index, container in enumerate(spec.get("containers") or ()):
        here = f"{path}.containers[{index}]"
        if not container.get("name"):
            yield required_value(f"{here}.name")
        elif container["name"] in names:
            name = quoted(container["name"])
            yield Cause("FieldValueDuplicate", f"Duplicate value: {name}", f"{here}.name")
        names.add(container.get("name", ""))
        if not container.get("image"):
            yield required_value(f"{here}.image")
        yield from _resources(container.get("resources") or {}, f"{here}.resources")


def _resources(resources: Mapping[str, Any], path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for what, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if milli(amount) < 0:
                field = f"{path}.{what}[{name}]"
                yield invalid_value(field, quoted(amount), _NOT_NEGATIVE)
    for name in requests.keys() & limits.keys():
        if milli(requests[name]) > milli(limits[name]):
            words = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{path}.requests", quoted(requests[name]), words)


def _lease(item: Object) -> Iterator[Cause]:
    spec = item.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield invalid_value("spec.leaseDurationSeconds", str(duration), "must be greater than 0")
    yield from _at_least(item, "spec.leaseTransitions")


def _times(resource: Resource, item: Object) -> None:
    holder = item.get("spec") or {} if resource is LEASES else item
    names = {
        LEASES: ("acquireTime", "renewTime"),
        EVENTS_V1: ("eventTime",),
        EVENTS: ("eventTime",),
    }.get(resource, ())
    for name in names:
        text = holder.get(name)
        fault = _micro_time_fault(text) if isinstance(text, str) else ""
        if fault:
            raise unreadable(resource, fault)


def unreadable(resource: Resource, why: str) -> StatusError:
    """400 for a body that is not an object of this kind."""
    kind = resource.kind
    return bad_request(
        f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}'
    )


def _micro_time_fault(text: str) -> str:
    rest = text
    for pattern, word in _MICRO_PIECES:
        found = re.match(pattern, rest)
        if found is None:
            shown = f'parsing time "{text}" as "{_MICRO_LAYOUT}"'
            return f'{shown}: cannot parse "{rest}" as "{word}"'
        rest = rest[found.end() :]
    return f'parsing time "{text}": extra text: "{rest}"' if rest else ""


def _early(resource: Resource, item: Object) -> Iterator[Cause]:
    """Causes that the real server finds in an Event before it checks the metadata."""
    if resource not in {EVENTS, EVENTS_V1}:
        return
    space = (item.get("involvedObject") or {}).get("namespace", "")
    if (space or "default") != item["metadata"].get("namespace", ""):
        words = "does not match event.namespace"
        yield invalid_value("involvedObject.namespace", quoted(space), words)
    if item.get("eventTime") is None:
        return
    for field in ("reportingComponent", "reportingInstance", "action", "reason"):
        shown = "reportingController" if field == "reportingComponent" else field
        if not item.get(field):
            yield required_value(shown)
        elif len(item[field]) > 128:
            yield invalid_value(shown, '""', "can have at most 128 characters")
    if len((item.get("message") or "").encode()) > 1024:
        yield invalid_value("message", '""', "can have at most 1024 characters")


def _event_v1(item: Object) -> Iterator[Cause]:
    if item.get("eventTime") is None:
        yield required_value("eventTime")
    if item.get("type") not in {"Normal", "Warning"}:
        shown = item.get("type") or ""
        yield invalid_value("type", quoted(shown), f"has invalid value: {shown}")


def _autoscaler(item: Object) -> Iterator[Cause]:
    yield from _at_least(item, "spec.minReplicas", 1)
    least, most = item["spec"].get("minReplicas") or 1, item["spec"].get("maxReplicas") or 0
    if most < 1:
        yield invalid_value("spec.maxReplicas", str(most), "must be greater than 0")
    elif most < least:
        words = "must be greater than or equal to `minReplicas`"
        yield invalid_value("spec.maxReplicas", str(most), words)


def _budget(item: Object) -> Iterator[Cause]:
    spec = item.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        words = "minAvailable and maxUnavailable cannot be both set"
        yield invalid_value("spec", quoted(spec), words)


def _quota(item: Object) -> Iterator[Cause]:
    for name, amount in ((item.get("spec") or {}).get("hard") or {}).items():
        if milli(amount) < 0:
            yield invalid_value(f"spec.hard[{name}]", quoted(amount), _NOT_NEGATIVE)


def _immutable(resource: Resource, item: Object, old: Object) -> Iterator[Cause]:
    if resource is STATEFUL_SETS and _fixed(item["spec"]) != _fixed(old["spec"]):
        words = (
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
            "'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        yield Cause("FieldValueForbidden", words, "spec")
    if resource in {DEPLOYMENTS, REPLICA_SETS}:
        selector = item["spec"].get("selector")
        if selector != old["spec"].get("selector"):
            yield invalid_value("spec.selector", quoted(selector), "field is immutable")
    if resource is PODS and _fixed_spec(item["spec"]) != _fixed_spec(old["spec"]):
        words = (
            "Forbidden: pod updates may not change fields other than "
            "`spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
            "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it "
            "was previously negative)"
        )
        yield Cause("FieldValueForbidden", words, "spec")


def _fixed(spec: Object) -> Object:
    """The part of a StatefulSet's spec that may not change."""
    free = {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
    return {key: value for key, value in spec.items() if key not in free}


def _fixed_spec(spec: Object) -> Object:
    free = ("activeDeadlineSeconds", "tolerations")
    fixed = {key: value for key, value in spec.items() if key not in free}
    for kind in ("containers", "initContainers"):
        if kind in fixed:
            fixed[kind] = [container | {"image": ""} for container in fixed[kind]]
    return fixed


_RULES: Mapping[Resource, Callable[[Object], Iterator[Cause]]] = {
    DEPLOYMENTS: _workload,
    REPLICA_SETS: _workload,
    STATEFUL_SETS: _workload,
    PODS: _pod,
    LEASES: _lease,
    EVENTS_V1: _event_v1,
    AUTOSCALERS: _autoscaler,
    DISRUPTION_BUDGETS: _budget,
    RESOURCE_QUOTAS: _quota,
}
