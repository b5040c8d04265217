"""agentdash itself: its configuration, its Deployment, and how many of its pods may be away."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import yaml

from controller.config.document import LOADER
from controller.manifests.monitoring import prometheus_rule
from controller.manifests.objects import (
    KINDS,
    LABELS,
    METRICS_PORT,
    NAME,
    USER,
    Installation,
    Json,
    Manifest,
    ManifestError,
    Noted,
    an_object,
)
from controller.manifests.tenants import access, network, tenant_objects
from controller.model.settings import NatsSettings, SecretRef, Settings

FLEET_FOLDER: Final = "/etc/agentdash-fleet"
SECRET: Final = NAME
_SYSTEM_FOLDERS: Final = frozenset(
    {"/", "/bin", "/dev", "/etc", "/lib", "/opt", "/opt/agentdash", "/proc", "/sys", "/usr", "/var"}
)


class Mounts(NamedTuple):
    """What the container gets: variables, volumes and where they are mounted."""

    variables: tuple[Json, ...]
    volumes: tuple[Json | Noted, ...]
    mounts: tuple[Json, ...]
    keys: tuple[str, ...]
    """The keys that the Secret must have."""


def mounts(settings: Settings) -> Mounts:
    """All that this file names. Raises ManifestError for a path no volume can be at."""
    named = (found.env for _, found in _references(settings.nats))
    variables = tuple(dict.fromkeys(env for env in named if env is not None))
    folders = _folders(settings.nats)
    volumes: list[Json | Noted] = [{"name": "fleet", "configMap": {"name": NAME}}]
    mounted: list[Json] = [{"name": "fleet", "mountPath": FLEET_FOLDER, "readOnly": True}]
    for number, (folder, names) in enumerate(folders.items()):
        items = [{"key": name, "path": name} for name in names]
        volume = f"secrets-{number}"
        secret = {"secretName": SECRET, "items": items, "defaultMode": 0o440}
        volumes.append({"name": volume, "secret": secret})
        mounted.append({"name": volume, "mountPath": folder, "readOnly": True})
    if (journal := settings.controller.journal) is not None:
        folder = _folder(journal.path, "controller.journal.path")
        if folder in folders:
            raise ManifestError(
                f"controller.journal.path is in {folder}, where secrets are mounted, which cannot "
                "be written: give it a folder of its own, such as /var/lib/agentdash"
            )
        # the newest file may grow past the limit before the oldest goes
        room = {"emptyDir": {"sizeLimit": str(journal.max_bytes * 5 // 4)}}
        note = "goes with the Pod; a PersistentVolumeClaim for each Pod would keep it"
        if journal.stream is not None:
            note = "goes with the Pod; what led is kept in NATS, too (agentdash journal)"
        volumes.append(Noted(note, {"name": "journal", **room}))
        mounted.append({"name": "journal", "mountPath": folder})
    keys = [*variables, *(name for names in folders.values() for name in names)]
    secrets = (
        {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}}
        for name in variables
    )
    return Mounts(tuple(secrets), tuple(volumes), tuple(mounted), tuple(keys))


def _references(nats: NatsSettings) -> Iterator[tuple[str, SecretRef]]:
    """Each secret that is named, with its key in the fleet file."""
    for field in ("creds", "password", "token", "nkey"):
        found: SecretRef | None = getattr(nats.credentials, field)
        if found is not None:
            yield f"nats.credentials.{field}", found


def _files(nats: NatsSettings) -> Iterator[tuple[str, str]]:
    """Each file that is named, with its key in the fleet file."""
    for key, found in _references(nats):
        if found.file is not None:
            yield key, found.file
    if nats.tls is not None:
        for field in ("ca", "cert", "key"):
            if (path := getattr(nats.tls, field)) is not None:
                yield f"nats.tls.{field}", path


def _folders(nats: NatsSettings) -> dict[str, list[str]]:
    """The names of the files in each folder. A name is a key of the Secret: it means one file."""
    folders: dict[str, list[str]] = {}
    at: dict[str, str] = {}
    for key, path in _files(nats):
        folder, name = _folder(path, key), PurePosixPath(path).name
        if at.setdefault(name, folder) != folder:
            raise ManifestError(
                f"{key} and another key name two files called {name}, and a Secret has one key of "
                "each name: rename one of the files"
            )
        if name not in folders.setdefault(folder, []):
            folders[folder].append(name)
    return folders


def _folder(path: str, key: str) -> str:
    """The folder of a file, where a volume is mounted."""
    folder = str(PurePosixPath(path).parent)
    if not path.startswith("/") or ".." in PurePosixPath(path).parts or folder in _SYSTEM_FOLDERS:
        raise ManifestError(
            f"{key} is {path}, and in a Pod a volume is mounted in its folder: write a whole path "
            "in a folder of its own, such as /etc/agentdash/…"
        )
    return folder


_REPLICAS: Final = 2
_MOST_BYTES: Final = 2**20
"""The API server refuses a larger ConfigMap (MaxSecretSize, core/validation)."""
_POD_SECURITY: Final = "pod-security.kubernetes.io/enforce"


def namespace(settings: Settings, options: Installation) -> Iterator[Manifest]:
    """The namespace of agentdash; a tenant's is never printed: deleting it ends its agents."""
    theirs = {tenant.namespace for tenant in settings.fleet.tenants}
    if options.namespace in {*theirs, "default"} or options.namespace.startswith("kube-"):
        return
    labels = {**LABELS, _POD_SECURITY: "restricted"}
    yield Manifest(
        "agentdash's own namespace. Those of the tenants are yours to make.",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": options.namespace, "labels": labels},
        },
    )


