"""What the fleet file says of tenants, as objects that the cluster itself keeps to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from controller.manifests.objects import (
    LABELS,
    METRICS_PORT,
    NAME,
    RBAC,
    Installation,
    Json,
    Manifest,
    Noted,
    an_object,
)
from controller.manifests.rights import Right, cluster_rights, lease_rights, tenant_rights
from controller.model.fleet import Fleet, Tenant
from controller.model.scarcity import Resources
from controller.model.settings import Settings
from controller.model.value import MILLI

AGENT_LABEL: Final = "agentdash.dev/managed"


def tenant_objects(settings: Settings) -> Iterator[Manifest]:
    """A PriorityClass for each tier that a tenant has; a ResourceQuota for each namespace whose
    tenants all have one in the fleet file; a headless Service for the agents of each namespace.
    """
    yield from _priorities(settings.fleet)
    tenants: dict[str, list[Tenant]] = defaultdict(list)
    for tenant in settings.fleet.tenants:
        tenants[tenant.namespace].append(tenant)
    for namespace, found in tenants.items():
        hard = _hard([tenant.quota for tenant in found])
        if hard:
            yield an_object(
                f"The quota of the fleet file, as the API server keeps it in {namespace}. It "
                "counts all pods of the namespace, those of a rollout too; with a quota of CPU or "
                "memory it refuses pods that request none.",
                "ResourceQuota",
                namespace,
                spec={"hard": hard},
            )
    for namespace in dict.fromkeys(pool.namespace for pool in settings.fleet.pools):
        yield _meeting_place(namespace, settings.kubernetes.selector)


def _priorities(fleet: Fleet) -> Iterator[Manifest]:
    tiers = {tenant.tier.name: tenant.tier for tenant in fleet.tenants}
    for tier in sorted(tiers.values(), key=lambda tier: (-tier.priority, tier.name)):
        yield an_object(
            f"For the pods of tenants in tier {tier.name}: priorityClassName in the Deployment.",
            "PriorityClass",
            "",
            f"{NAME}-{tier.name}",
            value=tier.priority,
            preemptionPolicy=Noted(
                "a pod that waits is scheduled first, but ends no busy one: agentdash makes "
                "room by lower targets, and busy replicas finish",
                "Never",
            ),
            description=f"Agents of tenants in tier {tier.name}.",
        )


def _hard(quotas: list[Resources]) -> dict[str, str]:
    """What tenants of one namespace may use in all; without a limit for one, none."""
    hard: dict[str, str] = {}
    for name, field, units in (
        ("pods", "replicas", {"": 1}),
        ("requests.cpu", "cpu_milli", {"": MILLI, "m": 1}),
        ("requests.memory", "memory_bytes", {"Gi": 2**30, "Mi": 2**20, "": 1}),
    ):
        amounts = [getattr(quota, field) for quota in quotas]
        if None not in amounts:
            # in the first unit of which it is a whole number
            whole = (each for each in units.items() if sum(amounts) % each[1] == 0)
            unit, size = next(whole)
            hard[name] = f"{sum(amounts) // size}{unit}"
    return hard


def _meeting_place(namespace: str, selector: str | None) -> Manifest:
    labels = _equalities(selector) or {AGENT_LABEL: "true"}
    words = ", ".join(f"{key}: {value}" for key, value in labels.items())
    return an_object(
        f"Agents of {namespace} find each other by the DNS name agents.{namespace}: it answers "
        f"with the addresses of all ready pods that have the label {words}.",
        "Service",
        namespace,
        "agents",
        spec={"clusterIP": "None", "selector": labels},
    )


def _equalities(selector: str | None) -> dict[str, str]:
    """The labels of a selector of equalities; none for any other selector."""
    labels: dict[str, str] = {}
    for requirement in (selector or "").split(","):
        key, equals, value = requirement.replace("==", "=").partition("=")
        if not equals or key.endswith("!") or "(" in requirement:
            return {}
        labels[key.strip()] = value.strip()
    return labels


_PORTS: Final = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443, "http": 80, "https": 443}
_API_SERVER_PORTS: Final = (443, 6443)
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


def network(settings: Settings, options: Installation) -> Iterator[Manifest]:
    """The NetworkPolicy of agentdash's pods, and the Service of their metrics."""
    yield an_object(
        "The port of /metrics. Followers answer too: the metric agentdash_leader tells them apart.",
        "Service",
        options.namespace,
        spec={
            "selector": dict(LABELS),
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}],
        },
    )
    yield an_object(
        "agentdash's pods reach what is listed here and nothing else, and nothing else reaches "
        "them. Ports are those of the pods behind a Service: where a Service maps its port to "
        "another, write that one.",
        "NetworkPolicy",
        options.namespace,
        spec={
            "podSelector": {"matchLabels": dict(LABELS)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                Noted(
                    "/metrics and /readyz, from pods of this cluster only",
                    {"from": [{"namespaceSelector": {}}], "ports": [_port(METRICS_PORT)]},
                )
            ],
            "egress": list(_egress(settings, options)),
        },
    )
    if options.service_monitor:
        yield _monitor(options)


