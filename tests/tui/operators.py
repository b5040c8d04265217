"""An operator at a dashboard without an engine: requests are kept, answers are a test's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from agentdash.foreseen import Ahead
from agentdash.operate import NotDoneError, Places, Preview, Request, TakenError
from controller.model.intents import Audit, Intent, IntentChange, IntentKey, Scope, StandingIntent
from controller.model.snapshot import Diagnosis, Level, PodInFull, PodLog, Progress, Report
from controller.model.tasks import TaskInFull, TaskPage, TaskQuestion, TaskRow
from controller.planning.whatif import Effect, PoolEffect
from controller.ports import PodDesk, TaskDesk
from support.asked import a_pause, a_pin
from tui.scenarios import NOW

T = TypeVar("T")

ME, MARA = "ann@laptop", "mara@bastion"


def effect_on(pools: Sequence[str], *, goes: int = 0, finishes: int = 0, starts: int = 0) -> Effect:
    """These pools are concerned; the replicas are those of the first one."""
    changed = PoolEffect(
        pool=pools[0],
        current=4,
        target_before=7,
        target_after=0,
        goes=goes,
        finishes=finishes,
        starts=starts,
    )
    return Effect(concerned=tuple(pools), unknown=(), changed=(changed,))


POOL = effect_on(("acme/research",), starts=3)
TENANT = effect_on(("acme/coder", "acme/research", "acme/browser-gpu"), goes=11, finishes=4)
FLEET = effect_on(tuple(f"acme/pool-{number}" for number in range(9)), goes=42, finishes=17)


class FakePods:
    """The pods that tests put there; a log may be of one container, or of the run before."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, ...], PodLog] = {}
        self.seen: dict[tuple[str, str], PodInFull] = {}
        self.problem = ""
        self.known: PodLog | None = None

    async def look(self, namespace: str, pod: str) -> PodInFull:
        return self.seen.get((namespace, pod), PodInFull())

    async def tail(
        self, namespace: str, pod: str, known: PodLog | None = None, *, previous: bool = False
    ) -> PodLog:
        self.known = known
        known = known or PodLog()
        if self.problem:
            raise NotDoneError(self.problem)
        which = known.container if known.container not in known.containers[:1] else ""
        part = (*([which] if which else []), *(["previous"] if previous else []))
        found = self.logs.get((namespace, pod, *part), PodLog())
        names = found.containers or known.containers
        return msgspec.structs.replace(found, containers=names)


