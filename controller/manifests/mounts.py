"""The files and variables that the fleet file names, as a Pod gets them. Secrets are named here,
never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from controller.manifests.options import NAME, ManifestError
from controller.manifests.yaml_text import Json, Noted
from controller.model.secret import SecretRef
from controller.model.settings import NatsSettings, Settings

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
    """Everything that this fleet file names. Raises ManifestError for a path that a Pod cannot have
    a volume at.
    """
    variables = tuple(dict.fromkeys(_variables(settings.nats)))
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
    return Mounts(
        tuple(_variable(name) for name in variables), tuple(volumes), tuple(mounted), tuple(keys)
    )


def _variable(name: str) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}}


def _references(nats: NatsSettings) -> Iterator[tuple[str, SecretRef]]:
    """Each secret that is named, with its key in the fleet file."""
    for field in ("creds", "password", "token", "nkey"):
        found: SecretRef | None = getattr(nats.credentials, field)
        if found is not None:
            yield f"nats.credentials.{field}", found


def _variables(nats: NatsSettings) -> Iterator[str]:
    return (found.env for _, found in _references(nats) if found.env is not None)


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
