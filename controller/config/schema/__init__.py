"""The shape of the fleet file, as pydantic models: the whole file here, with the connections and
the controller's own settings; pools and tenants stand in the modules beside this one.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from controller.config.scalars import (
    NO_OTHER_NAMES,
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
    ModelName,
    NatsName,
    PrometheusUrl,
    Section,
    ServerUrl,
    both_or_neither,
    exactly_one,
    only_if,
    value_of,
)
from controller.config.schema.pools import PoolEntry, StandbyEntry
from controller.config.schema.tenants import (
    CapacityEntry,
    ModelEntry,
    TenantEntry,
    TierEntry,
    default_tiers,
)
from controller.model.fleet import Fleet, Tier
from controller.model.settings import (
    FREEZE_FILE,
    ControllerSettings,
    JournalStreamSettings,
    LeaseSettings,
    LeaseTimes,
    SecretRef,
    Settings,
)


class SecretEntry(
    Section,
    looks_like="{file: /path/to/it} or {env: VARIABLE}; the secret itself is never written here",
):
    """Where a secret is kept. The secret itself is never in the file."""

    file: FreeText | None = None
    """A file that holds it; it is read at each use."""
    env: FreeText | None = None
    """An environment variable that holds it."""

    _one = exactly_one("file", "env")


class CredentialsEntry(
    Section, looks_like="{file: /path/to/nats.creds} or {user: NAME, password: {env: VARIABLE}}"
):
    """How agentdash logs in to NATS: one way, or none."""

    file: FreeText | None = None
    """A NATS credentials file (JWT and seed)."""
    user: FreeText | None = None
    """A user's name; needs password."""
    password: SecretEntry | None = None
    """The user's password."""
    token: SecretEntry | None = None
    """A token."""
    nkey: SecretEntry | None = None
    """An NKey seed."""

    _login = both_or_neither("user", "password")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in ("file", "user", "token", "nkey") if getattr(self, way) is not None]
        if len(ways) > 1:
            raise ValueError(f"give one way to log in, not {' and '.join(ways)}")
        return self

    @property
    def creds(self) -> SecretRef | None:
        """The credentials file."""
        return SecretRef(file=self.file) if self.file else None


class TlsEntry(Section, looks_like="{ca: /path/to/ca.pem}"):
    """Certificates for the connection to NATS."""

    ca: FreeText | None = None
    """Trusted authorities, a PEM file. Default: the system's."""
    cert: FreeText | None = None
    """The client's certificate, a PEM file; needs key."""
    key: FreeText | None = None
    """Its private key, a PEM file; needs cert."""

    _pair = both_or_neither("cert", "key")


class NatsEntry(Section, looks_like="servers: [nats://127.0.0.1:4222]"):
    """The NATS system whose JetStream holds the queues."""

    servers: Annotated[list[ServerUrl], Field(min_length=1)]
    """Addresses of one NATS system: nats://, tls://, or all ws:// or wss://."""
    credentials: CredentialsEntry = Field(default_factory=CredentialsEntry)
    """How to log in. Default: not at all."""
    tls: TlsEntry | None = None
    """Certificates. Default: by the URL's scheme."""
    bucket: BucketName = "agentdash"
    """The key-value bucket of memory and intents, one for each fleet of an account. Default
    agentdash.
    """

    inbox: NatsName = "_INBOX"
    """What the subjects of answers to us begin with. With a name of its own, nobody else needs the
    right to publish there. Default _INBOX.
    """
    domain: NatsName | None = None
    """The JetStream domain of queues and buckets, reached over leaf nodes. Default: that of the
    servers.
    """
    replicas: Literal[1, 3, 5] = 1
    """How many servers of a NATS cluster keep the buckets that agentdash creates: 1, 3 or 5.
    Default 1.
    """

    @field_validator("servers")
    @classmethod
    def _one_transport(cls, servers: list[str]) -> list[str]:
        if len({server.startswith("ws") for server in servers}) > 1:
            raise ValueError("mixes WebSocket and other addresses: give one kind only")
        return servers


class KubernetesEntry(Section, looks_like="context: production"):
    """The cluster whose workloads are scaled."""

    context: FreeText | None = None
    """A kubeconfig context. Default: the current one, or in-cluster."""
    selector: LabelSelector | None = None
    """Labels of the workloads and pods to watch. Default: all in the tenants' namespaces."""
    ending_taints: list[LabelKey] = Field(default_factory=list)
    """Further keys of taints that say that a node ends: its workers hand their tasks back. Those of
    the cluster autoscaler, Karpenter, AWS and GKE are known.
    """


class PrometheusEntry(Section, looks_like="{url: http://prometheus:9090}"):
    """The Prometheus server from which signals are read."""

    url: PrometheusUrl
    """Its address, without a user or password."""


class JournalStreamEntry(Section, looks_like="{keep: 24h, max_bytes: 256Mi}"):
    """The stream in NATS that keeps the journal of whichever process leads. Its name is that of
    nats.bucket and `_journal`; one that exists keeps its own limits.
    """

    keep_s: KeptFor = Field(default=JournalStreamSettings().keep_s, alias="keep")
    """For how long: a duration from 1m to 366 days. Default 24h."""
    max_bytes: Memory = JournalStreamSettings().max_bytes
    """Its most bytes, from 16Mi; the oldest lines go. Default 256Mi."""

    _room = only_if("max_bytes", lambda most: most >= 16 * 2**20, "must be at least 16Mi")


