"""Objects as YAML with comments, always in the same way. The YAML library cannot write comments,
and here they are half of what is read.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import yaml

from controller.model.value import Value

Json = dict[str, Any]
NAME: Final = "agentdash"
LABELS: Final = {"app.kubernetes.io/name": NAME}
METRICS_PORT: Final = 9464
USER: Final = 65532
"""The user that distroless images call nonroot."""
RBAC: Final = "rbac.authorization.k8s.io"
_WIDTH: Final = 96
# what YAML 1.2, which Kubernetes reads, takes for a number, and PyYAML (YAML 1.1) does not
_NUMBER: Final = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+|0o[0-7]+")
_PLAIN: Final = re.compile(r"[\w./=-]+")


class Noted(NamedTuple):
    """A value with a comment above it: an item of a list, or the value of a key."""

    note: str
    value: object


class Manifest(NamedTuple):
    """One object, with a comment above it. Values inside may be `Noted`."""

    note: str
    body: Json

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])


_API_VERSIONS: Final = {
    "Namespace": "v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "ResourceQuota": "v1",
    "ServiceAccount": "v1",
    "Role": f"{RBAC}/v1",
    "RoleBinding": f"{RBAC}/v1",
    "ClusterRole": f"{RBAC}/v1",
    "ClusterRoleBinding": f"{RBAC}/v1",
    "ConfigMap": "v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Deployment": "apps/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}
KINDS: Final = tuple(_API_VERSIONS)
"""What is printed, in the order in which it can be applied."""


def an_object(note: str, kind: str, namespace: str, name: str = NAME, **body: object) -> Manifest:
    """One object of this name; without a namespace it belongs to the whole cluster."""
    place = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **place, "labels": dict(LABELS)}
    return Manifest(
        note, {"apiVersion": _API_VERSIONS[kind], "kind": kind, "metadata": metadata, **body}
    )


def stream(manifests: Iterable[Manifest]) -> str:
    """The objects as one stream of documents."""
    return "\n".join(
        "\n".join(["---", *_comment(each.note), *_lines(each.body)]) for each in manifests
    )


def _lines(value: object) -> Iterator[str]:
    """A mapping or a list in block style."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, Noted):
                yield from _comment(each.note)
                each = each.value  # noqa: PLW2901 - the value without its comment
            yield from _entry(f"{_scalar(key)}:", each)
    elif isinstance(value, Sequence):
        for each in value:
            if isinstance(each, Noted):
                yield from _comment(each.note)
                each = each.value  # noqa: PLW2901
            yield from _item(each)


def _entry(key: str, value: object) -> Iterator[str]:
    if _is_block(value):
        yield key
        indent = "  " if isinstance(value, Mapping) else ""
        yield from (f"{indent}{line}" if line else "" for line in _lines(value))
    elif isinstance(value, str) and _is_literal(value):
        yield f"{key} |" if value.endswith("\n") else f"{key} |-"
        yield from (f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{key} {_scalar(value)}"


def _item(value: object) -> Iterator[str]:
    if not _is_block(value):
        yield f"- {_scalar(value)}"
        return
    first, *rest = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" if line else "" for line in rest)


def _is_block(value: object) -> bool:
    """Whether it has lines of its own; a short list of scalars stands in one line."""
    if isinstance(value, Mapping):
        return bool(value)
    if isinstance(value, list | tuple):
        return any(isinstance(each, Noted | Mapping | list | tuple) for each in value)
    return False


def _is_literal(text: str) -> bool:
    """Whether a literal block gives exactly this text back."""
    return (
        "\n" in text
        and not text.startswith((" ", "\n", "\t"))
        and not text.endswith("\n\n")
        and all(each == "\n" or each.isprintable() for each in text)
    )


def _scalar(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_line, value))}]"
    if isinstance(value, Mapping):
        return "{}"
    is_odd = isinstance(value, str) and (
        not (value.isprintable() and value.isascii()) or _NUMBER.fullmatch(value)
    )
    text: str = yaml.safe_dump(value, default_style='"' if is_odd else None, width=2**31)
    return text.removesuffix("\n...\n").removesuffix("\n")


def _in_line(value: object) -> str:
    """A scalar between brackets, where a comma or a bracket would end it."""
    text = _scalar(value)
    return text if _PLAIN.fullmatch(text) or not isinstance(value, str) else json.dumps(value)


def _comment(note: str) -> Iterator[str]:
    """The lines of a comment; a line that is indented, a command, is not broken."""
    for paragraph in note.splitlines():
        is_whole = paragraph.startswith("  ")
        wrapped = textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)
        yield from (f"# {line}" for line in ([paragraph] if is_whole else wrapped))


class ManifestError(Exception):
    """The fleet file cannot run in a Pod as it is; the message says why and what to change."""


class Installation(Value):
    """The namespace that agentdash runs in, its image, and whether the cluster has the Prometheus
    operator, which reads ServiceMonitors and PrometheusRules.
    """

    image: str
    namespace: str = NAME
    service_monitor: bool = False


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
