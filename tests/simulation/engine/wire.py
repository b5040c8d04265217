"""The connections of one process: requests that are late, lost, doubled, refused or answered into
nothing; and on them a client of the API server and of buckets, as the product's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from controller.kube.errors import ApiError, LostError, TimedOutError, UnreachableError
from controller.nats.bucket import BucketEntry, BucketNow
from controller.ports import StoreAwayError
from simulation.engine.cluster import Deployment, LeaseTruth, find
from simulation.engine.kernel import BrokenPromiseError, Kernel, Machine
from simulation.engine.work import Store

T = TypeVar("T")
BUCKET_TIMEOUT_S: Final = 3.0


class Wire:
    """One connection. Faults are counted, because two of a kind may overlap."""

    def __init__(self, kernel: Kernel, machine: Machine, channel: str) -> None:
        self._kernel = kernel
        self._machine = machine
        self._chance = kernel.chance(f"{channel} of {machine.name}")
        self.cuts = 0
        self.losses = 0
        self.slow_s = 0.0
        self.doubles = 0
        self.busy = 0

    async def ask(self, serve: Callable[[], T], lost: Callable[[], T] | None = None) -> T:
        """The server's answer to one request; it may never come. `lost` raises what the client
        sees at once if an answer is lost.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.cuts:
            return await answer
        there = self._late()
        if self.doubles and self._chance.random() < 0.5:
            self._kernel.after(there * 0.5, partial(_quietly, serve))
        self._kernel.after(there, partial(self._arrive, serve, answer, lost))
        return await answer

    def _arrive(
        self, serve: Callable[[], T], answer: asyncio.Future[T], lost: Callable[[], T] | None
    ) -> None:
        if self._machine.has_ended:
            return
        if self.cuts:
            return
        found = _served(serve)
        if self.losses:
            if lost is None or self._chance.random() < 0.5:
                return
            found = _served(lost)
        late = self._late()
        self._kernel.after(late, lambda: self._machine.post(partial(_settle, answer, found)))

    def _late(self) -> float:
        late = self._chance.uniform(0.001, 0.02)
        return late + self.slow_s * self._chance.random() if self.slow_s else late


def _served(serve: Callable[[], T]) -> T | Exception:
    try:
        return serve()
    except BrokenPromiseError:
        raise
    except Exception as error:  # noqa: BLE001  # a refusal is an answer
        return error


def _quietly(serve: Callable[[], object]) -> None:
    _served(serve)


def _settle(answer: asyncio.Future[T], found: T | Exception) -> None:
    if answer.done():
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)