class JournalEntry(JournalStreamEntry, looks_like="path: /var/lib/agentdash/journal.jsonl"):
    """The file in which the snapshot of each tick is kept, for `agentdash --replay`."""

    path: FreeText
    """The file that is written; earlier ones lie beside it, with their time."""
    max_bytes: Memory = 2**30
    """The most bytes of all files together, from 16Mi; the oldest go. Default 1Gi."""
    stream: JournalStreamEntry | None = None
    """Keep what changed in a stream of NATS, too. Default: in the file alone."""


class LeaseEntry(
    Section, looks_like="{namespace: agentdash, duration: 15s, renew_deadline: 10s, retry: 2s}"
):
    """The lease that says which process leads. All processes of a fleet need the same one."""

    store: Literal["kubernetes", "nats", "none"] = "kubernetes"
    """kubernetes: a Lease; nats: a key of nats.bucket; none: no election, for a fleet of which
    never more than one controller runs. Default kubernetes.
    """
    name: DnsSubdomain | None = None
    """The Lease's name. Default: that of nats.bucket."""
    namespace: DnsLabel = "default"
    """The Lease's namespace, the same wherever a process runs. Default default."""
    duration: LeaseDuration = LeaseTimes().duration_s
    """Others take the lease after so long without a renewal: a duration from 1s to 5m. Default 15s.
    """
    renew_deadline: LeaseDuration = LeaseTimes().renew_deadline_s
    """The leader stops so long after its last renewal. Default 10s."""
    retry: LeaseRetry = LeaseTimes().retry_s
    """Time between renewals: a duration from 50ms to 1m. Default 2s."""

    @property
    def times(self) -> LeaseTimes:
        """The times of the election."""
        return LeaseTimes(
            duration_s=self.duration, renew_deadline_s=self.renew_deadline, retry_s=self.retry
        )

    def value(self, bucket: str) -> LeaseSettings:
        """The election of a fleet with this bucket."""
        name = self.name or bucket.lower().replace("_", "-").strip("-") or "agentdash"
        return value_of(self, LeaseSettings, name=name)

    @model_validator(mode="after")
    def _ratios(self) -> Self:
        if problem := self.times.problem():
            raise ValueError(problem)
        return self


class ControllerEntry(Section, looks_like="interval: 1s"):
    """The controller's own settings."""

    interval_s: Interval = Field(default=1.0, alias="interval")
    """Time between two ticks: a duration from 100ms to 5m. Default 1s."""
    read_only: bool = False
    """Observe and plan only; never lead and never write. Default false."""
    journal: JournalEntry | None = None
    """Where the snapshot of each tick is kept. Default: nothing is kept."""
    lease: LeaseEntry = Field(default_factory=LeaseEntry)
    """The election of the process that leads."""
    freeze_file: FreeText | None = FREEZE_FILE
    """While this file is there, nothing is written to the cluster; its text is the reason. null: no
    such file. Default /etc/agentdash/freeze.
    """


class FleetFile(Section, looks_like="version: 1"):
    """The whole file."""

    version: Literal[1]
    """The version of this format: 1."""
    nats: NatsEntry
    """Where the queues are."""
    kubernetes: KubernetesEntry = Field(default_factory=KubernetesEntry)
    """Where the Deployments are. Default: as kubectl finds it."""
    prometheus: PrometheusEntry | None = None
    """Where signals of Prometheus are read. Default: none."""
    controller: ControllerEntry = Field(default_factory=ControllerEntry)
    """The controller's settings."""
    tiers: dict[DnsLabel, TierEntry] = Field(
        default_factory=default_tiers, json_schema_extra=NO_OTHER_NAMES
    )
    """Ranks of tenants by name. Default: enterprise 1000, growth 500, starter 100."""
    models: dict[ModelName, ModelEntry] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Language models by name: their providers' limits, and their prices."""
    tenants: dict[DnsLabel, TenantEntry] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Customers by name."""
    capacity: CapacityEntry = Field(default_factory=CapacityEntry)
    """The most the whole fleet may take. Default: no limit but the nodes."""
    pools: list[PoolEntry] = Field(default_factory=list)
    """The pools of agents to scale."""
    standby: list[StandbyEntry] = Field(default_factory=list)
    """Replicas that stand by for many pools, so that these can sleep. Default: none."""

    def value(self) -> Settings:
        """The settings of a file whose names have been checked."""
        tiers = {name: value_of(one, Tier, name=name) for name, one in self.tiers.items()}
        tenants = {name: one.value(name, tiers[one.tier]) for name, one in self.tenants.items()}
        fleet = Fleet(
            tiers=tuple(tiers.values()),
            tenants=tuple(tenants.values()),
            pools=(
                *(one.value(tenants[one.tenant]) for one in self.pools),
                *(one.value(tenants[one.tenant]) for one in self.standby),
            ),
            models=tuple(one.value(name) for name, one in self.models.items()),
            capacity=self.capacity.value(),
        )
        lease = self.controller.lease.value(self.nats.bucket)
        controller = value_of(self.controller, ControllerSettings, lease=lease)
        return value_of(self, Settings, fleet=fleet, controller=controller)
