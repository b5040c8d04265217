"""What operators ask for beside the fleet file: kill switches of this process that need no server
(a freeze file, a signal, a journal that cannot be written), and what is wrong with stored intents.

While a switch is on, this process writes nothing to the cluster. A freeze with a misspelt name
protects nothing, so an intent for an unknown name is a finding.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from controller.config.document import FleetFileError, FleetSource, file_state
from controller.engine.show.findings import FLEET, FLEET_FILE, Found, found, listed
from controller.engine.supervise import SignalSwitch
from controller.model.fleet import Fleet, unknown_pool, unknown_tenant
from controller.model.intents import Intent, IntentKind, Intents, Scope, StoredIntents
from controller.model.settings import Settings
from controller.model.snapshot import (
    BY_JOURNAL,
    BY_SIGNAL,
    FROZEN,
    INVALID_FILE,
    JOURNAL_DOWN,
    Severity,
)
from controller.model.text import clean, clean_name
from controller.ports import Clock, sleep_unless

log = logging.getLogger(__name__)

LONGEST_LOOK_S: Final = 1.0
"""The freeze file is looked for at least so often, however long the interval of the ticks is."""
LOOK_LIMIT_S: Final = 2.0
_MOST_BYTES: Final = 4096
_WHOLE_FLEET: Final = Scope()
_TURNED_ON: Final = "a signal to this process; SIGUSR2 ends it"


class Switches:
    """The kill switches of one controller; `path` is the freeze file. While it cannot be looked
    for, its switch stays.
    """

    def __init__(
        self,
        path: str | None,
        signals: SignalSwitch,
        clock: Clock,
        *,
        interval_s: float,
        journal_down: Callable[[], str | None] = lambda: None,
        read: Callable[[Path], str | None] | None = None,
    ) -> None:
        """`journal_down` says why the journal cannot be written, None while it can. While it
        cannot, it is a switch that is on: what is done must be recorded.
        `read` gives the freeze file's text, None if there is no such file; it may block, and
        raises OSError.
        """
        self._path = None if path is None else Path(path)
        self._signals = signals
        self._clock = clock
        self._journal_down = journal_down
        self._every_s = min(interval_s, LONGEST_LOOK_S)
        self._read = read or read_freeze_file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="freeze file")
        self._looking: asyncio.Future[str | None] | None = None
        self._of_file: Intent | None = None
        self._problem = ""
        self._shown: tuple[Intent, ...] = ()
        self._added: tuple[Intents, tuple[Intent, ...], Intents] | None = None
        self._on_change: Callable[[Collection[Scope]], None] = lambda _scopes: None

    def allow(self) -> bool:
        """Whether no switch is on, asked before each write. A signal counts from now on."""
        return self._of_file is None and not self._signals.is_on and self._journal_down() is None

    @property
    def freezes(self) -> tuple[Intent, ...]:
        """The switches that are on, as freezes of the whole fleet."""
        return self._shown

    def added_to(self, intents: Intents) -> Intents:
        """The intents with the switches before them; the same object until one of them changes."""
        if not self._shown:
            return intents
        known = self._added
        if known is None or known[0] is not intents or known[1] is not self._shown:
            together = Intents(asked=(*self._shown, *intents))
            self._added = known = (intents, self._shown, together)
        return known[2]

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back on the event loop when a switch has changed."""
        self._on_change = callback

    async def run(self) -> None:
        """Look at the switches again and again, until cancelled."""
        try:
            while True:
                await self._clock.sleep(self._every_s)
                await self.look()
        finally:
            self._thread.shutdown(wait=False)

    async def look(self) -> None:
        """Look at the switches now, for at most `LOOK_LIMIT_S`."""
        if self._path is not None:
            await self._look_for(self._path)
        freezes = tuple(self._turned_on())
        if freezes == self._shown:
            return
        for freeze in freezes:
            if freeze not in self._shown:
                log.warning("frozen", extra={"switch": freeze.who, "why": freeze.why})
        if not freezes:
            log.warning("thawed", extra={"switch": ", ".join(each.who for each in self._shown)})
        self._shown = freezes
        self._on_change((_WHOLE_FLEET,))

    def findings(self) -> Iterator[Found]:
        """The switches that are on, and a freeze file that cannot be looked for."""
        for freeze in self._shown:
            of_journal = freeze.who == BY_JOURNAL
            name, subject = (JOURNAL_DOWN, BY_JOURNAL) if of_journal else (FROZEN, FLEET)
            yield found(name, subject, who=freeze.who, why=freeze.why)
        if self._problem:
            yield found("unknown", "freeze file", why=self._problem)

    def _turned_on(self) -> Iterator[Intent]:
        if self._of_file is not None:
            yield self._of_file
        if self._signals.is_on:
            yield Intent(kind=IntentKind.FREEZE, scope=_WHOLE_FLEET, who=BY_SIGNAL, why=_TURNED_ON)
        if (down := self._journal_down()) is not None:
            yield Intent(kind=IntentKind.FREEZE, scope=_WHOLE_FLEET, who=BY_JOURNAL, why=down)

    async def _look_for(self, path: Path) -> None:
        # a look that hangs, for example on a lost network share, is not joined by a second one
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.run_in_executor(self._thread, self._read, path)
        await asyncio.wait({self._looking}, timeout=LOOK_LIMIT_S)
        if not self._looking.done():
            self._tell(f"{path}: no answer within {LOOK_LIMIT_S:g} s")
            return
        looked, self._looking = self._looking, None
        try:
            text = looked.result()
        except OSError as error:
            self._tell(f"{path}: {(error.strerror or str(error)).lower()}")
            return
        self._tell("")
        if text is None:
            self._of_file = None
            return
        why = clean(text.strip()) or "the file gives no reason"
        self._of_file = Intent(
            kind=IntentKind.FREEZE, scope=_WHOLE_FLEET, who=f"freeze file {clean(path)}", why=why
        )

    def _tell(self, problem: str) -> None:
        if problem and not self._problem:
            log.warning("the freeze file cannot be looked for", extra={"why": problem})
        self._problem = problem