def _egress(settings: Settings, options: Installation) -> Iterator[Noted]:
    dns = {"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: "kube-system"}}}
    yield Noted("DNS", {"to": [dns], "ports": [_port(53, "UDP"), _port(53)]})
    yield Noted(
        "the API server; its address is not known here: add it as an ipBlock where you know it",
        {"ports": [_port(each) for each in _API_SERVER_PORTS]},
    )
    for url in dict.fromkeys(settings.nats.servers):
        yield Noted("NATS", _towards(url, options))
    if settings.prometheus is not None:
        yield Noted("Prometheus", _towards(settings.prometheus.url, options))


def _towards(url: str, options: Installation) -> Json:
    """The rule for a server: address or namespace if named, else only its port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    ports = [_port(parts.port or _PORTS[parts.scheme])]
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        return {
            "to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}],
            "ports": ports,
        }
    namespace = _namespace_of(host, options.namespace)
    if namespace is None:
        return {"ports": ports}
    labels = {_NAMESPACE_LABEL: namespace}
    return {"to": [{"namespaceSelector": {"matchLabels": labels}}], "ports": ports}


def _namespace_of(host: str, here: str) -> str | None:
    """The namespace of a Service's name, if the name says it: `nats` is in our own, and
    `nats.queues.svc` in queues. `a.b` may be a Service in b or a pod behind b, so it says nothing.
    """
    labels = host.removesuffix(".").split(".")
    if "svc" in labels[2:]:
        return labels[labels.index("svc", 2) - 1]
    if len(labels) == 1:
        return here
    return None


def _port(number: int, protocol: str = "TCP") -> Json:
    return {"port": number, "protocol": protocol}


def _monitor(options: Installation) -> Manifest:
    return an_object(
        "For the Prometheus operator.",
        "ServiceMonitor",
        options.namespace,
        spec={
            "selector": {"matchLabels": dict(LABELS)},
            "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
        },
    )


_LEASE_ROLE: Final = f"{NAME}-lease"


def access(settings: Settings, options: Installation) -> Iterator[Manifest]:
    """A ServiceAccount; a Role and its binding in each namespace that a pool is in, and in the
    lease's; a ClusterRole for what is in no namespace.
    """
    yield an_object(
        "What agentdash logs in as. Its token is renewed by the kubelet and read again.",
        "ServiceAccount",
        options.namespace,
    )
    for namespace, rights in tenant_rights(settings).items():
        yield from _role(NAME, namespace, rights, options)
    lease = settings.controller.lease
    if not settings.controller.read_only and (leasing := lease_rights(lease)):
        yield from _role(_LEASE_ROLE, lease.namespace, leasing, options)
    yield from _role(NAME, "", cluster_rights(settings), options)


def _role(
    name: str, namespace: str, rights: Sequence[Right], options: Installation
) -> Iterator[Manifest]:
    kind = "Role" if namespace else "ClusterRole"
    place = f"in namespace {namespace}" if namespace else "in the whole cluster"
    # the names of a cluster's roles are shared by all fleets of the cluster
    name = name if namespace else f"{options.namespace}-{name}"
    yield an_object(
        f"What agentdash may do {place}: nothing else, and no Secrets. The comment above a "
        "rule says what it is for and, where it is optional, what happens without it.",
        kind,
        namespace,
        name,
        rules=list(map(_rule, rights)),
    )
    yield an_object(
        "",
        f"{kind}Binding",
        namespace,
        name,
        roleRef={"apiGroup": RBAC, "kind": kind, "name": name},
        subjects=[{"kind": "ServiceAccount", "name": NAME, "namespace": options.namespace}],
    )


def _rule(right: Right) -> Noted:
    rule: dict[str, object] = {
        "apiGroups": [right.group],
        "resources": list(right.resources),
        "verbs": list(right.verbs),
    }
    if right.names:
        rule["resourceNames"] = list(right.names)
    optional = f"; optional: without it {right.without}" if right.without else ""
    return Noted(f"{right.reason}{optional}".replace("*", "").replace("`", ""), rule)
