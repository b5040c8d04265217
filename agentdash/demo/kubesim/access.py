"""Users and their rights: tokens of service accounts, and RBAC."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.errors import forbidden, unauthorized
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Resource,
)
from agentdash.demo.kubesim.store import Store, StoredObject

_AUDIENCE = "https://kubernetes.default.svc"
_LONGEST_TOKEN_S = 2**32


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request; of a service account also its namespace and name."""

    name: str
    groups: tuple[str, ...] = ()
    account: tuple[str, str] | None = None

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed without asking RBAC."""
        return "system:masters" in self.groups


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What a request wants to do: verb, resource, namespace and name."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class AccessControl:
    """Authentication and authorisation.

    A request without a token has the administrator's rights unless `refuse_anonymous`, because
    kubectl sends no token over plain HTTP.
    """

    def __init__(
        self, store: Store, admin_token: str | None, *, refuse_anonymous: bool = False
    ) -> None:
        self._store, self._admin_token = store, admin_token
        self._tokenless = ANONYMOUS if refuse_anonymous else ADMIN
        self._issued: dict[str, tuple[User, str, datetime]] = {}

    def authenticate(self, header: str) -> User:
        """The user of an Authorization header; raises StatusError 401 for an unknown token."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self._tokenless
        if self._admin_token is not None and secrets.compare_digest(
            token.encode(), self._admin_token.encode()
        ):
            return ADMIN
        user, uid, until = self._issued.get(
            token, (ANONYMOUS, "", datetime.min.replace(tzinfo=UTC))
        )
        if user.account is None or until < datetime.now(UTC):
            raise unauthorized()
        account = self._store.get(SERVICE_ACCOUNTS, *user.account)
        if account is None or account.uid != uid:
            raise unauthorized()
        return user

    def issue(self, account: StoredObject, request: Object) -> Object:
        """Answer a TokenRequest for a service account."""
        namespace, name = account.key
        spec = request.get("spec") or {}
        seconds = min(int(spec.get("expirationSeconds") or 3600), _LONGEST_TOKEN_S)
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        groups = (
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        )
        user = User(f"system:serviceaccount:{namespace}:{name}", groups, (namespace, name))
        token = base64.urlsafe_b64encode(secrets.token_bytes(48)).decode()
        self._issued[token] = (user, account.uid, until)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": account.uid,
                "creationTimestamp": stamp(),
            },
            "spec": {
                "audiences": spec.get("audiences") or [_AUDIENCE],
                "expirationSeconds": seconds,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {"token": token, "expirationTimestamp": stamp(until)},
        }

    def require(self, user: User, asked: AccessRequest, resource: Resource) -> None:
        """Raise StatusError 403 with user, verb and resource unless some role allows it."""
        if self.allowed_by(user, asked) is not None:
            return
        place = f' in the namespace "{asked.namespace}"' if asked.namespace else ""
        scope = place or " at the cluster scope"
        why = (
            f'User "{user.name}" cannot {asked.verb} resource "{asked.resource}" in API group '
            f'"{asked.group}"{scope}'
        )
        raise forbidden(resource, asked.name, why)

    def allowed_by(self, user: User, asked: AccessRequest) -> str | None:
        """Why a request is allowed, in RBAC's words; None if it is not."""
        if user.is_admin:
            return ""
        for words, rules in self._granted(user, asked.namespace):
            if any(_covers(rule, asked) for rule in rules):
                return words
        return None

    def review(self, user: User, request: Object) -> Object:
        """Answer a SelfSubjectAccessReview."""
        attributes = (request.get("spec") or {}).get("resourceAttributes") or {}
        sub = attributes.get("subresource")
        resource = attributes.get("resource", "")
        asked = AccessRequest(
            verb=attributes.get("verb", ""),
            group=attributes.get("group", ""),
            resource=f"{resource}/{sub}" if sub else resource,
            namespace=attributes.get("namespace", ""),
            name=attributes.get("name", ""),
        )
        reason = self.allowed_by(user, asked)
        status: Object = {"allowed": reason is not None}
        if reason:
            status["reason"] = reason
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": request.get("spec") or {},
            "status": status,
        }

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
        """Every binding that names the user: why it allows, and its role's rules."""
        places = [(CLUSTER_ROLE_BINDINGS, "")]
        if namespace:
            places.append((ROLE_BINDINGS, namespace))
        for resource, space in places:
            for binding in self._store.each(resource, space):
                subject = _subject(binding.object, user)
                if subject is None:
                    continue
                reference = binding.object["roleRef"]
                clustered = reference["kind"] == "ClusterRole"
                role = self._store.get(
                    CLUSTER_ROLES if clustered else ROLES,
                    "" if clustered else space,
                    reference["name"],
                )
                name = binding.key[1] + (f"/{space}" if space else "")
                words = (
                    f'RBAC: allowed by {resource.kind} "{name}" of {reference["kind"]} '
                    f'"{reference["name"]}" to {subject}'
                )
                if role is not None:
                    yield words, role.object.get("rules") or []


def _subject(binding: Object, user: User) -> str | None:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return f'User "{name}"'
        if kind == "Group" and name in user.groups:
            return f'Group "{name}"'
        space = subject.get("namespace") or binding["metadata"].get("namespace", "")
        if kind == "ServiceAccount" and user.account == (space, name):
            return f'ServiceAccount "{name}/{space}"'
    return None


def _covers(rule: Mapping[str, Any], asked: AccessRequest) -> bool:
    resources = rule.get("resources") or ()
    _, _, sub = asked.resource.partition("/")
    names = rule.get("resourceNames") or ()
    return (
        not {"*", asked.verb}.isdisjoint(rule.get("verbs") or ())
        and not {"*", asked.group}.isdisjoint(rule.get("apiGroups") or ())
        and (
            not {"*", asked.resource}.isdisjoint(resources)
            or (bool(sub) and f"*/{sub}" in resources)
        )
        and (not names or asked.name in names)
    )