def read_freeze_file(path: Path) -> str | None:
    """The file's first 4096 bytes as text; None if there is none. One that is there and cannot be
    read freezes too. Raises OSError if that is not known.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"its reason cannot be read: {(error.strerror or str(error)).lower()}"
    try:
        return os.read(descriptor, _MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return f"its reason cannot be read: {(error.strerror or str(error)).lower()}"
    finally:
        os.close(descriptor)


SHOWN: Final = 20
"""Each is a finding and a series of the metrics; of more, only the number is told."""


class IntentFindings:
    """Finds intents with unknown names, only when intents change: it compares all names."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._pools = frozenset(pool.key for pool in fleet.pools)
        self._budgeted = {
            tenant.name: tenant.budget.tokens_per_day is not None for tenant in fleet.tenants
        }
        self._intents = Intents()
        self._without_effect: list[tuple[Intent, str]] = []
        self._more_without_effect = 0

    def found(self, stored: StoredIntents, now: float) -> Iterator[Found]:
        """The findings as of `now` (Unix seconds)."""
        if stored.lost_at is not None:
            known = "those known before stay in force" if stored.read else "none are known"
            text = f"operators' intents cannot be read: {stored.detail}; {known}"
            yield Found(Severity.WARNING, "intents", "link", text)
        for fault in stored.faults:
            text = f"{fault.key}: {fault.text}"
            yield Found(Severity.WARNING, "intents", fault.key, text)
        if stored.intents is not self._intents:
            self._intents = stored.intents
            looked = [each for each in stored.intents if not self._has_effect(each)]
            self._without_effect = [(each, self._problem(each)) for each in looked[:SHOWN]]
            self._more_without_effect = len(looked) - len(self._without_effect)
        counts = {
            "more faults": stored.more_faults,
            "kept": stored.kept,
            "more without effect": self._more_without_effect,
        }
        for name, count in counts.items():
            if count:
                yield found(name, "intents", count=count)
        # while intents cannot be read, those in force do not expire
        ended_by = now if stored.lost_at is None else stored.lost_at
        for intent, problem in self._without_effect:
            if intent.until is None or intent.until > ended_by:
                kind, (tenant, pool) = intent.kind, (intent.scope.tenant, intent.scope.pool)
                subject = f"tenant {clean_name(tenant or '')}" if pool is None else clean_name(pool)
                effect = "protects nothing" if kind is IntentKind.FREEZE else "has no effect"
                text = f"the {kind} of {subject} {effect}: {problem}"
                yield Found(Severity.WARNING, "intents", f"{kind} {subject}", text)

    def _has_effect(self, intent: Intent) -> bool:
        """Whether the fleet has its name, and a budget's tenant counts tokens."""
        pool, tenant = intent.scope.pool, intent.scope.tenant
        needs_budget = intent.kind is IntentKind.BUDGET
        is_tenant_known = tenant is None or tenant in self._budgeted
        has_budget = tenant is None or not needs_budget or self._budgeted.get(tenant, False)
        return (pool is None or pool in self._pools) and is_tenant_known and has_budget

    def _problem(self, intent: Intent) -> str:
        pool, tenant = intent.scope.pool, intent.scope.tenant or ""
        if pool is not None:
            return unknown_pool(pool, self._fleet)
        if tenant in self._budgeted:
            return "the fleet file gives it no tokens_per_day, so its tokens are not counted"
        return unknown_tenant(tenant, self._fleet)


