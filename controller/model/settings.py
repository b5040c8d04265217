"""How to reach what the fleet lives on, as the fleet file says it. Secrets are references, never
values.
"""

from __future__ import annotations

from controller.model.fleet import Fleet
from controller.model.secret import SecretRef
from controller.model.value import Value


class NatsCredentials(Value):
    """Exactly one way to prove who we are, or none."""

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
    """The servers of one NATS system, and the bucket that holds this fleet's memory and intents."""

    servers: tuple[str, ...]
    credentials: NatsCredentials = NatsCredentials()
    tls: NatsTls | None = None
    bucket: str = "agentdash"


class KubernetesSettings(Value):
    """One cluster: by kubeconfig and context, else from inside it."""

    kubeconfig: str | None = None
    context: str | None = None
    selector: str | None = None


class PrometheusSettings(Value):
    """The Prometheus server that signals are read from."""

    url: str


class ControllerSettings(Value):
    """The loop's own numbers."""

    interval_s: float = 1.0
    read_only: bool = False


class Notice(Value):
    """A key of the fleet file that was taken, but is without effect so far; `place` is file, line
    and column.
    """

    place: str
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path} {self.text}"


class Settings(Value):
    """One fleet file: whom to talk to, the fleet, and what to say of the file."""

    nats: NatsSettings
    kubernetes: KubernetesSettings
    controller: ControllerSettings
    fleet: Fleet
    prometheus: PrometheusSettings | None = None
    notices: tuple[Notice, ...] = ()
