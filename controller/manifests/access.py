"""Who agentdash is in the cluster, and the least that it may do there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from controller.manifests.options import NAME, Installation, metadata
from controller.manifests.yaml_text import Manifest, Noted
from controller.model.rights import Right, cluster_rights, lease_rights, tenant_rights
from controller.model.settings import Settings

_RBAC: Final = "rbac.authorization.k8s.io"
_LEASE_ROLE: Final = f"{NAME}-lease"


def access(settings: Settings, options: Installation) -> Iterator[Manifest]:
    """A ServiceAccount; a Role and its binding in each namespace that a pool is in, and in the
    lease's; a ClusterRole for what is in no namespace.
    """
    yield Manifest(
        "What agentdash logs in as. Its token is renewed by the kubelet and read again.",
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(NAME, options.namespace),
        },
    )
    for namespace in dict.fromkeys(pool.namespace for pool in settings.fleet.pools):
        yield from _role(NAME, namespace, tenant_rights(settings, namespace), options)
    lease = settings.controller.lease
    if not settings.controller.read_only and (rights := lease_rights(lease)):
        yield from _role(_LEASE_ROLE, lease.namespace, rights, options)
    yield from _role(NAME, "", cluster_rights(settings), options)


def _role(
    name: str, namespace: str, rights: Sequence[Right], options: Installation
) -> Iterator[Manifest]:
    kind = "Role" if namespace else "ClusterRole"
    place = f"in namespace {namespace}" if namespace else "in the whole cluster"
    # the names of a cluster's roles are shared by all fleets of the cluster
    name = name if namespace else f"{options.namespace}-{name}"
    yield Manifest(
        f"What agentdash may do {place}: nothing else, and no Secrets. The comment above a "
        "rule says what it is for and, where it is optional, what happens without it.",
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": kind,
            "metadata": metadata(name, namespace),
            "rules": [Noted(_why(right), _rule(right)) for right in rights],
        },
    )
    yield Manifest(
        "",
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata(name, namespace),
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": options.namespace}],
        },
    )


def _rule(right: Right) -> dict[str, object]:
    rule: dict[str, object] = {
        "apiGroups": [right.group],
        "resources": list(right.resources),
        "verbs": list(right.verbs),
    }
    if right.names:
        rule["resourceNames"] = list(right.names)
    return rule


def _why(right: Right) -> str:
    optional = f"; optional: without it {right.without}" if right.without else ""
    return f"{right.reason}{optional}".replace("*", "").replace("`", "")
