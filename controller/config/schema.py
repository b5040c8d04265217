"""The fleet file's shape, as pydantic models.

A key that is planned but not there yet is named in its section's `not_yet`; it is then refused as
"not supported yet". To add it, write the field and take the name out of `not_yet`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.config import JsonDict

from controller.config.scalars import (
    DnsLabel,
    DnsSubdomain,
    FreeText,
    Interval,
    LabelSelector,
    NatsName,
    ServerUrl,
    TimeZone,
    Wait,
)

REPLICAS_LIMIT: Final = 100_000
INT32_MAX: Final = 2**31 - 1
# PriorityClass: user-defined values end at one billion
PRIORITY_LIMIT: Final = 1_000_000_000

# pydantic says by a pattern what names may be, but not that there are no others
_NO_OTHER_NAMES: Final[JsonDict] = {"additionalProperties": False}

NOT_YET_VALUES: Final = frozenset({("rule", "hpa")})
"""Values that are planned but not there yet, by their key."""

Replicas = Annotated[int, Field(ge=0, le=REPLICAS_LIMIT)]
Tasks = Annotated[int, Field(ge=1, le=REPLICAS_LIMIT)]


class Section(BaseModel):
    """One mapping of the fleet file. A key set to null is a key not set."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    not_yet: ClassVar[frozenset[str]] = frozenset()
    looks_like: ClassVar[str] = "key: value"

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            known = keys_of(cls) | cls.not_yet
            return {key: v for key, v in data.items() if v is not None or key not in known}
        return data


def keys_of(section: type[Section]) -> frozenset[str]:
    """The keys a section knows, as the file spells them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


class SecretEntry(Section):
    """Where a secret is kept; never the secret itself."""

    looks_like = "{file: /path/to/it} or {env: VARIABLE}; a secret is never written here itself"

    file: FreeText | None = Field(
        default=None, description="A file that holds it, read at each use."
    )
    env: FreeText | None = Field(default=None, description="An environment variable that holds it.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("give exactly one of file and env")
        return self


class CredentialsEntry(Section):
    """Who agentdash is to NATS: one way, or none."""

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
        default=None, description="Authorities to trust, a PEM file. Default: the system's."
    )
    cert: FreeText | None = Field(
        default=None, description="Our certificate, a PEM file; needs key."
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

    @field_validator("servers")
    @classmethod
    def _one_transport(cls, servers: list[str]) -> list[str]:
        if len({server.startswith("ws") for server in servers}) > 1:
            raise ValueError("mixes WebSocket and plain addresses: the client takes one kind")
        return servers


class KubernetesEntry(Section):
    """The cluster whose Deployments are scaled."""

    looks_like = "context: production"

    context: FreeText | None = Field(
        default=None, description="A kubeconfig context. Default: the current one, or in-cluster."
    )
    selector: LabelSelector | None = Field(
        default=None,
        description="Labels of the Deployments and pods to watch. "
        "Default: all in the tenants' namespaces.",
    )


class ControllerEntry(Section):
    """The controller's own numbers."""

    looks_like = "interval: 1s"

    interval: Interval = Field(
        default=1.0, description="Time between two ticks: a duration from 100ms to 5m. Default 1s."
    )
    read_only: bool = Field(
        default=False, description="Observe and plan, never lead or write. Default false."
    )


class TierEntry(Section):
    """A rank of tenants."""

    looks_like = "{priority: 500}"
    not_yet = frozenset({"blind"})

    priority: int = Field(
        ge=-PRIORITY_LIMIT, le=PRIORITY_LIMIT, description="The higher is served first."
    )


class TenantEntry(Section):
    """A customer."""

    looks_like = "{tier: growth}"
    not_yet = frozenset({"weight", "quota", "budget"})

    tier: str = Field(description="The name of one of the tiers.")
    namespace: DnsLabel | None = Field(
        default=None, description="Where its Deployments are. Default: the tenant's name."
    )
    timezone: TimeZone = Field(
        default="UTC", description="IANA name of its time zone. Default UTC."
    )


class QueueEntry(Section):
    """The JetStream consumer that feeds a pool."""

    looks_like = "{stream: TASKS, consumer: acme-research}"

    stream: NatsName = Field(description="The stream's name.")
    consumer: NatsName = Field(description="The durable consumer's name.")


class ReplicasEntry(Section):
    """How small and how large a pool may be."""

    looks_like = "{min: 0, max: 20}"
    not_yet = frozenset({"idle"})

    min: Replicas = Field(
        default=0, description="Never fewer replicas. 0 scales to zero. Default 0."
    )
    max: Replicas = Field(description="Never more replicas.")

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int, info: ValidationInfo) -> int:
        least = info.data.get("min", 0)
        if most < least:
            raise ValueError(f"must be at least min ({least})")
        return most