class ApiClient:
    """Stands in for `controller.kube.client.Client`: the requests that writes and a lease need.

    `on_send` is told of each write that leaves, `on_applied` of each that the server has accepted.
    """

    def __init__(
        self,
        machine: Machine,
        wire: Wire,
        deployments: dict[Any, Deployment],
        lease: LeaseTruth,
        *,
        on_send: Callable[[Deployment, int | None, str], None],
        on_applied: Callable[[Deployment, int, int], None],
        on_lease: Callable[[bool], Callable[[], None]],
    ) -> None:
        self._machine = machine
        self._wire = wire
        self._deployments = deployments
        self._lease = lease
        self._on_send = on_send
        self._on_applied = on_applied
        self._on_lease = on_lease

    async def call(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        query: object = None,
        body: Any = None,
        content_type: str = "",
        timeout_s: float = 10.0,
    ) -> bytes:
        """One request, as `Client.call`."""
        del query, content_type
        if self._wire.busy and kind != "leases":
            raise ApiError(429, "TooManyRequests", "busy", retry_after_s=1.0)
        answered: Callable[[], None] | None = None
        if kind == "leases":
            serve = partial(self._serve_lease, method, body)
            if method != "GET":
                answered = self._on_lease(bool(body["spec"]["holderIdentity"]))
        elif kind == "pods":
            parts = path.split("/")
            deployment = self._deployment_of_pod(parts[-1])
            self._on_send(deployment, None, "")
            serve = partial(self._serve_mark, deployment, parts[-1], body)
        else:
            deployment = find(self._deployments, path)
            replicas = body["spec"]["replicas"]
            version = body["metadata"].get("resourceVersion", "")
            self._on_send(deployment, replicas, version)
            serve = partial(self._serve_scale, deployment, replicas, version)
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._wire.ask(serve, _lost)
        except TimeoutError:
            raise TimedOutError("no answer in time") from None
        if answered is not None:
            answered()
        return found

    @asynccontextmanager
    async def lines(
        self, path: str, *, kind: str, query: object, silence_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The watch of the lease."""
        del path, kind, query, silence_s
        if self._wire.cuts:
            raise UnreachableError("cut")
        events: asyncio.Queue[bytes] = asyncio.Queue()
        watcher = (self._machine, lambda: events.put_nowait(b"{}"))
        self._lease.watchers.append(watcher)

        async def come() -> AsyncIterator[bytes]:
            while True:
                yield await events.get()

        try:
            yield come()
        finally:
            self._lease.watchers.remove(watcher)

    def _serve_lease(self, method: str, body: Any) -> bytes:
        if method == "GET":
            return self._lease.get()
        return self._lease.write(body["spec"], body["metadata"].get("resourceVersion"))

    def _serve_scale(self, deployment: Deployment, replicas: int, version: str) -> bytes:
        if version and version != str(deployment.version):
            raise ApiError(409, "Conflict", "the object has been modified")
        before = deployment.replicas
        deployment.scale(replicas, self._machine.name)
        self._on_applied(deployment, before, replicas)
        metadata = {
            "name": deployment.pool.deployment,
            "uid": f"uid-{deployment.pool.name}",
            "resourceVersion": str(deployment.version),
        }
        return msgspec.json.encode({"metadata": metadata, "spec": {"replicas": replicas}})

    def _serve_mark(self, deployment: Deployment, pod: str, body: Any) -> bytes:
        [cost] = body["metadata"]["annotations"].values()
        if not deployment.mark(pod, 0 if cost is None else int(cost)):
            raise ApiError(404, "NotFound", f"no pod {pod}")
        return b"{}"

    def _deployment_of_pod(self, pod: str) -> Deployment:
        name = pod.rpartition("-")[0]
        return next(each for each in self._deployments.values() if each.pool.name == name)


class RemoteBucket:
    """Stands in for `controller.nats.bucket.Bucket`."""

    highest = 0

    def __init__(self, wire: Wire, store: Store) -> None:
        self.stream = f"KV_{store.name}"
        self._wire = wire
        self._store = store

    async def get(self, key: str) -> BucketEntry | None:
        return await self._ask(lambda: self._store.get(key))

    async def at_revision(self, revision: int) -> BucketEntry | None:
        return await self._ask(lambda: self._store.at_revision(revision))

    async def entries(
        self, prefix: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> list[BucketEntry]:
        found = await self._ask(lambda: self._store.entries(f"{prefix}."))
        return [entry for key, entry in sorted(found.items()) if wanted(key)]

    async def history(self, keys: str) -> list[BucketEntry]:
        return await self._ask(lambda: self._store.history(keys))

    async def look(self) -> BucketNow:
        return await self._ask(lambda: BucketNow(self._store.now(), None))

    async def put(self, key: str, value: bytes, *, expected: int) -> int:
        return await self._ask(lambda: self._store.put(key, value, expected))

    async def delete(self, key: str, *, expected: int, note: bytes) -> int:
        return await self._ask(lambda: self._store.put(key, note, expected, deleted=True))

    async def purge(self, prefix: str, *, before: int) -> None:
        await self._ask(lambda: self._store.purge(prefix, before))

    async def _ask(self, serve: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(BUCKET_TIMEOUT_S):
                return await self._wire.ask(serve)
        except TimeoutError:
            raise StoreAwayError(f"{self._store.name}: no answer in time") from None

    def __str__(self) -> str:
        return f"bucket {self._store.name}"


def _lost() -> bytes:
    raise LostError("the connection broke")
