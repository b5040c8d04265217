"""Turns a checked fleet file into settings: resolves names and fills in defaults."""

from __future__ import annotations

from controller.config.resolve.pools import pool
from controller.config.resolve.supply import capacity, model
from controller.config.resolve.tenants import tenant, tier
from controller.config.schema import FleetFile
from controller.config.schema.connections import JournalEntry, LeaseEntry, NatsEntry, SecretEntry
from controller.model.fleet import Fleet
from controller.model.lease import LeaseStore
from controller.model.secret import SecretRef
from controller.model.settings import (
    ControllerSettings,
    JournalSettings,
    JournalStreamSettings,
    KubernetesSettings,
    LeaseSettings,
    NatsCredentials,
    NatsSettings,
    NatsTls,
    PrometheusSettings,
    Settings,
)


def settings(file: FleetFile) -> Settings:
    """The settings of a file whose names have been checked."""
    tiers = {name: tier(name, entry) for name, entry in file.tiers.items()}
    tenants = {name: tenant(name, entry, tiers[entry.tier]) for name, entry in file.tenants.items()}
    return Settings(
        nats=_nats(file.nats),
        kubernetes=KubernetesSettings(
            context=file.kubernetes.context,
            selector=file.kubernetes.selector,
            ending_taints=tuple(file.kubernetes.ending_taints),
        ),
        controller=ControllerSettings(
            interval_s=file.controller.interval,
            read_only=file.controller.read_only,
            journal=_journal(file.controller.journal),
            lease=_lease(file.controller.lease, file.nats.bucket),
            freeze_file=file.controller.freeze_file,
        ),
        fleet=Fleet(
            tiers=tuple(tiers.values()),
            tenants=tuple(tenants.values()),
            pools=tuple(pool(entry, tenants[entry.tenant]) for entry in file.pools),
            models=tuple(model(name, entry) for name, entry in file.models.items()),
            capacity=capacity(file.capacity),
        ),
        prometheus=PrometheusSettings(url=file.prometheus.url) if file.prometheus else None,
    )


def _journal(entry: JournalEntry | None) -> JournalSettings | None:
    if entry is None:
        return None
    stream = entry.stream
    return JournalSettings(
        path=entry.path,
        keep_s=entry.keep,
        max_bytes=entry.max_bytes,
        stream=None
        if stream is None
        else JournalStreamSettings(keep_s=stream.keep, max_bytes=stream.max_bytes),
    )


def _lease(entry: LeaseEntry, bucket: str) -> LeaseSettings:
    return LeaseSettings(
        store=LeaseStore(entry.store),
        name=entry.name or bucket.lower().replace("_", "-").strip("-") or "agentdash",
        namespace=entry.namespace,
        times=entry.times,
    )


def _nats(nats: NatsEntry) -> NatsSettings:
    login, tls = nats.credentials, nats.tls
    return NatsSettings(
        servers=tuple(nats.servers),
        credentials=NatsCredentials(
            creds=SecretRef(file=login.file) if login.file else None,
            user=login.user,
            password=_secret(login.password),
            token=_secret(login.token),
            nkey=_secret(login.nkey),
        ),
        tls=NatsTls(ca=tls.ca, cert=tls.cert, key=tls.key) if tls else None,
        bucket=nats.bucket,
        inbox=nats.inbox,
        domain=nats.domain,
        replicas=nats.replicas,
    )


def _secret(entry: SecretEntry | None) -> SecretRef | None:
    return SecretRef(file=entry.file, env=entry.env) if entry else None
