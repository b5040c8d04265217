"""What agentdash may reach, and who may reach it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from controller.manifests.options import LABELS, METRICS_PORT, NAME, Installation, metadata
from controller.manifests.yaml_text import Json, Manifest, Noted
from controller.model.settings import Settings

_PORTS: Final = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443, "http": 80, "https": 443}
_API_SERVER_PORTS: Final = (443, 6443)
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


def network(settings: Settings, options: Installation) -> Iterator[Manifest]:
    """The NetworkPolicy of agentdash's pods, and the Service of their metrics."""
    yield Manifest(
        "The port of /metrics. Followers answer too: the metric agentdash_leader tells them apart.",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(NAME, options.namespace),
            "spec": {
                "selector": dict(LABELS),
                "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}],
            },
        },
    )
    yield Manifest(
        "agentdash's pods reach what is listed here and nothing else, and nothing else reaches "
        "them. Ports are those of the pods behind a Service: where a Service maps its port to "
        "another, write that one.",
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(NAME, options.namespace),
            "spec": {
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
    """The rule for a server: its address, or the namespace of its Service where the name says it;
    else its port only, because a NetworkPolicy knows no names.
    """
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
    return Manifest(
        "For the Prometheus operator.",
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": metadata(NAME, options.namespace),
            "spec": {
                "selector": {"matchLabels": dict(LABELS)},
                "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
            },
        },
    )
