"""Starts everything that runs an engine in this process: the dashboard on a fleet, and the demo.

What speaks to NATS and Kubernetes, and what reads fleet files, is imported where it is used: that
takes longer than the first frame, which is drawn before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from agentdash.engine_operator import READ_ONLY, REPLAYED, EngineOperator, task_desk
from agentdash.operate import Places, operator
from agentdash.output import complain, fit_terminal, note, tell, waiting_for, waiting_for_nats
from controller.engine.supervise import (
    EngineThread,
    FatalError,
    Hub,
    Main,
    SignalSwitch,
    SystemClock,
)
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.ports import Person

if TYPE_CHECKING:
    from agentdash.demo.process import RunningWorld, WorldReport
    from agentdash.preferences import Preferences
    from controller.attach import Attachment
    from controller.config.document import FleetSource
    from controller.model.settings import NatsSettings, Settings
    from controller.record.journal import JournalPast

ENGINE_STOP_S: Final = 15.0
HEADLESS_DEMO_S: Final = 60.0
PROGRESS_S: Final = 10.0
_AFTER_DEMO: Final = (
    "The fleet and its servers are gone. `agentdash example > fleet.yaml` prints a fleet file to",
    "begin with; `agentdash doctor -f fleet.yaml` says what it needs.",
)


def show_fleet(
    settings: Settings,
    source: FleetSource,
    *,
    name: str,
    read_only: bool,
    prefer: Preferences,
) -> ExitCode:
    """Run the dashboard on the fleet of `source`, with the controller in a thread of its own. Where
    a controller of the fleet writes already, show what that one publishes: two must not write
    beside each other.
    """
    clock, hub = SystemClock(), Hub()
    places = places_of(source.path, settings)
    seat = EngineOperator(operator(), hub, READ_ONLY if read_only else None, settings, places)
    attach, problem = _attaching(settings.nats, hub, clock, seat)
    signals = SignalSwitch()
    signals.listen()

    async def engine(stopping: asyncio.Event) -> None:
        from controller.attach import MET_WITHIN_S, find_writer

        if not read_only and await find_writer(settings.nats, clock, MET_WITHIN_S):
            await attach(stopping)
            return
        from controller.wiring import embedded

        await embedded(
            settings,
            hub,
            clock,
            name=name,
            read_only=read_only,
            stopping=stopping,
            person=Person(seat.operator, seat.at_desk, task_desk),
            signals=signals,
            source=source,
        )

    return _run_with_dashboard(engine, hub, clock, seat, prefer=prefer, problem=problem)


def places_of(fleet: Path, settings: Settings) -> Places:
    """The files that this process goes by."""
    named = settings.kubernetes.kubeconfig or os.environ.get("KUBECONFIG")
    kubeconfig = named or "~/.kube/config, or the cluster that this process runs in"
    return (("fleet file", str(fleet.absolute())), ("kubeconfig", kubeconfig))


def show_attached(
    nats: NatsSettings,
    settings: Settings | None,
    places: Places,
    *,
    read_only: bool,
    prefer: Preferences,
) -> ExitCode:
    """Run the dashboard on what a controller elsewhere publishes. It needs NATS alone; `settings`,
    where there are any, are for the checks of the doctor.
    """
    clock, hub = SystemClock(), Hub()
    seat = EngineOperator(operator(), hub, READ_ONLY if read_only else None, settings, places)
    attach, problem = _attaching(nats, hub, clock, seat)
    return _run_with_dashboard(
        attach, hub, clock, seat, prefer=prefer, problem=problem, attaches=True
    )


def _attaching(
    settings: NatsSettings, hub: Hub, clock: SystemClock, seat: EngineOperator
) -> tuple[Main, Callable[[], str | None]]:
    """What shows a controller elsewhere, with the person at its desk; and why nothing comes."""
    made: list[Attachment] = []

    async def attach(stopping: asyncio.Event) -> None:
        from controller.attach import Attachment

        made.append(
            Attachment(settings, hub, clock, Person(seat.operator, seat.at_desk, task_desk))
        )
        await made[0].run(stopping)

    return attach, lambda: made[0].problem() if made else None


def problem_of(settings: NatsSettings) -> str | None:
    """Why there is no connection to NATS; None where there is one within 3 s."""
    from controller.attach import connected

    async def try_it() -> None:
        async with connected(settings, SystemClock()):
            pass

    log_nowhere()
    try:
        with waiting_for_nats(settings):
            asyncio.run(try_it())
    except FatalError as error:
        return str(error)
    return None


def show_journal(past: JournalPast, *, prefer: Preferences) -> ExitCode:
    """Run the dashboard on a journal, from its end."""
    fit_terminal(os.environ)
    from agentdash.tui.app import run_dashboard

    log_nowhere()
    hub = Hub()
    failed = run_dashboard(
        hub,
        clock=SystemClock().now,
        operator=EngineOperator(operator(), hub, REPLAYED),
        on_ready=lambda: None,
        engine_error=lambda: None,
        journal=past,
        waits_for="the end of the journal",
        **prefer._asdict(),
    )
    for each in past.notes():
        note(each)
    return ExitCode.FAILED if failed else ExitCode.OK


def show_demo(options: Namespace, *, prefer: Preferences) -> ExitCode:
    """Run the demo with the dashboard, and print a summary when the person has left it."""
    clock, hub = SystemClock(), Hub()
    seat = EngineOperator(operator(), hub)
    summary: list[str] = []

    async def engine(stopping: asyncio.Event) -> None:
        from agentdash.demo.process import DemoError

        try:
            async with _world(options) as world:
                began = time.monotonic()
                await _run_controller(
                    world, hub, clock, stopping, journal=options.journal, seat=seat
                )
                took = time.monotonic() - began
            summary.extend(_summary(world.report, hub, took))
        except DemoError as error:
            raise FatalError(str(error)) from error

    code = _run_with_dashboard(engine, hub, clock, seat, prefer=prefer, for_s=options.for_s)
    for each in [*summary, *_AFTER_DEMO] if summary else ():
        tell(each)
    return code


def _world(options: Namespace) -> AbstractAsyncContextManager[RunningWorld]:
    from agentdash.demo.process import running_world

    return running_world(speed=options.speed, seed=options.seed, load_for_s=options.load_for)


def run_demo_headless(options: Namespace) -> ExitCode:
    """Run the demo without a screen, and print a summary at the end."""
    from agentdash.demo.process import DemoError

    log_nowhere()
    try:
        asyncio.run(_run_headless(options, options.for_s or HEADLESS_DEMO_S))
    except (DemoError, FatalError) as error:
        note(str(error))
        return ExitCode.UNREACHABLE
    return ExitCode.OK


async def _run_headless(options: Namespace, seconds: float) -> None:
    clock, hub, stopping = SystemClock(), Hub(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    complain(f"starting nats-server, the simulated cluster and the load for {seconds:.0f} s …")
    async with _world(options) as world:
        began = time.monotonic()
        loop.call_later(seconds, stopping.set)
        async with _progress(hub, seconds):
            await _run_controller(world, hub, clock, stopping, journal=options.journal)
        took = time.monotonic() - began
    for each in _summary(world.report, hub, took):
        tell(each)


async def _run_controller(
    world: RunningWorld,
    hub: Hub,
    clock: SystemClock,
    stopping: asyncio.Event,
    *,
    journal: str | None,
    seat: EngineOperator | None = None,
) -> None:
    from controller.config import load
    from controller.wiring import embedded

    settings = load(Path(world.ready.fleet)).with_journal(journal)
    kubernetes = msgspec.structs.replace(settings.kubernetes, kubeconfig=world.ready.kubeconfig)
    settings = msgspec.structs.replace(settings, kubernetes=kubernetes)
    if seat is not None:
        seat.settings = settings
        fleet = Path(world.ready.fleet)
        seat.places = (*places_of(fleet, settings), *_to_try(fleet))
    await embedded(
        settings,
        hub,
        clock,
        name="demo",
        read_only=False,
        stopping=stopping,
        person=None if seat is None else Person(seat.operator, seat.at_desk, task_desk),
    )


def _to_try(fleet: Path) -> Places:
    """What a person may do with a demo from another terminal."""
    commands = (
        f"cd {fleet.parent}; export KUBECONFIG=$PWD/kubeconfig",
        "agentdash tasks",
        "agentdash why acme/research",
        'agentdash submit acme/research "sum up Q3" --wait',
        'agentdash pause acme --until 10m --why "a try"; agentdash undo',
        "agentdash attach",
    )
    return tuple(("try", each) for each in commands)


def _summary(report: WorldReport, hub: Hub, seconds: float) -> list[str]:
    from agentdash.demo.process import SpentTokens, summary

    snapshot = hub.latest()
    tenants = () if snapshot is None else snapshot.tenants
    return summary(
        report,
        seconds=seconds,
        decisions=snapshot.loop.decisions if snapshot else 0,
        writes=snapshot.loop.writes if snapshot else 0,
        tiers={each.name: each.tier for each in tenants},
        budgets=[
            SpentTokens(tenant=each.name, used=each.tokens.used, cap=each.tokens.cap)
            for each in tenants
            if each.tokens is not None and each.tokens.used is not None
        ],
    )


@asynccontextmanager
async def _progress(hub: Hub, seconds: float) -> AsyncIterator[None]:
    """Print a line every ten seconds: without it, a run without a screen would look stuck."""

    async def report() -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            snapshot = hub.latest()
            writes = snapshot.loop.writes if snapshot else 0
            complain(f"{time.monotonic() - began:.0f} of {seconds:.0f} s, {writes} patches")

    reporting = asyncio.create_task(report(), name="progress")
    try:
        yield
    finally:
        reporting.cancel()


def _run_with_dashboard(
    engine: Main,
    hub: Hub,
    clock: SystemClock,
    seat: EngineOperator,
    *,
    prefer: Preferences,
    for_s: float | None = None,
    problem: Callable[[], str | None] = lambda: None,
    attaches: bool = False,
) -> ExitCode:
    """`problem` says why nothing comes from a controller elsewhere, where none runs here. With
    `attaches`, none ever does: what ends the thread ends no controller.
    """
    fit_terminal(os.environ)
    from agentdash.tui.app import run_dashboard
    from agentdash.tui.view import OWN_FIRST_SNAPSHOT

    log_nowhere()
    thread = EngineThread(engine)
    try:
        failed = run_dashboard(
            hub,
            clock=clock.now,
            operator=seat,
            on_ready=thread.start,
            engine_error=(lambda: None) if attaches else thread.problem,
            feed_problem=(lambda: thread.problem() or problem()) if attaches else problem,
            waits_for="the controller's snapshot" if attaches else OWN_FIRST_SNAPSHOT,
            for_s=for_s,
            **prefer._asdict(),
        )
    finally:
        with waiting_for("the controller to end what it is writing"):
            ended = thread.stop(ENGINE_STOP_S)
    if not ended:
        note("the engine did not stop in time")
    if failed or not ended:
        return ExitCode.FAILED
    if fatal := thread.fatal():
        note(fatal)
        return ExitCode.UNREACHABLE
    return ExitCode.OK
