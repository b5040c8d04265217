"""Asks for what no snapshot brings, while a person looks at it: what people asked for, the checks
of the doctor, the last lines of a pod, what follows for a pool, and tasks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from agentdash.operate import NotDoneError, Operating
from agentdash.tui.screens.views import PanelScreen, TableScreen
from agentdash.tui.table import Need, PodRef
from agentdash.tui.tables.tasks import PAGE, question
from agentdash.tui.widgets.live_table import LiveTable
from controller.model.decision import Decision
from controller.model.intents import Scope
from controller.model.snapshot import Progress
from controller.model.tasks import TaskPage, TaskRow

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard

_AUDIT_EVERY_S: Final = 5.0
_AHEAD_LEAST_S: Final = 2.0
"""It costs the controller some plans, so a pool that changes in each tick is not asked for each."""
_AHEAD_MOST_S: Final = 30.0
"""After so long it is asked again: a limit that other pools share may have moved."""
_TASKS_EVERY_S: Final = 2.0
_MOST_TASKS: Final = 1_000
_NO_PAST: Final = "the past has none: it is of what each tick saw and decided"
_NOBODY: Final = "this dashboard cannot ask for it"


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
        if isinstance(opened, TaskRow) and opened is not self._task:
            self._task = opened
            self._app.keep(task=None)
            read = self._load(
                "task",
                lambda operator: operator.of_tasks(lambda desk: desk.look(opened)),
                task_of=opened.key,
            )
            self._app.run_worker(read, group="task", exclusive=True)
        if self._app.view.tab == "why":
            self._ask_ahead_if_old(self._app.view.pool)

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
        for table in self._app.view.query(LiveTable):
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
        """Show the log of this pod; the view is filled when the answer comes."""
        app = self._app
        row = None if pod is None else app.frame.row(pod.pool)
        if pod is None or row is None:
            app.flash("no pod under the cursor")
            return
        if app.frame.moment is not None:
            app.flash(f"a log is of now; {app.keys.key_of('still')} goes back to it")
            return
        app.keep(log=None)
        view, namespace = app.views.view("logs"), row.view.namespace
        if isinstance(view, TableScreen):
            view.show_log_of(pod)
        await app.views.go_to(view)
        app.run_worker(self._read_log(namespace, pod.name), group="logs", exclusive=True)

    async def _read_log(self, namespace: str, pod: str) -> None:
        """The cursor goes to the newest line."""
        await self._load("log", lambda operator: operator.pod_log(namespace, pod))
        view = self._app.view
        if view.VIEW == "logs" and view.filtered is not None:
            view.filtered.action_do("bottom")

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
            asked = self._load("ahead", lambda operator: operator.look_ahead(pool), ahead_of=pool)
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
        answer: object = _NOBODY
        is_first = in_order and isinstance(getattr(self._app.frame.asked, name), str | None)
        if self._operator is not None:
            beside = {"who": self._operator.who, **beside}
            try:
                answer = await ask(self._operator)
            except NotDoneError as error:
                answer = str(error)
        self._app.keep(**{name: answer, **beside})
        if is_first:
            self._put_in_order()
