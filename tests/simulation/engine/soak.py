"""Days of one fleet with two controllers, and a storm of faults every six hours. What the process
that plays them holds stays the same: `PYTHONPATH=.:tests python -m simulation.engine.soak DAYS`.
"""

from __future__ import annotations

import gc
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from controller.logs import OncePerMinute
from simulation.engine.faults import Fault, drawn
from simulation.engine.history import History
from simulation.engine.setting import LONG
from simulation.engine.world import POOLS

HOUR_S: Final = 3600.0
STORM_EVERY_S: Final = 6 * HOUR_S
_CONTROLLERS: Final = 2
_TRACE_LINES: Final = 1000
_PAGE_BYTES: Final = 4096


class Held(NamedTuple):
    """What is held after so many hours: blocks of the interpreter's allocator, resident bytes, open
    files, and the tasks of all controllers. `lines`: the most log lines with the same message in
    one minute until then.
    """

    hours: float
    blocks: int
    resident: int
    files: int
    tasks: int
    lines: int


def soaked(seed: int, hours: float, every_h: float) -> Iterator[Held]:
    """Play so many hours of a seed, and look every so often. Raises BrokenPromiseError."""
    random.seed(seed)
    history = History(
        seed, _CONTROLLERS, _storms(seed, hours), setting=LONG, work_until=hours * HOUR_S
    )
    kernel, now = history.kernel, 0.0
    with _counted(lambda: kernel.now) as log:
        try:
            while now < hours:
                now = min(now + every_h, hours)
                while kernel.now < now * HOUR_S:
                    kernel.run(min(kernel.now + HOUR_S / 4, now * HOUR_S))
                    del kernel.trace[:-_TRACE_LINES]
                yield _held(history, now, log)
        finally:
            for machine in kernel.machines:
                machine.kill()


def _storms(seed: int, hours: float) -> list[Fault]:
    """The faults of a minute of another seed, after each hour that is followed by a long rest."""
    count = int((hours - 1) * HOUR_S / STORM_EVERY_S) + 1
    return [
        fault._replace(at=HOUR_S + number * STORM_EVERY_S + fault.at)
        for number in range(count)
        for fault in drawn(seed + number, machines=_CONTROLLERS, pools=len(POOLS))
    ]


def _held(history: History, hours: float, log: _Log) -> Held:
    gc.collect()
    return Held(
        hours=hours,
        blocks=sys.getallocatedblocks(),
        resident=int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE_BYTES,
        files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        tasks=sum(machine.tasks() for machine in history.kernel.machines),
        lines=log.most,
    )


class _Log(logging.Handler):
    """Counts the lines that the product would write in each minute of virtual time, by message."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.addFilter(OncePerMinute(now))
        self._now = now
        self._minute = self.most = 0
        self._lines: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        minute = int(self._now() // 60.0)
        if minute != self._minute:
            self._minute = minute
            self._lines.clear()
        self._lines[str(record.msg)] += 1
        self.most = max(self.most, self._lines[str(record.msg)])


@contextmanager
def _counted(now: Callable[[], float]) -> Iterator[_Log]:
    """Take the product's log lines, and nobody else does."""
    logger, log = logging.getLogger("controller"), _Log(now)
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(log)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagates


if __name__ == "__main__":
    hours = 24.0 * float(sys.argv[1])
    for held in soaked(0, hours, 24.0 if hours > 48.0 else 2.0):
        print(
            f"{held.hours:.0f} h: {held.blocks:,} blocks, {held.resident / 2**20:.1f} MB resident, "
            f"{held.files} files, {held.tasks} tasks, {held.lines} equal log lines a minute",
            flush=True,
        )
