"""Asks for what no snapshot brings, while a person looks at it: what people asked for, the checks
of the doctor, the last lines of a pod, what follows for a pool, and tasks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agentdash.operate import NotDoneError, Operating
from agentdash.tui.screens.views import PanelScreen, TableScreen
from agentdash.tui.table import Need, PodRef
from agentdash.tui.tables.logs import BESIDE_LINES
from agentdash.tui.tables.tasks import PAGE, is_open, question
from agentdash.tui.view import LogAs
from controller.model.decision import Decision
from controller.model.intents import Scope
from controller.model.snapshot import PodLog, Progress
from controller.model.tasks import TaskInFull, TaskPage, TaskRow

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard

_AUDIT_EVERY_S: Final = 5.0
_AHEAD_LEAST_S: Final = 2.0
"""It costs the controller some plans, so a pool that changes in each tick is not asked for each."""
_AHEAD_MOST_S: Final = 30.0
"""After so long it is asked again: a limit that other pools share may have moved."""
_TASKS_EVERY_S: Final = 2.0
_OPENED_EVERY_S: Final = 2.0
_LOG_EVERY_S: Final = 1.0
_LOG_AGAIN_S: Final = 5.0  # where it could not be read
_MOST_TASKS: Final = 1_000
_NO_PAST: Final = "the past has none: it is of what each tick saw and decided"
_NOBODY: Final = "this dashboard cannot ask for it"
T = TypeVar("T")


class Asking:
    """Keeps what is asked for up to date. `operator` is None where nobody can be asked."""

    def __init__(self, app: Dashboard, operator: Operating | None) -> None:
        self._app = app
        self._operator = operator
        self._audit_at = self._ahead_at = float("-inf")
        self._ahead_asked: tuple[str, Decision | None] | None = None
        self._tasks_at = float("-inf")
        self._tasks_of: tuple[str, Scope] | None = None
        self._most_tasks = PAGE
        self._task: TaskRow | None = None
        self._log_of = ("", "")
        self._log_at = self._opened_at = float("-inf")

    def if_old(self) -> None:
        """Ask again for what the view needs, where the last answer is old."""
        if self._operator is not None and self._operator.places != self._app.frame.asked.places:
            self._app.keep(places=self._operator.places)
        if self._needs(Need.AUDIT) and self._app.now - self._audit_at > _AUDIT_EVERY_S:
            self.ask_audit()
        if self._needs(Need.TASKS):
            if self._app.frame.moment is None:
                self._ask_tasks_if_old()
            elif self._app.frame.asked.tasks is None:
                self._app.keep(tasks=_NO_PAST)
        view = self._app.view
        opened = view.opened if isinstance(view, PanelScreen) else None
        if isinstance(opened, TaskRow):
            self._ask_task_if_old(opened)
        if isinstance(opened, PodRef):
            self._ask_pod_if_old(opened)
        if view.VIEW == "logs" and self._app.frame.asked.log_as.follows:
            every = _LOG_EVERY_S if not self._app.frame.asked.log_as.problem else _LOG_AGAIN_S
            if self._app.now - self._log_at >= every:
                self._read_log()
        if self._app.view.tab == "why":
            self._ask_ahead_if_old(self._app.view.pool)

    def _ask_task_if_old(self, opened: TaskRow) -> None:
        """Ask until it has ended."""
        if opened is not self._task:
            self._task = opened
            self._app.keep(task=None, task_of="")
        known = self._app.frame.asked.task
        if not isinstance(known, TaskInFull) or is_open(known.row):
            self._ask_in_full(
                "task", opened.key, lambda each: each.of_tasks(lambda desk: desk.look(opened))
            )

    def _ask_pod_if_old(self, pod: PodRef) -> None:
        """Ask while it is there: it may become ready."""
        row = self._app.frame.row(pod.pool)
        if self._app.frame.moment is not None:
            self._app.keep(pod="of the past only what stands above is kept", pod_of=pod.name)
        elif row is not None:
            place = row.view.namespace, pod.name
            command = "kubectl describe pod -n {} {}".format(*place)
            self._ask_in_full(
                "pod", pod.name, lambda each: each.of_pods(lambda pods: pods.look(*place), command)
            )

    def _ask_in_full(self, name: str, of: str, ask: Callable[[Operating], Awaitable[Any]]) -> None:
        """Ask for all that is kept of the opened row, and again while it is looked at."""
        app, beside = self._app, f"{name}_of"
        if getattr(app.frame.asked, beside) != of:
            app.keep(**{name: None, beside: of})
        elif app.now - self._opened_at < _OPENED_EVERY_S:
            return
        self._opened_at = app.now
        app.run_worker(self._load(name, ask), group=name, exclusive=True)

    def _needs(self, need: Need) -> bool:
        view = self._app.view
        return isinstance(view, TableScreen) and need in view.shown_view.needs

    def changed(self) -> None:
        """Something was changed: what was answered is old."""
        self._audit_at = self._tasks_at = float("-inf")
        self.if_old()

    def ask_audit(self) -> None:
        """Ask for every change that is kept."""
        self._audit_at = self._app.now
        asked = self._load("audit", lambda operator: operator.audit(), in_order=True)
        self._app.run_worker(asked, group="audit", exclusive=True)

    def _put_in_order(self) -> None:
        for table in self._app.view.tables:
            table.put_in_order()
        self._app.draw_chrome()

    def ask_doctor(self) -> None:
        """Check everything now, unless a run is under way; the view is drawn as lines come."""
        if any(each.group == "doctor" and not each.is_finished for each in self._app.workers):
            return
        self._app.keep(checks=None, checked_at=None)
        self._app.run_worker(self._examine(), group="doctor")

    async def _examine(self) -> None:
        problem = f"{_NOBODY}; agentdash doctor checks the same"
        try:
            if self._operator is None:
                raise NotDoneError(problem)
            await self._operator.examine(self._progressed)
        except NotDoneError as error:
            self._app.keep(checks=str(error))
        else:
            self._app.keep(checked_at=self._app.now)
            self._put_in_order()

    def _progressed(self, progress: Progress) -> None:
        self._app.keep(checks=progress)

    def _ask_tasks_if_old(self) -> None:
        """Ask for the pools of the view; where the cursor is on the last row, for more of them."""
        app, table = self._app, self._app.view.filtered
        of = (app.view.pool, app.frame.scope)
        if of != self._tasks_of:
            self._tasks_of, self._tasks_at, self._most_tasks = of, float("-inf"), PAGE
            app.keep(tasks=None)
        if app.frame.snapshot is None or app.now - self._tasks_at <= _TASKS_EVERY_S:
            return
        page, self._tasks_at = app.frame.asked.tasks, app.now
        is_at_end = table is not None and table.visible_keys[-1:] == (table.cursor_key,)
        if isinstance(page, TaskPage) and page.has_more and is_at_end:
            self._most_tasks = min(self._most_tasks + PAGE, _MOST_TASKS)
        asked = question(app.frame.rows, app.frame.scope, app.view.pool, self._most_tasks)
        read = self._load(
            "tasks", lambda desk: desk.of_tasks(lambda tasks: tasks.page(asked)), in_order=True
        )
        app.run_worker(read, group="tasks", exclusive=True)

    async def ask_log(self, pod: PodRef | None) -> None:
        """Show the log of this pod; the view is filled when the answer comes, and read on."""
        app = self._app
        row = None if pod is None else app.frame.row(pod.pool)
        if pod is None or row is None:
            app.flash("no pod under the cursor")
            return
        if app.frame.moment is not None:
            app.flash(f"a log is of now; {app.keys.key_of('still')} goes back to it")
            return
        view, self._log_of = app.views.view("logs"), (row.view.namespace, pod.name)
        if isinstance(view, TableScreen):
            view.show_log_of(pod)
        self._log_at = app.now  # what is drawn now does not ask beside
        app.keep(log=None, log_as=LogAs(wraps_at=app.frame.asked.log_as.wraps_at))
        await app.views.go_to(view)
        self._read_log()

    def change_log(self, what: str) -> None:
        """Read on or no longer (`follow`), show the run before this one (`previous`) or another
        `container`, or let long lines go on in the next (`wrap`).
        """
        app, log, shown = self._app, self._app.frame.asked.log, self._app.frame.asked.log_as
        if what == "follow":
            app.keep(log_as=shown._replace(follows=not shown.follows))
        elif what == "wrap":
            width = 0 if shown.wraps_at else app.size.width - BESIDE_LINES
            app.keep(log_as=shown._replace(wraps_at=width))
        else:
            known = log if isinstance(log, PodLog) else PodLog()
            names, name = known.containers, known.container
            if what == "previous":
                shown = shown._replace(is_previous=not shown.is_previous)
            elif len(names) < 2:
                app.flash("the pod has no other container")
                return
            else:
                name = names[(names.index(name) + 1) % len(names)] if name in names else names[0]
            begun = None if log is None else PodLog(container=name, containers=names)
            app.keep(log=begun, log_as=shown._replace(problem=""))
        self._read_log()

    def _read_log(self) -> None:
        self._log_at = self._app.now
        read: Callable[[], object] = self._read_on  # one that is overtaken has not begun
        self._app.run_worker(read, group="logs", exclusive=True)

    async def _read_on(self) -> None:
        """Read the newest lines; the cursor goes along where it was on the last one."""
        app, (namespace, pod) = self._app, self._log_of
        before, shown = app.frame.asked.log, app.frame.asked.log_as
        known, view = before if isinstance(before, PodLog) else None, app.view
        table = view.filtered if view.VIEW == "logs" else None
        is_at_end = table is not None and table.cursor_key in {None, *table.visible_keys[-1:]}
        command = f"kubectl logs -n {namespace} {pod}"
        found = await self._answer(
            lambda operator: operator.of_pods(
                lambda pods: pods.tail(namespace, pod, known, previous=shown.is_previous), command
            )
        )
        if isinstance(found, PodLog):
            app.keep(log=found, log_as=app.frame.asked.log_as._replace(problem=""))
        elif known is not None:
            app.keep(log_as=app.frame.asked.log_as._replace(problem=found))
        else:
            app.keep(log=found)
        if is_at_end and table is not None:
            table.action_do("bottom")

    def _ask_ahead_if_old(self, pool: str) -> None:
        """Ask where the answer is none to the decision that is shown."""
        app = self._app
        if self._operator is None or app.frame.moment is not None:
            return
        row = app.frame.row(pool)
        question = (pool, None if row is None else row.view.decision)
        age = app.now - self._ahead_at
        is_other_pool = self._ahead_asked is None or self._ahead_asked[0] != pool
        changed = question != self._ahead_asked and age > _AHEAD_LEAST_S
        if is_other_pool or age > _AHEAD_MOST_S or changed:
            self._ahead_asked, self._ahead_at = question, app.now
            asked = self._load(
                "ahead", lambda each: each.look_ahead(pool), ahead_of=pool, ahead_for=question[1]
            )
            app.run_worker(asked, group="ahead", exclusive=True)

    async def _load(
        self,
        name: str,
        ask: Callable[[Operating], Awaitable[Any]],
        *,
        in_order: bool = False,
        **beside: object,
    ) -> None:
        """Keep the answer under this name, or why there is none. The first rows that come are put
        in their order at once; before, nobody could read them.
        """
        is_first = in_order and isinstance(getattr(self._app.frame.asked, name), str | None)
        if self._operator is not None:
            beside = {"who": self._operator.who, **beside}
        self._app.keep(**{name: await self._answer(ask), **beside})
        if is_first:
            self._put_in_order()

    async def _answer(self, ask: Callable[[Operating], Awaitable[T]]) -> T | str:
        """The answer, or why there is none."""
        if self._operator is None:
            return _NOBODY
        try:
            return await ask(self._operator)
        except NotDoneError as error:
            return str(error)
