"""What a person chooses of the printed objects, and what cannot be printed."""

from __future__ import annotations

from typing import Final

from controller.model.value import Value

NAME: Final = "agentdash"
LABELS: Final = {"app.kubernetes.io/name": NAME}
METRICS_PORT: Final = 9464
USER: Final = 65532
"""The user that distroless images call nonroot."""


class ManifestError(Exception):
    """The fleet file cannot run in a Pod as it is; the message says why and what to change."""


class Installation(Value):
    """The namespace that agentdash runs in, its image, and whether the cluster has the Prometheus
    operator, which reads ServiceMonitors and PrometheusRules.
    """

    image: str
    namespace: str = NAME
    service_monitor: bool = False


def metadata(name: str, namespace: str = "", **more: object) -> dict[str, object]:
    """The metadata of one object; without a namespace it belongs to the whole cluster."""
    place: dict[str, object] = {"name": name}
    if namespace:
        place["namespace"] = namespace
    return {**place, "labels": dict(LABELS), **more}