class PolicyEntry(Section):
    """autoscaling/v2's HPAScalingPolicy: a limit on the change within a period."""

    looks_like = "{type: Pods, value: 10, periodSeconds: 60}"

    type: Literal["Pods", "Percent"] = Field(description="What value counts.")
    value: int = Field(gt=0, le=INT32_MAX, description="Pods, or percent of the replicas.")
    period_seconds: int = Field(
        alias="periodSeconds", ge=1, le=1800, description="The period's length, 1 to 1800 seconds."
    )


class ScalingEntry(Section):
    """autoscaling/v2's HPAScalingRules: how fast one direction may go."""

    looks_like = "{stabilizationWindowSeconds: 300, policies: [...]}"
    not_yet = frozenset({"tolerance"})

    stabilization_window_seconds: int | None = Field(
        default=None,
        alias="stabilizationWindowSeconds",
        ge=0,
        le=3600,
        description="The most cautious recommendation of so many seconds counts, 0 to 3600. "
        "Default 0 up, 300 down.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max",
        alias="selectPolicy",
        description="The policy that allows most or least change counts; Disabled stops the "
        "direction. Default Max.",
    )
    policies: Annotated[list[PolicyEntry], Field(min_length=1)] | None = Field(
        default=None, description="Limits on the change. Default: none, so no limit."
    )


class BehaviorEntry(Section):
    """autoscaling/v2's HorizontalPodAutoscalerBehavior."""

    looks_like = "{scaleDown: {stabilizationWindowSeconds: 300}}"

    scale_up: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleUp",
        description="Limits on growing. Default: none.",
    )
    scale_down: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleDown",
        description="Limits on shrinking. Default: 300 s window.",
    )


class PoolEntry(Section):
    """One kind of agent of one tenant: a Deployment fed by a queue."""

    looks_like = "{name: ..., tenant: ..., queue: {...}, replicas: {...}}"
    not_yet = frozenset(
        {
            "minimum_runtime",
            "weight",
            "nodes",
            "native",
            "warm",
            "profile",
            "model",
            "usage",
            "schedules",
            "signals",
            "metrics",
            "modifiers",
            "fallback",
        }
    )

    name: DnsLabel = Field(description="The pool's name, once per tenant.")
    tenant: str = Field(description="The name of one of the tenants.")
    deployment: DnsSubdomain | None = Field(
        default=None,
        description="The Deployment in the tenant's namespace. Default: the pool's name.",
    )
    queue: QueueEntry = Field(description="The consumer whose messages are the pool's work.")
    slots: Tasks = Field(default=1, description="Tasks one replica works on at once. Default 1.")
    replicas: ReplicasEntry = Field(description="How small and how large the pool may be.")
    rule: Literal["native"] = Field(
        default="native", description="Whose arithmetic recommends a number. Default native."
    )
    target: Tasks | None = Field(
        default=None,
        description="Tasks per replica where no service time is known. Default: slots.",
    )
    activation: int = Field(
        default=0,
        ge=0,
        le=INT32_MAX,
        description="A pool at zero wakes when pending + in flight is strictly greater. Default 0.",
    )
    cooldown: Wait = Field(
        default=900.0,
        description="Time from the last activity to zero: a duration. Default 15m. "
        "It guards only that step.",
    )
    initial_cooldown: Wait = Field(
        default=0.0,
        description="Time a new pool stays up before its cooldown: a duration. Default 0s.",
    )
    behavior: BehaviorEntry = Field(
        default_factory=BehaviorEntry,
        description="How fast it may grow and shrink, as autoscaling/v2 spells it.",
    )


def default_tiers() -> dict[str, TierEntry]:
    """The tiers of a fleet file that names none."""
    priorities = {"enterprise": 1000, "growth": 500, "starter": 100}
    return {name: TierEntry(priority=priority) for name, priority in priorities.items()}


class FleetFile(Section):
    """The whole file."""

    looks_like = "version: 1"
    not_yet = frozenset({"prometheus", "models", "capacity"})

    version: Literal[1] = Field(description="The version of this format: 1.")
    nats: NatsEntry = Field(description="Where the queues are.")
    kubernetes: KubernetesEntry = Field(
        default_factory=KubernetesEntry,
        description="Where the Deployments are. Default: as kubectl finds it.",
    )
    controller: ControllerEntry = Field(
        default_factory=ControllerEntry, description="The controller's numbers."
    )
    tiers: dict[DnsLabel, TierEntry] = Field(
        default_factory=default_tiers,
        description="Ranks of tenants by name. Default: enterprise 1000, growth 500, starter 100.",
        json_schema_extra=_NO_OTHER_NAMES,
    )
    tenants: dict[DnsLabel, TenantEntry] = Field(
        default_factory=dict,
        description="Customers by name.",
        json_schema_extra=_NO_OTHER_NAMES,
    )
    pools: list[PoolEntry] = Field(default_factory=list, description="What is scaled.")
