"""The connections to NATS, Kubernetes and Prometheus, and the controller's own settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from controller.config.scalars import (
    DAY_S,
    BucketName,
    DnsLabel,
    DnsSubdomain,
    FreeText,
    Interval,
    KeptFor,
    LabelKey,
    LabelSelector,
    LeaseDuration,
    LeaseRetry,
    Memory,
    NatsName,
    PrometheusUrl,
    ServerUrl,
)
from controller.config.schema.section import Section
from controller.model.lease import LeaseTimes
from controller.model.settings import FREEZE_FILE, JournalStreamSettings


class SecretEntry(Section):
    """Where a secret is kept. The secret itself is never in the file."""

    looks_like = "{file: /path/to/it} or {env: VARIABLE}; the secret itself is never written here"

    file: FreeText | None = Field(
        default=None, description="A file that holds it; it is read at each use."
    )
    env: FreeText | None = Field(default=None, description="An environment variable that holds it.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("give exactly one of file and env")
        return self


class CredentialsEntry(Section):
    """How agentdash logs in to NATS: one way, or none."""

    looks_like = "{file: /path/to/nats.creds} or {user: NAME, password: {env: VARIABLE}}"

    file: FreeText | None = Field(
        default=None, description="A NATS credentials file (JWT and seed)."
    )
    user: FreeText | None = Field(default=None, description="A user's name; needs password.")
    password: SecretEntry | None = Field(default=None, description="The user's password.")
    token: SecretEntry | None = Field(default=None, description="A token.")
    nkey: SecretEntry | None = Field(default=None, description="An NKey seed.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password need each other: give both or neither")
        ways = [way for way in ("file", "user", "token", "nkey") if getattr(self, way) is not None]
        if len(ways) > 1:
            raise ValueError(f"give one way to log in, not {' and '.join(ways)}")
        return self


class TlsEntry(Section):
    """Certificates for the connection to NATS."""

    looks_like = "{ca: /path/to/ca.pem}"

    ca: FreeText | None = Field(
        default=None, description="Trusted authorities, a PEM file. Default: the system's."
    )
    cert: FreeText | None = Field(
        default=None, description="The client's certificate, a PEM file; needs key."
    )
    key: FreeText | None = Field(
        default=None, description="Its private key, a PEM file; needs cert."
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key need each other: give both or neither")
        return self


class NatsEntry(Section):
    """The NATS system whose JetStream holds the queues."""

    looks_like = "servers: [nats://127.0.0.1:4222]"

    servers: Annotated[list[ServerUrl], Field(min_length=1)] = Field(
        description="Addresses of one NATS system: nats://, tls://, or all ws:// or wss://."
    )
    credentials: CredentialsEntry = Field(
        default_factory=CredentialsEntry, description="How to log in. Default: not at all."
    )
    tls: TlsEntry | None = Field(
        default=None, description="Certificates. Default: by the URL's scheme."
    )
    bucket: BucketName = Field(
        default="agentdash",
        description="The key-value bucket of memory and intents, one for each fleet of an account. "
        "Default agentdash.",
    )

    inbox: NatsName = Field(
        default="_INBOX",
        description="What the subjects of answers to us begin with. With a name of its own, nobody "
        "else needs the right to publish there. Default _INBOX.",
    )
    domain: NatsName | None = Field(
        default=None,
        description="The JetStream domain of queues and buckets, reached over leaf nodes. Default: "
        "that of the servers.",
    )
    replicas: Literal[1, 3, 5] = Field(
        default=1,
        description="How many servers of a NATS cluster keep the buckets that agentdash creates: "
        "1, 3 or 5. Default 1.",
    )

    @field_validator("servers")
    @classmethod
    def _one_transport(cls, servers: list[str]) -> list[str]:
        if len({server.startswith("ws") for server in servers}) > 1:
            raise ValueError("mixes WebSocket and other addresses: give one kind only")
        return servers


class KubernetesEntry(Section):
    """The cluster whose workloads are scaled."""

    looks_like = "context: production"

    context: FreeText | None = Field(
        default=None, description="A kubeconfig context. Default: the current one, or in-cluster."
    )
    selector: LabelSelector | None = Field(
        default=None,
        description="Labels of the workloads and pods to watch. "
        "Default: all in the tenants' namespaces.",
    )
    ending_taints: list[LabelKey] = Field(
        default_factory=list,
        description="Further keys of taints that say that a node ends: its workers hand their "
        "tasks back. Those of the cluster autoscaler, Karpenter, AWS and GKE are known.",
    )


class PrometheusEntry(Section):
    """The Prometheus server from which signals are read."""

    looks_like = "{url: http://prometheus:9090}"

    url: PrometheusUrl = Field(description="Its address, without a user or password.")


_LEAST_JOURNAL: Final = 16 * 2**20


def _room_for_some(most: int) -> int:
    if most < _LEAST_JOURNAL:
        raise ValueError("must be at least 16Mi")
    return most


class JournalStreamEntry(Section):
    """The stream in NATS that keeps the journal of whichever process leads. Its name is that of
    nats.bucket and `_journal`; one that exists keeps its own limits.
    """

    looks_like = "{keep: 24h, max_bytes: 256Mi}"

    keep: KeptFor = Field(
        default=JournalStreamSettings().keep_s,
        description="For how long: a duration from 1m to 366 days. Default 24h.",
    )
    max_bytes: Memory = Field(
        default=JournalStreamSettings().max_bytes,
        description="Its most bytes, from 16Mi; the oldest lines go. Default 256Mi.",
    )

    @field_validator("max_bytes")
    @classmethod
    def _room_for_some(cls, most: int) -> int:
        return _room_for_some(most)


class JournalEntry(Section):
    """The file in which the snapshot of each tick is kept, for `agentdash --replay`."""

    looks_like = "path: /var/lib/agentdash/journal.jsonl"

    path: FreeText = Field(
        description="The file that is written; earlier ones lie beside it, with their time."
    )
    keep: KeptFor = Field(
        default=DAY_S, description="For how long: a duration from 1m to 366 days. Default 24h."
    )
    max_bytes: Memory = Field(
        default=2**30,
        description="The most bytes of all files together, from 16Mi; the oldest go. Default 1Gi.",
    )

    stream: JournalStreamEntry | None = Field(
        default=None,
        description="Keep what changed in a stream of NATS, too. Default: in the file alone.",
    )

    @field_validator("max_bytes")
    @classmethod
    def _room_for_some(cls, most: int) -> int:
        return _room_for_some(most)


class LeaseEntry(Section):
    """The lease that says which process leads. All processes of a fleet need the same one."""

    looks_like = "{namespace: agentdash, duration: 15s, renew_deadline: 10s, retry: 2s}"

    store: Literal["kubernetes", "nats", "none"] = Field(
        default="kubernetes",
        description="kubernetes: a Lease; nats: a key of nats.bucket; none: no election, for a "
        "fleet of which never more than one controller runs. Default kubernetes.",
    )
    name: DnsSubdomain | None = Field(
        default=None, description="The Lease's name. Default: that of nats.bucket."
    )
    namespace: DnsLabel = Field(
        default="default",
        description="The Lease's namespace, the same wherever a process runs. Default default.",
    )
    duration: LeaseDuration = Field(
        default=LeaseTimes().duration_s,
        description="Others take the lease after so long without a renewal: a duration from 1s to "
        "5m. Default 15s.",
    )
    renew_deadline: LeaseDuration = Field(
        default=LeaseTimes().renew_deadline_s,
        description="The leader stops so long after its last renewal. Default 10s.",
    )
    retry: LeaseRetry = Field(
        default=LeaseTimes().retry_s,
        description="Time between renewals: a duration from 50ms to 1m. Default 2s.",
    )

    @property
    def times(self) -> LeaseTimes:
        """The times of the election."""
        return LeaseTimes(
            duration_s=self.duration, renew_deadline_s=self.renew_deadline, retry_s=self.retry
        )

    @model_validator(mode="after")
    def _ratios(self) -> Self:
        if problem := self.times.problem():
            raise ValueError(problem)
        return self


class ControllerEntry(Section):
    """The controller's own settings."""

    looks_like = "interval: 1s"

    interval: Interval = Field(
        default=1.0, description="Time between two ticks: a duration from 100ms to 5m. Default 1s."
    )
    read_only: bool = Field(
        default=False,
        description="Observe and plan only; never lead and never write. Default false.",
    )
    journal: JournalEntry | None = Field(
        default=None,
        description="Where the snapshot of each tick is kept. Default: nothing is kept.",
    )
    lease: LeaseEntry = Field(
        default_factory=LeaseEntry, description="The election of the process that leads."
    )
    freeze_file: FreeText | None = Field(
        default=FREEZE_FILE,
        description="While this file is there, nothing is written to the cluster; its text is the "
        "reason. null: no such file. Default /etc/agentdash/freeze.",
    )
