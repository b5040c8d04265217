"""What operators ask for beside the fleet file: kill switches of this process that need no server
(a freeze file, a signal, a journal that cannot be written), and what is wrong with stored intents.

While a switch is on, this process writes nothing to the cluster. A freeze with a misspelt name
protects nothing, so an intent for an unknown name is a finding.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from controller.engine.show.findings import Found
from controller.model.fleet import Fleet
from controller.model.intents import Intent, IntentKind, Intents, Scope
from controller.model.snapshot import BY_JOURNAL, BY_SIGNAL, FROZEN, JOURNAL_DOWN, Severity
from controller.model.text import clean, clean_name
from controller.model.tick import NameKind, StoredIntents, UnknownName, sentence
from controller.planning.demand.hpa_metrics import reading_name
from controller.ports import Clock, Journal

log = logging.getLogger(__name__)

LONGEST_LOOK_S: Final = 1.0
"""The freeze file is looked for at least so often, however long the interval of the ticks is."""
LOOK_LIMIT_S: Final = 2.0
_MOST_BYTES: Final = 4096
_WHOLE_FLEET: Final = Scope()
_TURNED_ON: Final = "a signal to this process; SIGUSR2 ends it"


class SignalSwitch:
    """Turned on and off by a signal, in any thread. A restart of the process turns it off."""

    def __init__(self) -> None:
        self.is_on = False

    def turn(self, *, on: bool) -> None:
        """Freeze, or thaw."""
        self.is_on = on


def freeze_by_signals(switch: SignalSwitch) -> None:
    """Let SIGUSR1 freeze and SIGUSR2 thaw this process. To be called in the main thread."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: switch.turn(on=True))
    signal.signal(signal.SIGUSR2, lambda _number, _frame: switch.turn(on=False))


class Switches:
    """The kill switches of one controller. `path` is the freeze file; None for none.

    While the file cannot be looked for, the switch stays as it was, and a finding says so.
    """

    def __init__(
        self,
        path: str | None,
        signals: SignalSwitch,
        clock: Clock,
        *,
        interval_s: float,
        journal: Journal | None = None,
        read: Callable[[Path], str | None] | None = None,
    ) -> None:
        """While the `journal` is down, it is a switch that is on: what is done must be recorded.
        `read` gives the freeze file's text, None if there is no such file; it may block, and
        raises OSError.
        """
        self._path = None if path is None else Path(path)
        self._signals = signals
        self._clock = clock
        self._journal = journal
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
            text = f"nothing is written: frozen by {freeze.who} ({freeze.why})"
            if freeze.who == BY_JOURNAL:
                text += "; make room on its disk, or see who may write there"
                yield Severity.CRITICAL, BY_JOURNAL, JOURNAL_DOWN, text
            else:
                yield Severity.WARNING, "fleet", FROZEN, text
        if self._problem:
            text = f"cannot be looked for, so the switch stays as it was: {self._problem}"
            yield Severity.WARNING, "freeze file", "unknown", text

    def _turned_on(self) -> Iterator[Intent]:
        if self._of_file is not None:
            yield self._of_file
        if self._signals.is_on:
            yield Intent(kind=IntentKind.FREEZE, scope=_WHOLE_FLEET, who=BY_SIGNAL, why=_TURNED_ON)
        if (down := self._journal_down()) is not None:
            yield Intent(kind=IntentKind.FREEZE, scope=_WHOLE_FLEET, who=BY_JOURNAL, why=down)

    def _journal_down(self) -> str | None:
        return None if self._journal is None else self._journal.down()

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
    """The first 4096 bytes of the file as text; None if there is none. A file that is there but
    cannot be read, such as a folder or a link to nothing, freezes too. Raises OSError if it is not
    known whether it is there.
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
_KEPT: Final = (
    "the bucket was restored, or deleted and made again: intents in force that it does not have:"
    " {:,}; each stays until it is asked for or taken back there, or the controller restarts"
)


class _WithoutEffect(NamedTuple):
    """An intent for an unknown name.

    `what` is pin, pause or freeze; `until` is Unix seconds, None without an end; `subject` is the
    name it was set for; `problem` says which name is unknown, as a sentence.
    """

    what: str
    until: float | None
    subject: str
    problem: str


class IntentFindings:
    """Finds intents with unknown names; searches only when the intents have changed, because each
    unknown name is compared with all names of the fleet.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._pools = frozenset(pool.key for pool in fleet.pools)
        self._tenants = frozenset(tenant.name for tenant in fleet.tenants)
        self._budgeted = frozenset(
            tenant.name for tenant in fleet.tenants if tenant.budget.tokens_per_day is not None
        )
        self._intents = Intents()
        self._without_effect: list[_WithoutEffect] = []
        self._more_without_effect = 0

    def found(self, stored: StoredIntents, now: float) -> Iterator[Found]:
        """The findings as of `now` (Unix seconds)."""
        if stored.lost_at is not None:
            known = "those known before stay in force" if stored.read else "none are known"
            text = f"operators' intents cannot be read: {stored.detail}; {known}"
            yield Severity.WARNING, "intents", "link", text
        for fault in stored.faults:
            yield Severity.WARNING, "intents", fault.key, f"{fault.key}: {fault.text}"
        if stored.more_faults:
            text = f"{stored.more_faults:,} more keys in the bucket are no intents that can be read"
            yield Severity.WARNING, "intents", "more faults", text
        if stored.kept:
            yield Severity.WARNING, "intents", "kept", _KEPT.format(stored.kept)
        if stored.intents is not self._intents:
            self._intents = stored.intents
            found = self._look(stored.intents)
            self._without_effect = [self._in_words(*each) for each in islice(found, SHOWN)]
            self._more_without_effect = sum(1 for _ in found)
        if self._more_without_effect:
            text = f"{self._more_without_effect:,} more intents have no effect in this fleet"
            yield Severity.WARNING, "intents", "more without effect", text
        # while intents cannot be read, those in force do not expire
        ended_by = now if stored.lost_at is None else stored.lost_at
        for each in self._without_effect:
            if each.until is None or each.until > ended_by:
                effect = "protects nothing" if each.what == "freeze" else "has no effect"
                text = f"the {each.what} of {each.subject} {effect}: {each.problem}"
                yield Severity.WARNING, "intents", f"{each.what} {each.subject}", text

    def _look(self, intents: Intents) -> Iterator[tuple[Intent, UnknownName | None]]:
        """The intents without effect, and the name that is unknown; None for a tenant that has no
        budget.
        """
        for intent in intents:
            kind, scope = intent.key
            if kind is IntentKind.BUDGET and scope.tenant in self._tenants - self._budgeted:
                yield intent, None
            elif scope.pool is not None and scope.pool not in self._pools:
                yield intent, UnknownName("", NameKind.POOL, scope.pool)
            elif scope.tenant is not None and scope.tenant not in self._tenants:
                yield intent, UnknownName("", NameKind.TENANT, scope.tenant)

    def _in_words(self, intent: Intent, unknown: UnknownName | None) -> _WithoutEffect:
        kind, scope = intent.key
        if unknown is None:
            problem = "the fleet file gives it no tokens_per_day, so its tokens are not counted"
            return _WithoutEffect(kind, intent.until, f"tenant {scope.tenant}", problem)
        name = clean_name(unknown.name)
        subject = f"tenant {name}" if unknown.kind is NameKind.TENANT else name
        problem = sentence(unknown, self._fleet, reading_name)
        return _WithoutEffect(kind, intent.until, subject, problem)
