"""`agentdash --once VIEW`: a view of the dashboard, printed once as text."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agentdash.output import (
    ToldError,
    by_default,
    note,
    refusal,
    tell,
    waiting_for_nats,
)
from agentdash.tui.actions import ACTIONS, Keymap
from agentdash.tui.commands import OnceView, UnknownCommandError, scope_named
from agentdash.tui.figures import ASCII, UNICODE, Glyphs
from agentdash.tui.help_text import HELP, help_entries
from agentdash.tui.names import HELP_VIEW
from agentdash.tui.sheets import Sheet, SheetForm, sheets_of, written
from agentdash.tui.table import Need
from agentdash.tui.tables import views
from agentdash.tui.tables.intents import standing
from agentdash.tui.tables.pods import POD_TABLES, PODS, PodRow, pod_named
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from agentdash.verbs.live import find_faults, snapshot_now
from agentdash.verbs.operate import audit_report, read_audit, standing_report
from controller.engine.supervise import FatalError, SystemClock
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.intents import Scope
from controller.model.snapshot import Progress
from controller.model.tasks import TaskPage, TaskState
from controller.ports import TasksUnknownError
from controller.record.journal import JournalError, JournalPast
from controller.wiring import pod_now

if TYPE_CHECKING:
    from controller.model.settings import Settings


class Paper(NamedTuple):
    """How a view is written: its form, its width (None: as wide as needed) and its glyphs."""

    form: SheetForm
    width: int | None
    glyphs: Glyphs


def paper_of(form: str, width: int | None, *, is_ascii: bool) -> Paper:
    """The paper of the command line; without a width it is as wide as the terminal."""
    glyphs = ASCII if is_ascii else UNICODE
    return Paper(SheetForm(form), width or _terminal_width(), glyphs)


def show_once(settings: Settings, asked: OnceView, paper: Paper, *, name: str) -> ExitCode:
    """Print the view as it is now. `name` is the fleet file's. Raises OutputError and ToldError."""
    for notice in settings.notices:
        note(str(notice))
    view, clock, codes = views()[asked.name], SystemClock(), [ExitCode.OK]
    state = ViewState(clock.now(), paper.glyphs)
    # an interrupt ends the process without a word, as it ends other filters
    with by_default(signal.SIGINT):
        if Need.AUDIT in view.needs:
            state.keep(audit=read_audit(settings, clock))
        if Need.SNAPSHOT in view.needs:
            codes.append(_keep_snapshot(settings, asked, name, state))
        if Need.DOCTOR in view.needs:
            report = find_faults(settings)
            found = len(report.lines)
            state.keep(checks=Progress(lines=report.lines, ended=found, checks=found))
            codes.append(ExitCode.FAILED if report.has_failure else ExitCode.OK)
        if Need.TASKS in view.needs:
            codes.append(_keep_tasks(settings, state))
        now = clock.now() if state.newest is None else max(clock.now(), state.newest.at)
        frame = state.refresh(now, None)
        if (pod := _pod_of(asked, frame)) is None:
            _print(asked.name, frame, paper)
        else:
            codes.append(_print_pod(settings, pod, state, paper))
    return max(codes)


def _pod_of(asked: OnceView, frame: Frame) -> PodRow | None:
    """The pod that is asked for, where the name is that of one."""
    return pod_named(asked.of, frame) if asked.name == "pods" and asked.of else None


def _print_pod(settings: Settings, row: PodRow, state: ViewState, paper: Paper) -> ExitCode:
    """Its row, its containers and its events."""
    pool = state.frame.row(row.pool)
    namespace, name = "" if pool is None else pool.view.namespace, row.key.rpartition(" ")[2]
    found = asyncio.run(pod_now(settings, SystemClock(), namespace, name))
    state.keep(pod=found)
    frame = state.refresh(state.frame.now, None)
    sheets = Sheet(PODS, [row]), *(Sheet(each, each.rows(frame)) for each in POD_TABLES)
    tell(written("pod", sheets, frame, paper.form, paper.width))
    return ExitCode.UNREACHABLE if isinstance(found, str) else ExitCode.OK


def show_replayed(path: Path, asked: OnceView, paper: Paper) -> ExitCode:
    """Print the view as it was at the end of a journal. Raises OutputError and ToldError."""
    needs, keeps = views()[asked.name].needs, "it keeps what each tick saw and decided"
    if Need.SNAPSHOT not in needs or Need.TASKS in needs:
        raise refusal(f"a journal has no {asked.name}: {keeps}", ExitCode.USAGE)
    with by_default(signal.SIGINT):
        try:
            past = JournalPast(path)
        except JournalError as error:
            raise refusal(error, ExitCode.USAGE) from None
        state = ViewState(SystemClock().now(), paper.glyphs)
        state.replay(past)
        state.keep(checks=f"a journal has none: {keeps}")
        _show_only(state, asked)
        _print(asked.name, _now(state), paper)
    if Need.AUDIT in needs:
        note(f"people's acts are not in a journal: {keeps}")
    for problem in past.notes():
        note(problem)
    return ExitCode.OK


