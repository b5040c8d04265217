"""What a worker works on and how, from the variables of its environment."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from agentdash.worker.session import WorkerSettingsError
from controller.model.ids import PoolKey, QueueName, dns_label, dns_subdomain, nats_name, pool_key
from controller.model.settings import Secret
from controller.model.text import quote
from controller.model.worker_messages import ModelTerms, RateShare, SessionLimits

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?\Z")
_WHOLE: Final = re.compile(r"\d{1,12}\Z")
_PORT_MOST: Final = 65_535
GRACE_S: Final = 25.0
"""Kubernetes kills a pod 30 s after SIGTERM (terminationGracePeriodSeconds by default). The rest
is for cutting agents and handing their tasks back.
"""


RENEWED: Final = "AGENTDASH_RENEWED"
"""Set by a process that runs itself anew: when, and for which pool it has worked."""


class NatsLogin(msgspec.Struct, frozen=True, kw_only=True):
    """Where NATS is and how to log in; the secrets print as stars."""

    servers: tuple[str, ...]
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    creds_file: str | None = None
    nkey_file: str | None = None
    ca_file: str | None = None


class Served(msgspec.Struct, frozen=True):
    """A pool that a worker serves, and its queues, the highest priority first."""

    tenant: str
    pool: str
    queues: tuple[QueueName, ...]

    @property
    def key(self) -> PoolKey:
        """The pool's key."""
        return pool_key(self.tenant, self.pool)


class Renew(StrEnum):
    """What a worker that stands by does between two tasks: it runs itself anew, or goes on."""

    PROCESS = "process"
    NONE = "none"


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker works on. Times are seconds.

    `queues` are those of its pool, the highest priority first. `stands_by_for` are the pools whose
    tasks it does if it stands by: `tenant` and `pool` name its Deployment then, and it has no
    queues of its own. `attempts` is how often a task is
    tried before it becomes a dead letter. `limits`, `models` and `rates` (shares of the models'
    limits, by model) hold as long as no controller says more. `grace_s` is how long an agent may go
    on once the worker must end. `listen` is where metrics and health are served, None for nowhere.
    `spot_notice` is a file whose appearance announces the end of the node.
    """

    tenant: str
    pool: str
    queues: tuple[QueueName, ...]
    worker: str
    stands_by_for: tuple[Served, ...] = ()
    renew: Renew = Renew.NONE
    slots: int = 1
    attempts: int = 5
    grace_s: float = GRACE_S
    result_ttl_s: float = 86_400.0
    model: str = ""
    limits: SessionLimits = SessionLimits()
    models: tuple[ModelTerms, ...] = ()
    rates: dict[str, RateShare] = {}
    reports_usage: bool = True
    listen: tuple[str, int] | None = None
    spot_notice: str | None = None

    @property
    def serves(self) -> tuple[Served, ...]:
        """The pools whose tasks it does: its own, or those for which it stands by."""
        return self.stands_by_for or (Served(self.tenant, self.pool, self.queues),)


def read_settings(environment: Mapping[str, str] | None = None) -> tuple[NatsLogin, WorkerSettings]:
    """The settings in the environment. Raises WorkerSettingsError, with every problem in it."""
    given = _Variables(os.environ if environment is None else environment)
    login = NatsLogin(
        servers=given.read("NATS_URL", _servers, needed="such as nats://nats.example:4222") or (),
        user=given.text("NATS_USER"),
        password=given.read("NATS_PASSWORD", Secret),
        token=given.read("NATS_TOKEN", Secret),
        creds_file=given.text("NATS_CREDS"),
        nkey_file=given.text("NATS_NKEY"),
        ca_file=given.text("NATS_CA"),
    )
    plain = SessionLimits()
    tenant = given.read("AGENTDASH_TENANT", dns_label, needed="the tenant of the pool") or ""
    stands_by_for = given.read("AGENTDASH_STANDBY_FOR", _stands_by_for(tenant), otherwise=())
    needed = "" if stands_by_for else "STREAM/CONSUMER of the pool"
    several = len({each.tenant for each in stands_by_for}) > 1
    settings = WorkerSettings(
        tenant=tenant,
        pool=given.read("AGENTDASH_POOL", dns_label, needed="the pool's name") or "",
        queues=given.read("AGENTDASH_QUEUES", _queues, needed=needed) or (),
        worker=given.read("AGENTDASH_WORKER", dns_subdomain) or _own_name(),
        stands_by_for=stands_by_for,
        renew=given.read(
            "AGENTDASH_RENEW", _renew, otherwise=Renew.PROCESS if several else Renew.NONE
        ),
        slots=given.read("AGENTDASH_SLOTS", _whole(1, 10_000)) or 1,
        attempts=given.read("AGENTDASH_ATTEMPTS", _whole(1, 1_000)) or 5,
        grace_s=given.read("AGENTDASH_GRACE", _duration, otherwise=GRACE_S),
        result_ttl_s=given.read("AGENTDASH_RESULT_TTL", _duration, otherwise=86_400.0),
        model=given.text("AGENTDASH_MODEL") or "",
        limits=SessionLimits(
            tokens=given.read("AGENTDASH_SESSION_TOKENS", _whole(1, 10**9), otherwise=plain.tokens),
            duration_s=given.read(
                "AGENTDASH_SESSION_DURATION", _duration, otherwise=plain.duration_s
            ),
            tool_calls=given.read(
                "AGENTDASH_SESSION_TOOL_CALLS", _whole(0, 10**6), otherwise=plain.tool_calls
            ),
        ),
        models=given.read("AGENTDASH_MODELS", _models, otherwise=()),
        rates=given.read("AGENTDASH_RATES", _rates, otherwise={}),
        listen=given.read("AGENTDASH_LISTEN", _address, otherwise=("127.0.0.1", 9465)),
        spot_notice=given.text("AGENTDASH_SPOT_NOTICE"),
    )
    if stands_by_for and (settings.queues or settings.slots > 1):
        given.problems.append(
            "AGENTDASH_STANDBY_FOR makes a worker that stands by: it has one slot and no queue of "
            "its own; leave AGENTDASH_QUEUES and AGENTDASH_SLOTS out"
        )
    if given.problems:
        raise WorkerSettingsError("\n".join(given.problems))
    return login, settings


class _Variables:
    """The environment, with a line for each variable that is missing or wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        """The value; None where it is unset or empty."""
        return self._environment.get(name, "").strip() or None

    def read(
        self, name: str, read: Callable[[str], Any], *, needed: str = "", otherwise: Any = None
    ) -> Any:
        """The value as `read` makes it; `otherwise` where it is unset, or wrong."""
        text = self.text(name)
        if text is None:
            if needed:
                self.problems.append(f"{name} is not set: {needed}")
            return otherwise
        try:
            return read(text)
        except ValueError as error:
            # a URL of NATS may hold a password
            shown = name if name.startswith("NATS_") else f"{name}={quote(text)}"
            self.problems.append(f"{shown} {error}")
            return otherwise


