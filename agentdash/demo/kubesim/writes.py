"""Writes: create, replace, patch, apply, delete, and the subresources eviction and token."""

from __future__ import annotations

from typing import Any

from agentdash.demo.kubesim import lists, patch, schema, validation, views
from agentdash.demo.kubesim.access import AccessControl, User
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer
from agentdash.demo.kubesim.controllers.disruption import evict
from agentdash.demo.kubesim.errors import (
    Cause,
    StatusError,
    bad_request,
    details_of,
    invalid,
    method_not_allowed,
    required_value,
    success,
)
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import DeleteOptions, Registry, WriteOptions
from agentdash.demo.kubesim.resources import (
    ACCESS_REVIEWS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    EVENTS,
    EVENTS_V1,
    LEASES,
    PODS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
    stored_as,
)
from agentdash.demo.kubesim.scale import undecodable, unknown_fault, unknown_warnings
from agentdash.demo.kubesim.store import StoredObject

_RETURNED_WHEN_DELETED = (PODS, RESOURCE_QUOTAS, SERVICE_ACCOUNTS)
_MADE_BY_PUT = (
    LEASES,
    EVENTS,
    EVENTS_V1,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
)


def write_of(call: ApiCall) -> WriteOptions:
    """The options of a request's write."""
    applied = call.headers.get("Content-Type", "").startswith(patch.APPLY)
    return WriteOptions(
        dry_run="All" in call.query.get("dryRun", ""),
        manager=call.manager,
        operation="Apply" if applied else "Update",
        subresource=call.target.subresource,
    )


class WriteHandlers:
    """The handlers of POST, PUT, PATCH and DELETE."""

    def __init__(self, registry: Registry, access: AccessControl) -> None:
        self._registry, self._access = registry, access

    def create(self, call: ApiCall, resource: Resource, user: User) -> HttpAnswer:
        """POST to a collection; raises StatusError."""
        item = _body(call, resource)
        if resource is ACCESS_REVIEWS:
            return answer(201, self._access.review(user, item))
        return self._create(call, resource, item, write_of(call))

    def _create(
        self, call: ApiCall, resource: Resource, item: Object, write: WriteOptions
    ) -> HttpAnswer:
        checked = schema.check(resource.kind, item)
        fault = checked.wrong_type or unknown_fault(call, checked)
        if fault:
            raise validation.unreadable(resource, fault)
        body = views.incoming(resource, checked.body)
        stored = self._registry.create(resource, call.target.namespace, body, write)
        made = lists.one_object(resource, stored, call, 201)
        warnings = unknown_warnings(call, checked)
        if not warnings:
            return made
        warned = answer(201, made.body, warnings)
        return HttpAnswer(201, made.body, made.content_type, warned.headers)

    def replace(self, call: ApiCall, resource: Resource) -> HttpAnswer:
        """PUT of an object or its status; raises StatusError."""
        item, target = _body(call, resource), call.target
        key = (target.namespace, target.name)
        stored = self._registry.store.get(stored_as(resource), *key)
        version = (item.get("metadata") or {}).get("resourceVersion")
        if stored is None and resource in _MADE_BY_PUT and not version:
            return self._create(call, resource, item, write_of(call))
        stored = self._registry.read(resource, *key)
        return self._replace(call, resource, stored, item)

    def _replace(
        self, call: ApiCall, resource: Resource, stored: StoredObject, item: Object
    ) -> HttpAnswer:
        checked = schema.check(resource.kind, item)
        fault = checked.wrong_type or unknown_fault(call, checked)
        if fault:
            raise undecodable(call, item, resource.kind, fault)
        body = views.incoming(resource, checked.body)
        changed = self._registry.replace(resource, stored, body, write_of(call))
        made = lists.one_object(resource, changed, call)
        warned = answer(200, b"", unknown_warnings(call, checked))
        return HttpAnswer(200, made.body, made.content_type, warned.headers)

    def patch(self, call: ApiCall, resource: Resource) -> HttpAnswer:
        """PATCH of an object or its status, applies included; raises StatusError."""
        kind = call.headers.get("Content-Type", "")
        wanted, target = patch.parse(kind, call.body), call.target
        if kind.startswith(patch.APPLY):
            return self._apply(call, resource, wanted)
        stored = self._registry.read(resource, target.namespace, target.name)
        head = {"kind": resource.kind, "apiVersion": resource.group_version}
        base = head | views.shown(resource, stored.object)
        return self._replace(call, resource, stored, patch.apply(kind, base, wanted))

    def _apply(self, call: ApiCall, resource: Resource, wanted: Any) -> HttpAnswer:
        """Server-side apply: a merge by keys. Ownership is kept only of `spec.replicas`."""
        if not isinstance(wanted, dict):
            raise bad_request("the body of an apply must be an object")
        if not call.query.get("fieldManager"):
            cause = required_value("fieldManager", "is required for apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        target, write = call.target, write_of(call)
        stored = self._registry.store.get(stored_as(resource), target.namespace, target.name)
        if stored is None:
            metadata = (wanted.get("metadata") or {}) | {"name": target.name}
            return self._create(call, resource, wanted | {"metadata": metadata}, write)
        conflict = _owned_by_another(resource, stored, wanted, write)
        if conflict is not None and not call.flag("force"):
            raise conflict
        head = {"kind": resource.kind, "apiVersion": resource.group_version}
        merged = patch.strategic(head | views.shown(resource, stored.object), wanted)
        return self._replace(call, resource, stored, merged)

    def delete(self, call: ApiCall, resource: Resource) -> HttpAnswer:
        """DELETE of one object; raises StatusError."""
        target, deletion = call.target, _deletion(call, call.decoded())
        stored, gone = self._registry.delete(resource, target.namespace, target.name, deletion)
        if not gone or resource in _RETURNED_WHEN_DELETED:
            return lists.one_object(resource, stored, call)
        details = details_of(resource, stored.key[1])
        return answer(200, success({**details, "uid": stored.uid}))

    def delete_all(self, call: ApiCall, resource: Resource) -> HttpAnswer:
        """DELETE of all objects of a collection that the selectors choose."""
        wanted, deletion = lists.ObjectFilter(call, resource), _deletion(call, call.decoded())
        kept = stored_as(resource)
        found = [
            stored
            for stored in self._registry.store.each(kept, wanted.namespace)
            if wanted.passes(stored)
        ]
        for stored in found:
            self._registry.delete(resource, *stored.key, deletion)
        return answer(
            200,
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.group_version,
                "metadata": {"resourceVersion": str(self._registry.store.version)},
                "items": [views.shown(resource, stored.object) for stored in found],
            },
        )

    def post_subresource(self, call: ApiCall, resource: Resource) -> HttpAnswer:
        """POST of an Eviction or a TokenRequest; raises StatusError."""
        target = call.target
        stored = self._registry.read(resource, target.namespace, target.name)
        body = call.decoded() or {}
        if target.subresource == "token":
            return answer(201, self._access.issue(stored, body))
        if target.subresource != "eviction":
            raise method_not_allowed()
        evict(self._registry, stored, _deletion(call, body.get("deleteOptions")))
        return answer(201, success(code=201))


