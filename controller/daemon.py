"""The daemon: runs the controller without a screen, logs JSON lines, serves health and metrics."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from functools import partial

from controller.attach import UnsupportedServerError
from controller.config.document import FleetSource
from controller.engine.actuate import Recorder
from controller.engine.supervise import FatalError, Hub, SignalSwitch, SystemClock
from controller.exit_codes import ExitCode
from controller.expose.server import ListenError, TickWatch, serving
from controller.model.settings import Settings
from controller.wiring import embedded

log = logging.getLogger(__name__)


def run_daemon(
    settings: Settings,
    source: FleetSource,
    *,
    name: str,
    read_only: bool,
    host: str,
    port: int,
) -> ExitCode:
    """Run until SIGTERM or SIGINT. If it cannot start, write the reason to standard error and
    return the exit code for it. SIGHUP makes it read the fleet file of `source` again.
    """
    try:
        asyncio.run(_run(settings, source, name, read_only=read_only, host=host, port=port))
    except UnsupportedServerError as error:
        return _refuse(error, ExitCode.UNSUPPORTED)
    except (FatalError, ListenError) as error:
        return _refuse(error, ExitCode.UNREACHABLE)
    return ExitCode.OK


async def _run(
    settings: Settings, source: FleetSource, name: str, *, read_only: bool, host: str, port: int
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    signals = SignalSwitch()
    signals.listen()
    clock, hub, recorder = SystemClock(), Hub(), Recorder(writes=not read_only)
    ticks = TickWatch(settings.controller.interval_s)
    hub.subscribe(ticks.saw)
    async with serving(
        host,
        port,
        latest=hub.latest,
        scaled=lambda: recorder.scaled,
        liveness=ticks.liveness,
    ) as url:
        facts = {"fleet": name, "pools": len(settings.fleet.pools), "read_only": read_only}
        log.info("started", extra={**facts, "serving": url})
        for notice in settings.notices:
            why = {"place": notice.place, "key": notice.path, "why": notice.text}
            log.warning("without effect", extra=why)
        await embedded(
            settings,
            hub,
            clock,
            recorder=recorder,
            name=name,
            read_only=read_only,
            stopping=stopping,
            signals=signals,
            source=source,
            reread=partial(loop.add_signal_handler, signal.SIGHUP),
        )
    log.info("stopped")


def _refuse(error: Exception, code: ExitCode) -> ExitCode:
    print(f"agentdash: {error}", file=sys.stderr)  # noqa: T201  the user's terminal, not the log
    return code