class FakeOperator:
    """Answers at once unless `gate` is closed; `failure` is raised instead of an answer, once."""

    def __init__(self) -> None:
        self.who = ME
        self.places: Places = ()
        self.off: str | None = None
        self.effect: Effect = POOL
        self.standing: dict[IntentKey, StandingIntent] = {}
        self.changes: list[IntentChange] = []
        self.previewed: list[tuple[IntentKey, Intent | None]] = []
        self.written: list[tuple[IntentKey, Intent | None]] = []
        self.undone: list[IntentChange] = []
        self.failure: Exception | None = None
        self.progress: list[Progress] = []
        self.examined = 0
        self.ahead = Ahead()
        self.looked_ahead: list[str] = []
        self.pods = FakePods()
        self.instead = ""
        self.found = TaskPage()
        self.asked_tasks: list[TaskQuestion] = []
        self.task_acts: list[tuple[str, TaskRow]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_write: Callable[[], Awaitable[None]] | None = None

    def stands(self, intent: Intent, *, revision: int = 7, at: float = NOW - 360) -> None:
        """Somebody has asked for this."""
        self.standing[intent.key] = StandingIntent(
            intent=intent, revision=revision, set_at=at, origin="192.0.2.9"
        )

    def refusal(self) -> str | None:
        return self.off

    async def find(self, key: IntentKey) -> StandingIntent | None:
        return self.standing.get(key)

    async def preview(self, request: Request) -> Preview:
        await self._answers()
        self.previewed.append((request.key, request.intent()))
        there = self.standing.get(request.key)
        return Preview(self.effect, NOW, there, None if there is None else there.revision)

    async def write(self, request: Request, seen: Preview) -> IntentChange:
        await self._answers()
        key, why, undoes = request.key, request.why or "", request.undoes
        if undoes is not None:
            self.undone.append(undoes)
            return self._wrote(key, undoes.before, "", undoes=undoes.revision)
        self._claims(key, seen.replaces)
        return self._wrote(key, request.intent(), why)

    async def audit(self) -> Audit:
        await self._answers()
        return Audit(changes=tuple(self.changes), kept_of_each=64)

    async def examine(self, on_progress: Callable[[Progress], None]) -> Report:
        self.examined += 1
        for progress in self.progress:
            on_progress(progress)
        await self._answers()
        return Report(lines=self.progress[-1].lines if self.progress else ())

    async def look_ahead(self, pool: str) -> Ahead:
        await self._answers()
        self.looked_ahead.append(pool)
        return self.ahead

    async def of_pods(self, ask: Callable[[PodDesk], Awaitable[T]], instead: str) -> T:
        await self._answers()
        self.instead = instead
        return await ask(self.pods)

    async def of_tasks(self, ask: Callable[[TaskDesk], Awaitable[T]]) -> T:
        await self._answers()
        return await ask(self)

    async def page(self, asked: TaskQuestion) -> TaskPage:
        self.asked_tasks.append(asked)
        return self.found

    async def look(self, row: TaskRow) -> TaskInFull:
        return TaskInFull(
            row=row,
            payload=f"payload of {row.id}",
            terms="{}",
            tried=("1. 11:58:00Z on worker-3, 4.0 s: TimeoutError",),
        )

    async def cancel(self, row: TaskRow, why: str) -> str:
        self.task_acts.append((f"cancelled {why}", row))
        return f"{row.id} is cancelled"

    async def retry(self, row: TaskRow) -> str:
        self.task_acts.append(("published again", row))
        return f"{row.id} is published again"

    async def _answers(self) -> None:
        await self.gate.wait()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def _claims(self, key: IntentKey, replaces: int | None) -> None:
        there = self.standing.get(key)
        if there is not None and there.revision != replaces:
            who, why = there.intent.who, there.intent.why
            raise TakenError(f"{who} was first, at 11:58Z ({why})", there.revision)

    def _wrote(
        self, key: IntentKey, intent: Intent | None, why: str, undoes: int | None = None
    ) -> IntentChange:
        before = self.standing.pop(key, None)
        self.written.append((key, intent))
        change = IntentChange(
            revision=100 + len(self.written),
            at=NOW,
            key=key,
            who=self.who,
            why=why,
            before=None if before is None else before.intent,
            after=intent,
            undoes=undoes,
        )
        if intent is not None:
            self.stands(intent, revision=change.revision, at=NOW)
        self.changes.append(change)
        return change


def some_changes() -> list[IntentChange]:
    """What three people did this morning."""
    pin = a_pin(pool="acme/research", replicas=3, until=NOW + 7200, who=ME, why="load test OPS-881")
    more = a_pin(pool="acme/research", replicas=5, until=NOW + 3600, who=MARA, why="more load")
    pause = a_pause(
        scope=Scope(tenant="globex"), until=NOW + 4800, who=MARA, why="OPS-902: runaway"
    )
    ends = a_pause(scope=Scope(tenant="initech"), until=NOW - 900, who=MARA, why="migration")
    return [
        IntentChange(revision=11, at=NOW - 7000, key=ends.key, who=MARA, after=ends, why=ends.why),
        IntentChange(
            revision=12,
            at=NOW - 3500,
            key=more.key,
            who=MARA,
            origin="192.0.2.9",
            after=more,
            why=more.why,
        ),
        IntentChange(
            revision=14,
            at=NOW - 900,
            key=ends.key,
            who=ME,
            before=ends,
            why="it had ended",
            expired=True,
        ),
        IntentChange(
            revision=15, at=NOW - 600, key=pin.key, who=ME, before=more, after=pin, why=pin.why
        ),
        IntentChange(
            revision=16, at=NOW - 360, key=pause.key, who=MARA, after=pause, why=pause.why
        ),
    ]


def some_checks() -> list[Progress]:
    """The checks of a fleet with an HPA beside it, and a right that is missing."""
    lines = (
        Diagnosis(check="nats", level=Level.OK, text="nats-server 2.12.1 at nats://nats:4222"),
        Diagnosis(check="kubernetes", level=Level.OK, text="server v1.36.0"),
        Diagnosis(
            check="rights",
            level=Level.FAIL,
            text="this user may not patch deployments/scale in agents-globex",
            subject="agents-globex",
            todo="apply the Role that `agentdash manifests` prints for this namespace",
        ),
        Diagnosis(
            check="rivals",
            level=Level.FAIL,
            text="HorizontalPodAutoscaler research-hpa scales research-agent, so agentdash leaves"
            " it alone",
            subject="acme/research",
            todo="delete the HorizontalPodAutoscaler, or take the pool out of the fleet file",
        ),
        Diagnosis(
            check="deployments",
            level=Level.WARN,
            text="coder-agent has no readiness probe",
            subject="acme/coder",
            todo="add one, so that work does not wait for pods that cannot do it yet",
        ),
        Diagnosis(check="quotas", level=Level.SKIP, text="no answer within 5 s"),
        Diagnosis(check="lease", level=Level.OK, text="Lease agentdash in agents-system"),
    )
    return [Progress(checks=7, ended=2, lines=lines[:2]), Progress(checks=7, ended=7, lines=lines)]


def refused(words: str) -> NotDoneError:
    return NotDoneError(words)
