"""Users and their rights before the simulated API: tokens of service accounts, Roles and their
bindings, which are kept here and are only created.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from agentdash.demo.cluster.api import Call, answer
from agentdash.demo.cluster.objects import Kind, Object
from fakes.cluster import SimCluster, StatusError, resource_of
from fakes.quotas import forbidden

_GROUP = "rbac.authorization.k8s.io"
_BINDINGS = ("rolebindings", "clusterrolebindings")


class User(NamedTuple):
    """The user of a request; of a service account also its namespace and name."""

    name: str
    is_admin: bool = False
    account: tuple[str, str] = ("", "")


ADMIN = User("kubernetes-admin", is_admin=True)
ANONYMOUS = User("system:anonymous")


class Asked(NamedTuple):
    """A verb on a resource (`pods/log`), as RBAC names them."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


class Rbac:
    """An extension of a simulated API, which refuses what no role allows.

    With an `admin_token` requests without a token are those of an anonymous user, else they have
    the administrator's rights.
    """

    def __init__(self, sim: SimCluster, admin_token: str | None = None) -> None:
        self._users = {} if admin_token is None else {admin_token: ADMIN}
        self._tokenless = ADMIN if admin_token is None else ANONYMOUS
        self._kept: dict[tuple[str, str, str], Object] = {}
        sim.extensions.insert(0, self)

    def __call__(self, call: Call) -> web.Response | None:
        """Answer what is about rights; raise StatusError 401 or 403."""
        user = self._user(call.headers.get("Authorization", ""))
        if not call.plural:
            return None
        if call.plural == "selfsubjectaccessreviews":
            return answer(201, self._review(user, call.decoded()))
        named = call.name or _named_by_fields(call)
        asked = Asked(call.verb, call.group, resource_of(call), call.namespace, named)
        if self._why(user, asked) is None:
            raise _refused(user, asked, call)
        if resource_of(call) == "serviceaccounts/token":
            return answer(201, self._issued(call))
        if call.verb == "create" and (call.group == _GROUP or call.plural == "serviceaccounts"):
            return answer(201, self.create(call.plural, call.namespace, call.decoded()))
        return None

    def create(self, plural: str, namespace: str, body: Object) -> Object:
        """Keep a Role, a binding or a service account."""
        self._kept[plural, namespace, body["metadata"]["name"]] = body
        return body

    def account(self, namespace: str, name: str) -> str:
        """A token of this service account."""
        token = secrets.token_urlsafe(48)
        user = f"system:serviceaccount:{namespace}:{name}"
        self._users[token] = User(user, account=(namespace, name))
        return token

    def _user(self, header: str) -> User:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self._tokenless
        if token not in self._users:
            raise StatusError(401, "Unauthorized", "Unauthorized")
        return self._users[token]

    def _issued(self, call: Call) -> Object:
        status = {"token": self.account(call.namespace, call.name)}
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return head | {"metadata": {}, "spec": call.decoded().get("spec"), "status": status}

    def _review(self, user: User, body: Object) -> Object:
        wanted = body["spec"]["resourceAttributes"]
        sub = wanted.get("subresource")
        resource = wanted["resource"] + (f"/{sub}" if sub else "")
        names = (wanted.get(key, "") for key in ("namespace", "name"))
        why = self._why(user, Asked(wanted["verb"], wanted.get("group", ""), resource, *names))
        reason = {"reason": why} if why else {}
        return body | {"metadata": {}, "status": {"allowed": why is not None} | reason}

    def _why(self, user: User, asked: Asked) -> str | None:
        """Why a request is allowed, in RBAC's words; None if it is not."""
        if user.is_admin:
            return ""
        for words, rules in self._granted(user, asked.namespace):
            if any(_covers(rule, asked) for rule in rules):
                return words
        return None

    def _granted(self, user: User, namespace: str) -> Iterator[tuple[str, list[Any]]]:
        """Every binding that names the user: why it allows, and its role's rules."""
        for (plural, space, name), binding in self._kept.items():
            if plural not in _BINDINGS or (space and space != namespace):
                continue
            accounts = [(each.get("namespace"), each["name"]) for each in binding["subjects"]]
            if user.account not in accounts:
                continue
            role = binding["roleRef"]
            kind = f"{role['kind'].lower()}s"
            found = self._kept.get((kind, space if kind == "roles" else "", role["name"]), {})
            own = f"{name}/{space}" if space else name
            bound = "RoleBinding" if space else "ClusterRoleBinding"
            subject = f'ServiceAccount "{user.account[1]}/{user.account[0]}"'
            words = f'RBAC: allowed by {bound} "{own}" of {role["kind"]} "{role["name"]}"'
            yield f"{words} to {subject}", found.get("rules", [])


def _refused(user: User, asked: Asked, call: Call) -> StatusError:
    place = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
    why = (
        f'User "{user.name}" cannot {asked.verb} resource "{asked.resource}" in API group '
        f'"{asked.group}"{place}'
    )
    return forbidden(Kind(call.group, call.version, call.plural, ""), asked.name, why)


def _named_by_fields(call: Call) -> str:
    """The one object that a list or watch chooses by its name: RBAC asks for the right to it
    (NewRequestInfo in k8s.io/apiserver).
    """
    name, equals, value = call.query.get("fieldSelector", "").partition("=")
    return value if equals and name == "metadata.name" and "," not in value else ""


def _covers(rule: Mapping[str, Any], asked: Asked) -> bool:
    _, _, sub = asked.resource.partition("/")
    resources = {"*", asked.resource} | ({f"*/{sub}"} if sub else set())
    names = rule.get("resourceNames")
    return (
        not {"*", asked.verb}.isdisjoint(rule["verbs"])
        and not {"*", asked.group}.isdisjoint(rule["apiGroups"])
        and not resources.isdisjoint(rule["resources"])
        and (not names or asked.name in names)
    )
