"""The scale subresource of Deployments, ReplicaSets and StatefulSets: an autoscaling/v1 Scale."""

from __future__ import annotations

import msgspec

from agentdash.demo.kubesim import patch, schema
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer
from agentdash.demo.kubesim.errors import (
    StatusError,
    bad_request,
    conflict,
    invalid,
    invalid_value,
)
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import Registry, WriteOptions
from agentdash.demo.kubesim.resources import Resource
from agentdash.demo.kubesim.selectors import as_query
from agentdash.demo.kubesim.store import StoredObject


def scale_of(stored: StoredObject) -> Object:
    """The Scale of an object; zero replicas are left out of the spec, as Go does."""
    item = stored.object
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = item["spec"].get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: item["metadata"][name] for name in names if name in item["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (item.get("status") or {}).get("replicas", 0),
            "selector": as_query(item["spec"]["selector"]),
        },
    }


def serve(registry: Registry, call: ApiCall, resource: Resource, write: WriteOptions) -> HttpAnswer:
    """GET, PUT or PATCH of a scale; raises StatusError 400, 404, 409, 415 or 422."""
    target = call.target
    if call.method == "GET":
        stored = registry.read(resource, target.namespace, target.name)
        return answer(200, scale_of(stored))
    if call.method == "PATCH":
        wanted = patch.parse(call.headers.get("Content-Type", ""), call.body)
        stored = registry.read(resource, target.namespace, target.name)
        base = scale_of(stored)
        scaled = patch.apply(call.headers.get("Content-Type", ""), base, wanted)
    else:
        scaled = call.decoded()
        stored = registry.read(resource, target.namespace, target.name)
    if not isinstance(scaled, dict):
        raise bad_request("the object provided is not a Scale")
    checked = _checked(call, stored, scaled)
    changed = _replace(registry, resource, stored, checked.body, write)
    return answer(200, scale_of(changed), unknown_warnings(call, checked))


def _checked(call: ApiCall, stored: StoredObject, scaled: Object) -> schema.CheckedBody:
    checked = schema.check("Scale", scaled)
    fault = checked.wrong_type or unknown_fault(call, checked)
    if fault:
        raise undecodable(call, _with_managers(stored, scaled), "Scale", fault)
    return checked


def _replace(
    registry: Registry,
    resource: Resource,
    stored: StoredObject,
    scaled: Object,
    write: WriteOptions,
) -> StoredObject:
    metadata, name = scaled.get("metadata") or {}, stored.key[1]
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    if uid and uid != stored.uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored.uid}"
        raise conflict(resource, name, why, "scale")
    if version and version != str(stored.version):
        raise conflict(resource, name)
    replicas = (scaled.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        words = "must be greater than or equal to 0"
        cause = invalid_value("spec.replicas", str(replicas), words)
        raise invalid("Scale", "autoscaling", name, [cause])
    item = stored.object | {"spec": stored.object["spec"] | {"replicas": replicas}}
    return registry.replace(resource, stored, item, write)


def unknown_fault(call: ApiCall, checked: schema.CheckedBody) -> str:
    """The fault that fieldValidation=Strict finds in unknown fields; empty without it."""
    if call.query.get("fieldValidation") != "Strict" or not checked.unknown:
        return ""
    named = ", ".join(f'unknown field "{path}"' for path in checked.unknown)
    return f"strict decoding error: {named}"


def unknown_warnings(call: ApiCall, checked: schema.CheckedBody) -> tuple[str, ...]:
    """The Warning texts for unknown fields; none with fieldValidation=Ignore."""
    if call.query.get("fieldValidation") == "Ignore":
        return ()
    return tuple(f'unknown field "{path}"' for path in checked.unknown)


def undecodable(call: ApiCall, item: Object, kind: str, fault: str) -> StatusError:
    """The refusal of a body: 400 for a whole object, 422 with the patched one for a patch."""
    if call.method != "PATCH":
        version = str(item.get("apiVersion", "")).rpartition("/")[2] or "v1"
        return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {fault}')
    ordered = {
        key: _sorted(value) if key == "spec" else value for key, value in _sorted(item).items()
    }
    text = msgspec.json.encode(msgspec.json.encode(ordered).decode()).decode()
    refused = invalid("", "", "", [invalid_value("patch", text, fault)])
    refused.details = {"causes": (refused.details or {})["causes"]}
    return refused


def _sorted(item: Object) -> Object:
    return {key: item[key] for key in sorted(item)}


def _with_managers(stored: StoredObject, scaled: Object) -> Object:
    """The Scale with its managedFields, which error texts show."""
    if stored.manager is None:
        return scaled
    managed = stored.manager.entry("autoscaling/v1")
    managed.pop("time", None)
    metadata = (scaled.get("metadata") or {}) | {"managedFields": [managed]}
    return scaled | {"metadata": metadata}
