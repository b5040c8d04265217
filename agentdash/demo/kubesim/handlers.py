"""Makes the answer to a request: authentication, authorisation, and the handler for its verb."""

from __future__ import annotations

import msgspec

from agentdash.demo.kubesim import discovery, lists, scale
from agentdash.demo.kubesim.access import AccessControl, AccessRequest, User
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer, text_answer
from agentdash.demo.kubesim.errors import (
    StatusError,
    bad_request,
    method_not_allowed,
    no_such_path,
)
from agentdash.demo.kubesim.logs import ContainerLogs
from agentdash.demo.kubesim.metrics import GivenMetrics
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import ACCESS_REVIEWS, Resource
from agentdash.demo.kubesim.writes import WriteHandlers, write_of

_HEALTH = ("/livez", "/readyz", "/healthz")
_READING = ("GET", "HEAD")


class Handlers:
    """All requests but watches, which are streams."""

    def __init__(
        self,
        registry: Registry,
        access: AccessControl,
        metrics: GivenMetrics,
        logs: ContainerLogs,
        host: str,
    ) -> None:
        self._registry, self._access, self._logs, self._host = registry, access, logs, host
        self._metrics = metrics
        self._writes = WriteHandlers(registry, access)

    def admit(self, call: ApiCall) -> User:
        """The user, if the request is allowed; raises StatusError 401, 403, 404 or 405."""
        user = self._access.authenticate(call.headers.get("Authorization", ""))
        resource, target = call.target.resource, call.target
        if resource is None:
            if self._metrics.concerns(call):
                self._metrics.admit(call, user, self._access)
            self._admit_path(call, user)
            return user
        sub = resource.subresource(target.subresource) if target.subresource else None
        if target.subresource and sub is None:
            raise no_such_path()
        if resource is not ACCESS_REVIEWS:
            asked = AccessRequest(
                verb=call.verb,
                group=resource.group,
                resource=f"{resource.plural}/{sub.name}" if sub else resource.plural,
                namespace=target.namespace,
                name=target.name or _named_by_fields(call),
            )
            self._access.require(user, asked, resource)
        if call.verb not in (sub.verbs if sub else resource.verbs):
            raise method_not_allowed()
        if not target.namespace and resource.namespaced and (target.name or call.method == "POST"):
            # objects of a namespace have no path without it
            raise no_such_path()
        return user

    def _admit_path(self, call: ApiCall, user: User) -> None:
        public = call.path in {*_HEALTH, "/version"}
        if public or user.is_admin or "system:authenticated" in user.groups:
            return
        words = f'forbidden: User "{user.name}" cannot {call.method.lower()} path "{call.path}"'
        raise StatusError(403, "Forbidden", words, {})

    async def serve(self, call: ApiCall, user: User) -> HttpAnswer:
        """The answer; raises StatusError."""
        resource = call.target.resource
        if resource is None:
            if self._metrics.concerns(call):
                return self._metrics.serve(call)
            return self._serve_path(call)
        match call.target.subresource:
            case "log":
                return self._logs.serve(self._registry, call)
            case "scale":
                return scale.serve(self._registry, call, resource, write_of(call))
        return await self._serve_object(call, resource, user)

    async def _serve_object(self, call: ApiCall, resource: Resource, user: User) -> HttpAnswer:
        if call.verb == "list":
            return await lists.list_objects(self._registry.store, call, resource)
        if call.method in _READING:
            stored = self._registry.read(resource, call.target.namespace, call.target.name)
            return lists.one_object(resource, stored, call)
        try:
            return self._write(call, resource, user)
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            # a part of the body is of another type than the API's
            raise bad_request(f"the object provided is malformed: {error!r}") from error

    def _write(self, call: ApiCall, resource: Resource, user: User) -> HttpAnswer:
        match call.verb:
            case "create" if call.target.subresource:
                return self._writes.post_subresource(call, resource)
            case "create" if not call.target.name:
                return self._writes.create(call, resource, user)
            case "update" if call.target.name:
                return self._writes.replace(call, resource)
            case "patch" if call.target.name:
                return self._writes.patch(call, resource)
            case "delete":
                return self._writes.delete(call, resource)
            case "deletecollection":
                return self._writes.delete_all(call, resource)
        raise method_not_allowed()

    def _serve_path(self, call: ApiCall) -> HttpAnswer:
        if call.method not in _READING:
            raise no_such_path()
        if call.path.startswith(_HEALTH):
            return text_answer(200, "ok")
        found = discovery.document(call.path, call.headers.get("Accept", ""), self._host)
        if found is None:
            raise no_such_path()
        document, content_type = found
        made = answer(200, document)
        if content_type != discovery.AGGREGATED:
            return made
        return HttpAnswer(200, made.body, content_type, {"Cache-Control": "public"})


def _named_by_fields(call: ApiCall) -> str:
    """The one object that a list or watch chooses by its name: RBAC asks for the right to it
    (NewRequestInfo in k8s.io/apiserver).
    """
    name, equals, value = call.query.get("fieldSelector", "").replace("==", "=").partition("=")
    return value if equals and name == "metadata.name" and "," not in value else ""