def _own_name() -> str:
    """The host's name, which is the pod's in Kubernetes, as a worker may be called."""
    name = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.")
    return name[:200] or "worker"


def _servers(text: str) -> tuple[str, ...]:
    servers = tuple(filter(None, (each.strip() for each in text.split(","))))
    if not all(each.partition("://")[2] for each in servers):
        raise ValueError("must be URLs, such as nats://nats.example:4222, between commas")
    return servers


def _queues(text: str) -> tuple[QueueName, ...]:
    queues = []
    for each in text.split(","):
        stream, slash, consumer = each.strip().partition("/")
        if not slash:
            raise ValueError("must be STREAM/CONSUMER, several between commas, highest first")
        queues.append(QueueName(nats_name(stream), nats_name(consumer)))
    if len(set(queues)) < len(queues):
        raise ValueError("names a queue twice")
    return tuple(queues)


def _stands_by_for(tenant: str) -> Callable[[str], tuple[Served, ...]]:
    def read(text: str) -> tuple[Served, ...]:
        served = []
        for each in text.split():
            pool, equals, queues = each.partition("=")
            if not equals:
                raise ValueError(
                    "must be POOL=STREAM/CONSUMER for each pool, between spaces; several queues of "
                    "one between commas, another tenant's pool as TENANT/POOL"
                )
            other, _, name = pool.rpartition("/")
            place = Served(dns_label(other or tenant), dns_label(name), _queues(queues))
            served.append(place)
        if len({each.key for each in served}) < len(served):
            raise ValueError("names a pool twice")
        return tuple(served)

    return read


def _renew(text: str) -> Renew:
    if text not in {*Renew}:
        raise ValueError("must be process or none")
    return Renew(text)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text) if _WHOLE.match(text) else -1
        if not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return read


def _duration(text: str) -> float:
    found = _DURATION.match(text)
    if found is None:
        raise ValueError("must be a duration, such as 30s, 5m or 4h")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def _json(kind: Any, example: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise ValueError(f"must be JSON, such as {example}: {error}") from None

    return read


_models = _json(
    tuple[ModelTerms, ...], '[{"name": "gpt-small", "tier": "nano", "input_price": 0.15}]'
)
_rates = _json(dict[str, RateShare], '{"gpt-large": {"requests_per_minute": 60, "parallel": 4}}')


def _address(text: str) -> tuple[str, int] | None:
    if text == "off":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not _WHOLE.match(port) or int(port) > _PORT_MOST:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9465, or off")
    return host.strip("[]") or "127.0.0.1", int(port)