def workload(settings: Settings, fleet_text: str, options: Installation) -> Iterator[Manifest]:
    """ConfigMap, PodDisruptionBudget, Deployment. Raises ManifestError for what no Pod has."""
    text = in_a_pod(fleet_text) if settings.kubernetes.context else fleet_text
    yield an_object(
        "The fleet file. It names where secrets are and holds none.",
        "ConfigMap",
        options.namespace,
        data={"fleet.yaml": text},
    )
    yield an_object(
        "A drained node takes one of the two pods at a time.",
        "PodDisruptionBudget",
        options.namespace,
        spec={"maxUnavailable": 1, "selector": {"matchLabels": dict(LABELS)}},
    )
    found = mounts(settings)
    yield an_object(
        _about(found, options),
        "Deployment",
        options.namespace,
        spec={
            "replicas": Noted("one leads, the other takes over", _REPLICAS),
            "selector": {"matchLabels": dict(LABELS)},
            "template": {
                "metadata": {
                    "labels": dict(LABELS),
                    "annotations": {
                        "agentdash.dev/fleet": Noted(
                            "another fleet file is another pod: it is read at the start",
                            hashlib.sha256(text.encode()).hexdigest()[:16],
                        )
                    },
                },
                "spec": _pod(found, options),
            },
        },
    )


def in_a_pod(fleet_text: str) -> str:
    """The fleet file without its kubeconfig context, letter for letter: a Pod has none."""
    value = _node(_node(yaml.compose(fleet_text, LOADER), "kubernetes"), "context")
    if value is None:
        return fleet_text
    return f"{fleet_text[: value.start_mark.index]}null{fleet_text[value.end_mark.index :]}"


def _node(mapping: Any, key: str) -> Any:
    """The node under this key; None where there is none."""
    if not isinstance(mapping, yaml.MappingNode):
        return None
    return next((value for name, value in mapping.value if name.value == key), None)


def _about(found: Mounts, options: Installation) -> str:
    text = f"The controller, {_REPLICAS} times. It writes nothing to its own file system."
    if found.keys:
        files = " ".join(f"--from-file={key}" for key in found.keys)
        text += (
            f"\nIt needs a Secret with the keys {', '.join(found.keys)}:\n"
            f"  kubectl -n {options.namespace} create secret generic {SECRET} {files}"
        )
    return text


def _pod(found: Mounts, options: Installation) -> Json:
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(LABELS)},
            }
        ],
        "containers": [_container(found, options)],
        "volumes": list(found.volumes),
    }


def _container(found: Mounts, options: Installation) -> Json:
    variables: list[Json | Noted] = [
        Noted("its own files cannot be written", {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}),
        *found.variables,
    ]
    return {
        "name": NAME,
        "image": options.image,
        "args": [
            "--fleet",
            f"{FLEET_FOLDER}/fleet.yaml",
            "--controller-only",
            "--listen",
            f"0.0.0.0:{METRICS_PORT}",
        ],
        "env": variables,
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "startupProbe": _probe("/healthz", period_s=1, failures=30),
        "livenessProbe": _probe("/healthz", period_s=10, failures=3),
        "readinessProbe": _probe("/readyz", period_s=5, failures=2),
        "resources": {
            "requests": {"cpu": "250m", "memory": "192Mi"},
            "limits": {
                "memory": Noted(
                    "1,000 pools take 120 MB; no limit of CPU, because a throttled controller "
                    "wakes pools late",
                    "512Mi",
                )
            },
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": list(found.mounts),
    }


def _probe(path: str, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "metrics"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def manifests(
    settings: Settings, fleet_text: str, options: Installation, kinds: Collection[str] = KINDS
) -> tuple[Manifest, ...]:
    """The objects of these kinds; `fleet_text` is the fleet file that `settings` are read from. The
    same arguments give the same objects in the same order.

    Raises ManifestError where there is no pool to scale, or the fleet file cannot run in a Pod.
    """
    if not settings.fleet.pools:
        raise ManifestError(
            "the fleet file has no pools, so there is nothing to give agentdash rights for: add "
            "one under pools"
        )
    if "ConfigMap" in kinds and (size := len(fleet_text.encode())) > _MOST_BYTES:
        others = ",".join(sorted({*kinds} - {"ConfigMap"}, key=KINDS.index))
        raise ManifestError(
            f"the fleet file has {size:,} bytes and a ConfigMap at most {_MOST_BYTES:,}: remove "
            f"comments, or mount the file from a volume and ask for --only {others}"
        )
    found = (
        *namespace(settings, options),
        *tenant_objects(settings),
        *access(settings, options),
        *network(settings, options),
        *workload(settings, fleet_text, options),
        *((prometheus_rule(options),) if options.service_monitor else ()),
    )
    chosen = (each for each in found if each.kind in kinds)
    return tuple(sorted(chosen, key=lambda each: KINDS.index(each.kind)))
