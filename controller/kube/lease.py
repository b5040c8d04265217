"""A Lease (coordination.k8s.io/v1) as the record of the process that leads."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import msgspec

from controller.kube.client import MERGE_PATCH, Client
from controller.kube.errors import ApiError, ConfigError, KubeError
from controller.kube.wire import micro_time
from controller.model.lease import LeaseRecord, SeenLease
from controller.model.rights import FIELD_MANAGER
from controller.model.servers import Backoff
from controller.model.text import clean_name
from controller.ports import (
    Clock,
    LeaseAwayError,
    LeaseConflictError,
    LeaseError,
    LeaseRefusedError,
)

log = logging.getLogger(__name__)

LEASE_WATCH_S: Final = 60
LEASE_WATCH_BACKOFF_S: Final = (1.0, 30.0)
VERBS: Final = "get, create, patch, watch"


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _LeaseSpec(msgspec.Struct, rename="camel"):
    """Any JSON in each field: a damaged Lease is read as far as it goes."""

    holder_identity: Any = None
    lease_duration_seconds: Any = None
    lease_transitions: Any = None
    acquire_time: Any = None
    renew_time: Any = None


class _Lease(msgspec.Struct):
    metadata: _Metadata
    spec: _LeaseSpec | None = None


_LEASE: Final = msgspec.json.Decoder(_Lease)


class KubernetesLease:
    """The `Lease` port on one object of the cluster.

    Give it a client of its own, so that neither our limit on writes nor what the API server holds
    back delays a renewal. It changes its fields only, by a merge patch with the version that was
    read: what other programs write into the object stays.
    """

    def __init__(self, client: Client, clock: Clock, *, namespace: str, name: str) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._all = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases"
        self._path = f"{self._all}/{quote(name, safe='')}"

    @property
    def name(self) -> str:
        """What it is and where."""
        return f"Lease {self._namespace}/{self._name}"

    async def read(self) -> SeenLease | None:
        """The Lease now; None if there is none."""
        with self._lease_errors():
            try:
                return _seen(await self._client.call("GET", self._path, kind="leases"))
            except ApiError as error:
                if error.status != 404:
                    raise
                return None  # if the namespace or the API is missing, creating it says so

    async def write(self, record: LeaseRecord, *, replaces: SeenLease | None) -> SeenLease:
        """Create it, or change the one that was read."""
        method, path, kind = "POST", self._all, "application/json"
        metadata = {"name": self._name}
        if replaces is not None:
            method, path, kind = "PATCH", self._path, MERGE_PATCH
            metadata["resourceVersion"] = replaces.version
        with self._lease_errors(replaces=replaces):
            answer = await self._client.call(
                method,
                path,
                kind="leases",
                query={"fieldManager": FIELD_MANAGER},
                body={
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": metadata,
                    "spec": _spec(record),
                },
                content_type=kind,
            )
            return _seen(answer)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back at each event of a watch. Without the right to watch, nothing is noticed."""
        backoff = Backoff(*LEASE_WATCH_BACKOFF_S)
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "timeoutSeconds": str(LEASE_WATCH_S),
        }
        while True:
            try:
                async with self._client.lines(
                    self._all, kind="leases", query=query, silence_s=LEASE_WATCH_S + 10
                ) as lines:
                    async for _ in lines:
                        backoff.reset()
                        on_change()
            except KubeError as error:
                log.debug("%s is not watched: %s", self.name, error)
            await self._clock.sleep(backoff.next_s())

    @contextmanager
    def _lease_errors(self, *, replaces: SeenLease | None = None) -> Iterator[None]:
        try:
            yield
        except KubeError as error:
            if isinstance(error, ApiError) and error.status == 404 and replaces is not None:
                raise LeaseConflictError(f"{self.name} was deleted") from error
            raise self._lease_error(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            words = "the answer is no Lease; does a proxy answer in the API server's place?"
            raise LeaseAwayError(f"{self.name}: {words}") from error

    def _lease_error(self, error: KubeError) -> LeaseError:
        status = error.status if isinstance(error, ApiError) else 0
        if status == 409:
            return LeaseConflictError(f"{self.name} was changed by another process")
        words = f"{self.name}: {error.detail}"
        if status in {401, 403} or isinstance(error, ConfigError):
            return LeaseRefusedError(
                f"{words}; it needs a Role in {self._namespace} with apiGroups "
                f"[coordination.k8s.io], resources [leases], verbs [{VERBS}]"
            )
        if status == 404:
            return LeaseRefusedError(
                f"{words}; name a namespace that exists in controller.lease.namespace, or write "
                "store: nats there where the cluster has no Leases"
            )
        return LeaseAwayError(words)


def _seen(answer: bytes) -> SeenLease:
    found = _LEASE.decode(answer)
    spec = found.spec or _LeaseSpec()
    return SeenLease(
        holder=clean_name(spec.holder_identity) if isinstance(spec.holder_identity, str) else "",
        duration_s=float(_whole(spec.lease_duration_seconds)),
        transitions=_whole(spec.lease_transitions),
        stamp=f"{spec.acquire_time} {spec.renew_time}",
        version=found.metadata.resource_version,
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _spec(record: LeaseRecord) -> dict[str, object]:
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": math.ceil(record.duration_s),
        "acquireTime": micro_time(record.acquired_at),
        "renewTime": micro_time(record.renewed_at),
        "leaseTransitions": record.transitions,
    }
