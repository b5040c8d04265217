"""The connections to NATS, Kubernetes and Prometheus, and the controller's own settings."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from controller.config.scalars import (
    BucketName,
    FreeText,
    Interval,
    LabelSelector,
    PrometheusUrl,
    ServerUrl,
)
from controller.config.schema.section import Section


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

    @field_validator("servers")
    @classmethod
    def _one_transport(cls, servers: list[str]) -> list[str]:
        if len({server.startswith("ws") for server in servers}) > 1:
            raise ValueError("mixes WebSocket and other addresses: give one kind only")
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


class PrometheusEntry(Section):
    """The Prometheus server from which signals are read."""

    looks_like = "{url: http://prometheus:9090}"

    url: PrometheusUrl = Field(description="Its address, without a user or password.")


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
