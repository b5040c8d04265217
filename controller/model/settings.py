"""The fleet file's settings of connections, as values. A secret appears only as a reference to the
file or variable that holds it, never with its value; once read, it is printed as stars.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.lease import LeaseStore, LeaseTimes
from controller.model.value import Value

STARS: Final = "********"


class Secret:
    """A secret value. `str`, `repr` and `format` give stars; only `reveal` gives the value."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The secret value, for the call that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return STARS

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return STARS

    def __reduce__(self) -> str:
        raise TypeError("a secret is neither pickled nor copied")


class SecretUnreadableError(Exception):
    """The file or variable that should hold a secret cannot be read. The message names the file or
    variable and never shows what is in it.
    """


class SecretRef(Value):
    """Where a secret is kept: either `file`, a path, or `env`, the name of a variable."""

    file: str | None = None
    env: str | None = None

    def read(self) -> Secret:
        """Read the secret at each call, because a mounted file may change. Raises
        SecretUnreadableError.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if value is None:
                raise SecretUnreadableError(f"environment variable {self.env} is not set")
            return Secret(value)
        path = Path(self.file or "").expanduser()
        try:
            return Secret(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise SecretUnreadableError(f"{path}: {reason}") from None


def without_userinfo(url: str) -> str:
    """The URL without user, password, query and fragment, as it may be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


class NatsCredentials(Value):
    """How to log in to NATS: exactly one way, or none."""

    creds: SecretRef | None = None
    user: str | None = None
    password: SecretRef | None = None
    token: SecretRef | None = None
    nkey: SecretRef | None = None


class NatsTls(Value):
    """Certificates as file paths."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class NatsSettings(Value):
    """The servers of one NATS system, the bucket with this fleet's memory and intents, and what the
    subjects of answers to us begin with.

    `domain` is the JetStream domain of queues and buckets; None is that of the servers. `replicas`
    is how many servers of a cluster keep a bucket that is created here.
    """

    servers: tuple[str, ...]
    credentials: NatsCredentials = NatsCredentials()
    tls: NatsTls | None = None
    bucket: str = "agentdash"
    inbox: str = "_INBOX"
    domain: str | None = None
    replicas: int = 1


class KubernetesSettings(Value):
    """One cluster, by kubeconfig and context; without both, the one in which this process runs.
    `ending_taints` are further keys of taints that say that a node ends.
    """

    kubeconfig: str | None = None
    context: str | None = None
    selector: str | None = None
    ending_taints: tuple[str, ...] = ()


class PrometheusSettings(Value):
    """The Prometheus server from which signals are read."""

    url: str


class JournalStreamSettings(Value):
    """For how long the journal's stream keeps its lines, and in how many bytes at most, where this
    program creates it.
    """

    keep_s: float = 86_400.0
    max_bytes: int = 256 * 2**20


class JournalSettings(Value):
    """Where the snapshots of each tick are kept, for how long, and in how many bytes at most; and
    the stream in NATS that keeps the leader's, if there is to be one.
    """

    path: str
    keep_s: float = 86_400.0
    max_bytes: int = 2**30
    stream: JournalStreamSettings | None = None


class LeaseSettings(Value):
    """Where the lease is that says which process leads; `name` is that of the Kubernetes object."""

    store: LeaseStore = LeaseStore.KUBERNETES
    name: str = "agentdash"
    namespace: str = "default"
    times: LeaseTimes = LeaseTimes()


FREEZE_FILE: Final = "/etc/agentdash/freeze"


class ControllerSettings(Value):
    """The controller's own settings. While the file `freeze_file` is there, nothing is written to
    the cluster.
    """

    interval_s: float = 1.0
    read_only: bool = False
    journal: JournalSettings | None = None
    lease: LeaseSettings = LeaseSettings()
    freeze_file: str | None = FREEZE_FILE


class Notice(Value):
    """A key of the fleet file that is accepted but has no effect, or none yet.

    `place` is file, line and column. `text` continues a sentence that begins with the path: "is
    read by workers; …".
    """

    place: str
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path} {self.text}"


class Settings(Value):
    """One fleet file: the connections, the fleet, and the notices about the file."""

    nats: NatsSettings
    kubernetes: KubernetesSettings
    controller: ControllerSettings
    fleet: Fleet
    prometheus: PrometheusSettings | None = None
    notices: tuple[Notice, ...] = ()

    def with_journal(self, path: str | None) -> Settings:
        """The same with a journal in this file, whatever file it had; None changes nothing."""
        if path is None:
            return self
        known = self.controller.journal
        journal = JournalSettings(path=path) if known is None else replace(known, path=path)
        return replace(self, controller=replace(self.controller, journal=journal))