def _body(call: ApiCall, resource: Resource) -> Object:
    item = call.decoded()
    if not isinstance(item, dict):
        raise bad_request(f"the body of the request was not a {resource.kind}")
    given = (item.get("apiVersion", resource.group_version), item.get("kind", resource.kind))
    if given != (resource.group_version, resource.kind):
        raise bad_request(
            f"the API version in the data ({given[0]}, Kind={given[1]}) does not match the "
            f"expected API version ({resource.group_version}, Kind={resource.kind})"
        )
    return item


def _deletion(call: ApiCall, body: Any) -> DeleteOptions:
    options = body if isinstance(body, dict) else {}
    conditions = options.get("preconditions") or {}
    grace = options.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
    orphan = options.get("orphanDependents", call.flag("orphanDependents"))
    policy = options.get("propagationPolicy") or call.query.get("propagationPolicy")
    return DeleteOptions(
        grace_s=None if grace is None else int(grace),
        propagation=policy or ("Orphan" if orphan else "Background"),
        uid=conditions.get("uid") or "",
        version=conditions.get("resourceVersion") or "",
        dry_run=bool(options.get("dryRun")) or "All" in call.query.get("dryRun", ""),
    )


def _owned_by_another(
    resource: Resource, stored: StoredObject, wanted: Object, write: WriteOptions
) -> StatusError | None:
    manager = stored.manager
    replicas = (wanted.get("spec") or {}).get("replicas")
    if manager is None or replicas is None or replicas == stored.object["spec"]["replicas"]:
        return None
    if (manager.name, manager.operation) == (write.manager, write.operation):
        return None
    through = f' with subresource "{manager.subresource}"' if manager.subresource else ""
    words = f'conflict with "{manager.name}"{through} using {resource.group_version}'
    cause = Cause("FieldManagerConflict", words, ".spec.replicas")
    message = f"Apply failed with 1 conflict: {words}: .spec.replicas"
    return StatusError(409, "Conflict", message, {"causes": [cause.as_json()]})