FILE_LOOK_EVERY_S: Final = 1.0
_SHOWN: Final = 3
_NEEDS_RESTART: Final = ("nats", "kubernetes", "controller")
"""The parts of the file that a process reads once: its connections, and its own settings."""


class FleetFileWatch:
    """Follows the fleet file; `settings` are of its last good state, but for restarts' parts."""

    def __init__(self, source: FleetSource, settings: Settings, clock: Clock) -> None:
        """`settings` are those with which the process began."""
        self._source = source
        self._clock = clock
        self._state = source.state
        self._wanted = asyncio.Event()
        self._problems: tuple[str, ...] = ()
        self._waiting: tuple[str, ...] = ()
        self.settings = settings
        self.changed = asyncio.Event()

    def reread(self) -> None:
        """Read the file now, also if it seems unchanged. Called on the event loop."""
        self._wanted.set()

    async def run(self) -> None:
        """Follow the file until cancelled; sets `changed` when other settings are in force."""
        while True:
            await sleep_unless(self._wanted, self._clock, FILE_LOOK_EVERY_S)
            is_wanted = self._wanted.is_set()
            self._wanted.clear()
            state = await asyncio.to_thread(file_state, self._source.path)
            if is_wanted or state != self._state:
                self._state = state
                await self._read()

    def findings(self) -> Iterator[Found]:
        """A file that cannot be used, and changes that need a restart."""
        if self._problems:
            more = len(self._problems) - _SHOWN
            faults = "; ".join(self._problems[:_SHOWN]) + (f"; {more} more" if more > 0 else "")
            yield found(INVALID_FILE, FLEET_FILE, faults=faults)
        if self._waiting:
            yield found("restart", FLEET_FILE, parts=listed(self._waiting))

    async def _read(self) -> None:
        try:
            read = await asyncio.to_thread(self._source.load)
        except FleetFileError as error:
            problems = tuple(map(str, error.errors))
            if problems != self._problems:
                log.warning("fleet file not taken over", extra={"problems": problems[:_SHOWN]})
            self._problems = problems
            return
        if self._problems:
            log.info("the fleet file is good again")
        before, self._problems = self.settings, ()
        waiting = tuple(
            name for name in _NEEDS_RESTART if getattr(read, name) != getattr(before, name)
        )
        if waiting and waiting != self._waiting:
            log.warning("fleet file needs a restart", extra={"changed": waiting})
        self._waiting = waiting
        kept = {name: getattr(before, name) for name in _NEEDS_RESTART}
        self.settings = replace(read, **kept)
        if self.settings != before:
            _log_change(before, self.settings)
            self.changed.set()


def _log_change(before: Settings, after: Settings) -> None:
    old = {pool.key: pool for pool in before.fleet.pools}
    new = {pool.key: pool for pool in after.fleet.pools}
    log.info(
        "fleet file taken over",
        extra={
            "pools": len(new),
            "added": sorted(new.keys() - old.keys()),
            "removed": sorted(old.keys() - new.keys()),
            "changed": sorted(key for key in new.keys() & old.keys() if new[key] != old[key]),
        },
    )
