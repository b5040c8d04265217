"""The table of checks, and the run of all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.doctor import of_pools, of_servers
from controller.doctor.report import CHECK_S, Findings, Patient
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import ConfigError, KubeError
from controller.model.settings import Settings
from controller.model.snapshot import Diagnosis, Level, Progress, Report
from controller.model.text import clean
from controller.model.value import UndecodableError
from controller.nats.jetstream import NatsError
from controller.nats.session import NatsSession
from controller.ports import Clock

CONNECT_S: Final = 3.0
_KUBERNETES: Final = "kubernetes"
_NATS: Final = "nats"


class Check(NamedTuple):
    """One check: its name, the connections that it needs, and what it does."""

    name: str
    needs: frozenset[str]
    run: Callable[[Patient, Findings], Awaitable[None]]


_ON_NATS: Final = frozenset({_NATS})
_ON_KUBERNETES: Final = frozenset({_KUBERNETES})
OF_NATS: Final = Check(_NATS, frozenset(), of_servers.nats_connection)
OF_KUBERNETES: Final = Check(_KUBERNETES, frozenset(), of_servers.kubernetes_connection)
OTHERS: Final = (
    Check("rights", _ON_KUBERNETES, of_servers.rights),
    Check("queues", _ON_NATS, of_servers.queues),
    Check("stores", _ON_NATS, of_servers.stores),
    Check("copies", _ON_NATS, of_servers.copies),
    Check("inbox", frozenset(), of_servers.inbox),
    Check("workloads", _ON_KUBERNETES, of_pools.workloads),
    Check("workers", _ON_KUBERNETES, of_pools.workers),
    Check("nodes", _ON_KUBERNETES, of_pools.nodes),
    Check("rivals", _ON_KUBERNETES, of_pools.rivals),
    Check("owners", _ON_KUBERNETES, of_pools.owners),
    Check("rollouts", _ON_KUBERNETES, of_pools.rollouts),
    Check("quotas", _ON_KUBERNETES, of_pools.quotas),
    Check("lease", _ON_KUBERNETES, of_servers.lease),
    Check("clock of nats", _ON_NATS, of_servers.nats_clock),
    Check("clock of kubernetes", _ON_KUBERNETES, of_servers.kubernetes_clock),
)
"""The two connections are looked at first; the others all at once, where theirs works."""


async def examine(
    settings: Settings, clock: Clock, on_progress: Callable[[Progress], None] = lambda _: None
) -> Report:
    """Run all checks, each under its deadline. It writes nothing and raises nothing: what cannot be
    looked at is a line. `on_progress` is called at the start and whenever a check has ended, with
    the lines so far.
    """
    progress = Progress(checks=len(OTHERS) + 2)
    on_progress(progress)

    async def noted(check: Awaitable[list[Diagnosis]]) -> list[Diagnosis]:
        nonlocal progress
        lines = await check
        progress = replace(progress, ended=progress.ended + 1, lines=(*progress.lines, *lines))
        on_progress(progress)
        return lines

    async with NatsSession(settings.nats, clock) as session, _cluster(settings, clock) as cluster:
        patient = Patient(settings, cluster, session, clock)
        async with asyncio.TaskGroup() as tasks:
            of_nats_ = tasks.create_task(noted(_of_nats(patient)))
            of_kubernetes_ = tasks.create_task(noted(_checked(OF_KUBERNETES, patient)))
        first = [*of_nats_.result(), *of_kubernetes_.result()]
        down = frozenset(line.check for line in first if line.level in {Level.FAIL, Level.SKIP})
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(noted(_unless_down(each, patient, down))) for each in OTHERS
            ]
    return Report(lines=(*first, *(line for task in others for line in task.result())))


@asynccontextmanager
async def _cluster(settings: Settings, clock: Clock) -> AsyncIterator[Client | ConfigError]:
    """The cluster's API, or why no configuration leads to one."""
    try:
        client = Client(await Access.load(settings.kubernetes), clock)
    except ConfigError as error:
        yield error
        return
    try:
        yield client
    finally:
        await client.close()


async def _of_nats(patient: Patient) -> list[Diagnosis]:
    """The line about the connection, as soon as there is one, or at its deadline."""
    met = asyncio.Event()
    patient.session.on_connected(met.set)
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            if not patient.session.connected:
                await met.wait()
    return await _checked(OF_NATS, patient)


async def _unless_down(check: Check, patient: Patient, down: frozenset[str]) -> list[Diagnosis]:
    missing = check.needs & down
    if not missing:
        return await _checked(check, patient)
    found = Findings(check.name)
    found.skip(f"not looked at: {', '.join(sorted(missing))} does not work")
    return found.lines


async def _checked(check: Check, patient: Patient) -> list[Diagnosis]:
    """The lines of one check, whatever happens to it."""
    found = Findings(check.name)
    try:
        async with asyncio.timeout(CHECK_S):
            await check.run(patient, found)
    except* TimeoutError:
        found.skip(f"no answer within {CHECK_S:g} s")
    except* (KubeError, NatsError, UndecodableError) as errors:
        found.skip(clean(errors.exceptions[0]))
    return found.lines
