"""The checks of `agentdash doctor` beside a dashboard: in a thread and an event loop of their own,
so that neither the screen nor the controller waits for them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from agentdash.tui.operating import NotDoneError
from controller.engine.clock import SystemClock
from controller.model.settings import Settings
from controller.model.snapshot import Progress, Report


async def examine_beside(settings: Settings, on_progress: Callable[[Progress], None]) -> Report:
    """Run all checks; `on_progress` is called in this event loop. Raises NotDoneError if they end
    with an error, which is a fault of theirs.
    """
    loop = asyncio.get_running_loop()
    outcome: Future[Report] = Future()

    def tell(progress: Progress) -> None:
        with suppress(RuntimeError):  # the dashboard has ended meanwhile
            loop.call_soon_threadsafe(on_progress, progress)

    def run() -> None:
        # imported here: the Kubernetes client takes half a second
        from controller.doctor.examine import examine

        try:
            report = asyncio.run(examine(settings, SystemClock(), tell))
        except Exception as error:  # noqa: BLE001 - whatever it is, the view must not wait for ever
            outcome.set_exception(NotDoneError(f"the checks failed: {error!r}"))
        else:
            outcome.set_result(report)

    # a daemon: leaving the dashboard does not wait for a check's deadline
    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wrap_future(outcome)
