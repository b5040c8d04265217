"""The Dockerfile of agentdash's image."""

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


def dockerfile(version: str) -> str:
    """A Dockerfile for this version, to be used in a checkout of its source.

    It names no package index: pip uses the one that the builder is configured with, and accepts
    only what the lock file has the hash of.
    """
    return f"""\
# agentdash {version}. In a checkout of its source:
#   pip wheel --no-deps --wheel-dir dist .
#   agentdash manifests --dockerfile | docker build -f - -t agentdash:{version} .
# Pin the base by its digest: --build-arg BASE=docker.io/library/python@sha256:...
ARG BASE=docker.io/library/python:3.13-slim

FROM ${{BASE}} AS build
COPY requirements.lock /build/
RUN python -m venv /opt/agentdash \\
 && /opt/agentdash/bin/pip install --no-cache-dir --no-compile --require-hashes \\
    -r /build/requirements.lock
COPY dist/agentdash_fleet-{version}-py3-none-any.whl /build/
RUN /opt/agentdash/bin/pip install --no-cache-dir --no-compile --no-deps --no-index \\
    /build/agentdash_fleet-{version}-py3-none-any.whl \\
 && /opt/agentdash/bin/python -m compileall -q /opt/agentdash/lib \\
 && /opt/agentdash/bin/pip uninstall --yes --quiet pip

FROM ${{BASE}}
COPY --from=build /opt/agentdash /opt/agentdash
USER {USER}:{USER}
ENTRYPOINT ["/opt/agentdash/bin/agentdash"]
"""
