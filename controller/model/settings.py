"""The fleet file's settings of connections, as values. A secret appears only as a reference to the
file or variable that holds it, never with its value; once read, it is printed as stars.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.value import Counter, Time, Value

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
    """A secret's file or variable cannot be read; the message names it, not what is in it."""


class SecretRef(Value):
    """Where a secret is kept: either `file`, a path, or `env`, the name of a variable."""

    file: str | None = None
    env: str | None = None

    def read(self) -> Secret:
        """Read it at each call: a mounted file may change. Raises SecretUnreadableError."""
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
    """One NATS system."""

    servers: tuple[str, ...]
    credentials: NatsCredentials = NatsCredentials()
    tls: NatsTls | None = None
    bucket: str = "agentdash"  # with this fleet's memory and intents
    inbox: str = "_INBOX"  # what the subjects of answers to us begin with
    domain: str | None = None  # of queues and buckets in JetStream; None: that of the servers
    replicas: int = 1  # how many servers of a cluster keep a bucket that is created here


class KubernetesSettings(Value):
    """One cluster, by kubeconfig and context; without both, the one in which this process runs."""

    kubeconfig: str | None = None
    context: str | None = None
    selector: str | None = None
    ending_taints: tuple[str, ...] = ()  # further keys of taints that say that a node ends


class PrometheusSettings(Value):
    """The Prometheus server from which signals are read."""

    url: str


class JournalStreamSettings(Value):
    """How long the journal's stream keeps lines, and how many bytes, where we create it."""

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


LONGEST_DURATION_S: Final = 300.0
LONGEST_WRITE_S: Final = 5.0
# in the record of a process that has ended: Kubernetes allows no duration below 1 s
RELEASED_DURATION_S: Final = 1.0
# waits are between `retry` and 1.2 · `retry`, so that processes do not try at the same moment
JITTER: Final = 1.2


class LeaseStore(StrEnum):
    """Where the lease is: an object of the cluster, a key of the fleet's bucket, or nowhere."""

    KUBERNETES = "kubernetes"
    NATS = "nats"
    NONE = "none"


class LeaseTimes(Value):
    """The times of an election, in seconds (client-go: LeaseDuration, RenewDeadline, RetryPeriod).

    Others take the lease after `duration_s` without a change of its record. The holder stops
    `renew_deadline_s` after its last renewal, and renews every `retry_s`.
    """

    duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    @property
    def write_s(self) -> float:
        """The longest time that a write to the cluster may take."""
        return min(LONGEST_WRITE_S, self.renew_deadline_s / 2)

    @property
    def right_s(self) -> float:
        """How long a renewal gives the right to begin a write: it ends before the deadline."""
        return self.renew_deadline_s - self.write_s

    @property
    def request_s(self) -> float:
        """The longest time for one try to renew, so that one lost request ends no right."""
        return 0.4 * self.right_s

    def problem(self) -> str | None:
        """What is wrong with the ratios, in words; None if nothing is."""
        if self.duration_s < self.renew_deadline_s + 1.0:
            return (
                f"duration ({self.duration_s:g}s) must be at least 1s more than renew_deadline "
                f"({self.renew_deadline_s:g}s): a late write must end before another process leads"
            )
        if self.right_s <= JITTER * self.retry_s:
            return (
                f"retry ({self.retry_s:g}s) is too long for renew_deadline "
                f"({self.renew_deadline_s:g}s): it must be below {self.right_s / JITTER:.3g}s, or "
                "the right to write would end before each renewal"
            )
        return None


class LeaseRecord(Value):
    """What the holder writes. `acquired_at` and `renewed_at` are Unix seconds by its own clock:
    people read them, no process judges by them. `transitions` counts the changes of the holder.
    """

    holder: str
    duration_s: float
    acquired_at: Time
    renewed_at: Time
    transitions: Counter = 0


class SeenLease(Value):
    """A lease as it was read. `stamp` differs after each renewal; `version` is for
    compare-and-set. What cannot be understood is empty: then `holder` is empty, too.
    """

    holder: str
    duration_s: float
    transitions: int
    stamp: str
    version: str

    @property
    def is_released(self) -> bool:
        """Whether its holder has given it back."""
        return not self.holder and 0 < self.duration_s <= RELEASED_DURATION_S

    def is_same_as(self, other: SeenLease | None) -> bool:
        """Whether it was not renewed in between; the version also changes with labels."""
        return other is not None and (self.holder, self.stamp, self.transitions) == (
            other.holder,
            other.stamp,
            other.transitions,
        )


class LeaseView(Value):
    """The lease for people."""

    name: str
    holder: str = ""  # the process that holds it, empty if that is not known
    is_ours: bool = False
    problem: str = ""  # in words, empty if there is none


class LeaseSettings(Value):
    """Where the lease is that says which process leads; `name` is that of the Kubernetes object."""

    store: LeaseStore = LeaseStore.KUBERNETES
    name: str = "agentdash"
    namespace: str = "default"
    times: LeaseTimes = LeaseTimes()


FREEZE_FILE: Final = "/etc/agentdash/freeze"


class ControllerSettings(Value):
    """The controller's own settings. While `freeze_file` is there, nothing is written."""

    interval_s: float = 1.0
    read_only: bool = False
    journal: JournalSettings | None = None
    lease: LeaseSettings = LeaseSettings()
    freeze_file: str | None = FREEZE_FILE


class Notice(Value):
    """A key of the fleet file that is accepted but has no effect, or none yet."""

    place: str  # file, line and column
    path: str
    text: str  # continues a sentence that begins with the path: "is read by workers; …"

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