def show_tasks(settings: Settings, asked: Namespace) -> ExitCode:
    """Print tasks, of a tenant or a pool if one is named. Raises OutputError and ToldError."""
    log_nowhere()
    pools, scope = settings.fleet.pools, Scope()
    with by_default(signal.SIGINT):
        try:
            if asked.scope:
                tenants = [each.name for each in settings.fleet.tenants]
                scope = scope_named(asked.scope, tenants, [each.key for each in pools])
            states = tuple(each for each in TaskState if each in (asked.state or TaskState))
            page = read_tasks(settings, scope, states, asked.most)
        except UnknownCommandError as error:
            raise refusal(error, ExitCode.USAGE) from None
        except (TasksUnknownError, FatalError) as error:
            raise refusal(f"nats: {error}", ExitCode.UNREACHABLE) from None
        state = ViewState(SystemClock().now(), UNICODE)
        state.keep(tasks=page)
        for problem in page.problems:
            note(problem)
        form = SheetForm.JSON if asked.as_json else SheetForm.TEXT
        if asked.state and not page.rows and not asked.as_json:
            tell(f"no task is in the state {' or '.join(states)}")
        else:
            _print("tasks", _now(state), Paper(form, _terminal_width(), UNICODE))
        if page.has_more:
            note("there are more; --most N reads more of them")
    return ExitCode.UNREACHABLE if page.problems else ExitCode.OK


def read_tasks(
    settings: Settings, scope: Scope, states: tuple[TaskState, ...] = (*TaskState,), most: int = 100
) -> TaskPage:
    """The tasks of all pools, of a tenant or of a pool. Raises TasksUnknownError and FatalError."""

    async def read() -> TaskPage:
        from agentdash.client import client_of  # it loads NATS

        async with AsyncExitStack() as opened:
            with waiting_for_nats(settings.nats):
                client = await opened.enter_async_context(client_of(settings))
            return await client.tasks(scope.pool or scope.tenant or "", states, most=most)

    return asyncio.run(read())


def show_intents(settings: Settings, options: Namespace) -> ExitCode:
    """Print what stands of what operators asked for, or every change. Raises ToldError."""
    with by_default(signal.SIGINT):
        audit = read_audit(settings, SystemClock())
        state = ViewState(SystemClock().now(), UNICODE)
        state.keep(audit=audit)
        frame = _now(state)
        if not options.as_json:
            name = "audit" if options.audit else "intents"
            _print(name, frame, Paper(SheetForm.TEXT, _terminal_width(), UNICODE))
        elif options.audit:
            tell(audit_report(audit, frame.now))
        else:
            tell(standing_report(standing(frame), frame.now))
    if options.audit and audit.kept_of_each == 1:
        note(
            "the bucket keeps only the last change of each intent: an older agentdash made it, or"
            " its owner did; `nats stream edit --max-msgs-per-subject 64` on its stream keeps more"
        )
    return ExitCode.OK


def show_help_once(keys: Keymap, paper: Paper) -> ExitCode:
    """Print every key, column, word and mark of the dashboard. Raises OutputError."""
    sheets = (Sheet(HELP, help_entries(keys.applied(ACTIONS), paper.glyphs)),)
    with by_default(signal.SIGINT):
        frame = _now(ViewState(SystemClock().now(), paper.glyphs))
        tell(written(HELP_VIEW, sheets, frame, paper.form, paper.width))
    return ExitCode.OK


def _keep_tasks(settings: Settings, state: ViewState) -> ExitCode:
    try:
        page = read_tasks(settings, state.frame.scope)
    except (TasksUnknownError, FatalError) as error:
        note(f"the tasks cannot be read: {error}")
        return ExitCode.UNREACHABLE
    state.keep(tasks=page)
    return ExitCode.OK


def _keep_snapshot(settings: Settings, asked: OnceView, name: str, state: ViewState) -> ExitCode:
    seen = snapshot_now(settings, name)
    for text in seen.notes:
        note(text)
    if seen.snapshot is None:
        raise ToldError(seen.code)
    state.accept(seen.snapshot)
    _show_only(state, asked)
    return seen.code


def _show_only(state: ViewState, asked: OnceView) -> None:
    """Show only what is asked for. Raises ToldError for what is not there."""
    if asked.of and _pod_of(asked, state.frame) is None:
        rows = PODS.rows(state.frame) if asked.name == "pods" else ()
        names = [row.pod.name for row in rows if row.pod is not None]
        try:
            scope = scope_named(asked.of, state.all_tenants, state.all_pools, names)
        except UnknownCommandError as error:
            raise refusal(error, ExitCode.USAGE) from None
        state.show_only(scope)


def _print(name: str, frame: Frame, paper: Paper) -> None:
    sheets = sheets_of(views()[name], frame)
    tell(written(name, sheets, frame, paper.form, paper.width))


def _now(state: ViewState) -> Frame:
    return state.refresh(SystemClock().now(), None)


def _terminal_width() -> int | None:
    """The columns of the terminal; None where standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, OSError, ValueError):
        return None
