"""The tasks: what runs, what waits, what has ended and what is dead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agentdash.tui import figures
from agentdash.tui.cells import age_span, pool_column, when_parts
from agentdash.tui.lines import Line, Span, Tone, labelled, labelled_text
from agentdash.tui.table import Column, KeyScope, Need, Opening, Sort, SortValue, Table, View
from agentdash.tui.view import Frame, PoolRow
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.tasks import TaskInFull, TaskPage, TaskQuestion, TaskRow, TaskState

PAGE: Final = 100
"""How many tasks of each state are asked for at first, and how many more with each page."""
MOST_POOLS: Final = 40
"""The queues of so many pools are read: of those with the most work."""
_TONES: Final = {
    "running": Tone.BUSY,
    "waiting": Tone.PLAIN,
    "done": Tone.OK,
    "cancelled": Tone.DIM,
    "dead": Tone.CRIT,
}
_ORDER: Final = (TaskState.RUNNING, TaskState.WAITING, TaskState.DEAD, TaskState.ENDED)


def question(
    rows: Sequence[PoolRow], scope: Scope, pool: str = "", most: int = PAGE
) -> TaskQuestion:
    """What to ask for: of one pool where it is named, else of those of the scope that have work."""
    wanted = pool or scope.pool
    chosen = [row for row in rows if row.key == wanted or (not wanted and _work(row))]
    chosen.sort(key=lambda row: (-_work(row), row.key))
    return TaskQuestion(
        pools={PoolKey(row.key): row.view.queues for row in chosen[:MOST_POOLS]},
        scope=Scope(pool=PoolKey(pool)) if pool else scope,
        most=most,
    )


def _work(row: PoolRow) -> int:
    return 0 if row.queue is None else row.queue.total


def state_word(row: TaskRow) -> str:
    """`running`, `waiting`, `dead`; of one that has ended, how: `done`, `failed`, `cancelled`."""
    return row.status or str(row.state)


def is_open(row: TaskRow) -> bool:
    """Whether it can be cancelled."""
    return row.state in {TaskState.RUNNING, TaskState.WAITING}


def can_be_retried(row: TaskRow) -> bool:
    """Whether it is dead or has failed."""
    return row.state is TaskState.DEAD or row.status in {"failed", "limit", "expired"}


def _rows(frame: Frame) -> Sequence[TaskRow]:
    page = frame.asked.tasks
    return page.rows if isinstance(page, TaskPage) else ()


def _order(row: TaskRow) -> SortValue:
    """What runs longest first; what waits by priority, the oldest first; then the newest ends."""
    place = float(_ORDER.index(row.state))
    age = row.at if is_open(row) else -row.at
    return (place, float(row.priority != "high"), age)


def _state(row: TaskRow, frame: Frame) -> Span:
    word = state_word(row)
    old = frame.glyphs.unknown if row.state is TaskState.WAITING and row.why else ""
    return Span(word + old, _TONES.get(word, Tone.WARN))


_Column = Column[TaskRow]
_COLUMNS: Final[Sequence[Column[TaskRow]]] = (
    _Column(
        "STATE", 9, "running, waiting (?: delivered, but no worker has it), dead; or how it ended",
        "state", lambda row: str(row.state), _state, sort=_order,
        more={"status": lambda row, _: row.status or None}, letter="S",
    ),
    _Column("TASK", 14, "its id", "id", widest=36, letter="N", names=True),
    pool_column("pool", 16, 28, letter="P"),
    _Column(
        "AGE", 6, "since when it runs or waits, or since its end", "at",
        cell=lambda row, frame: age_span(row.at, frame, whole=True), sort=lambda row: -row.at,
        right=True, letter="A", descending=True,
    ),
    _Column(
        "TRY", 3, "tries that were begun", "tries",
        tone=lambda row: Tone.WARN if row.tries > 1 else Tone.DIM,
        rank=2, right=True, letter="T", descending=True,
    ),
    _Column(
        "TOKENS", 6, "tokens that it has used", "tokens",
        text=lambda tokens: figures.count(tokens, 6),
        rank=1, right=True, letter="Q", descending=True,
    ),
    _Column(
        "USD", 6, "what it has cost", "usd", text=lambda usd: f"{usd:.4f}"[:6],
        rank=3, right=True, letter="W", descending=True,
    ),
    _Column(
        "TOOK", 6, "how long its last try took", "seconds", text=figures.age,
        rank=6, right=True, letter="X", descending=True,
    ),
    _Column(
        "CKPT", 4, "the number of its last checkpoint", "checkpoint",
        lambda row: row.checkpoint or None, rank=7, right=True,
    ),
    _Column(
        "PRIO", 6, "the queue that it waits in", "priority", lambda row: row.priority or None,
        rank=5, letter="B",
    ),
    _Column(
        "POD", 12, "the worker that has it, or had it", "pod", lambda row: row.pod or None,
        rank=4, widest=30, names=True, letter="F",
    ),
    _Column(
        "WHY", 14, "what it returned, why it ended so, or why it is dead", "why",
        lambda row: row.why or None, lambda row, _: Span(row.why, Tone.DIM), rank=2, fill=True,
    ),
)  # fmt: skip


def task_lines(row: TaskRow, frame: Frame, width: int) -> Iterator[Line]:
    """What is known of it without asking for more."""
    began = {TaskState.RUNNING: "running since", TaskState.WAITING: "waiting since"}
    since, ago = when_parts(row.at, frame)
    word = began.get(row.state, f"{state_word(row)} at")
    state = Span(word, _TONES.get(state_word(row), Tone.WARN))
    yield from labelled("task", (state, since, ago, row.priority), width)
    used = "" if row.tokens is None else f"{figures.count(row.tokens)} tokens"
    usd = "" if row.usd is None else f"{row.usd:.4f} USD"
    took = "" if row.seconds is None else f"the last try took {figures.age(row.seconds)}"
    tries = f"{row.tries} {'try' if row.tries == 1 else 'tries'}"
    checkpoint = f"checkpoint {row.checkpoint}" if row.checkpoint else ""
    pod = f"on {row.pod}" if row.pod else ""
    yield from labelled("used", (tries, used, usd, took, checkpoint, pod), width)
    if row.why:
        yield from labelled_text("result" if row.status == "done" else "why", row.why, width)


def task_in_full(
    row: TaskRow, found: TaskInFull | str | None, frame: Frame, width: int
) -> Iterator[Line]:
    """All that is kept of it; one that was open when the page was, as it is by now."""
    row = found.row if isinstance(found, TaskInFull) else row
    yield from labelled_text("pool", row.pool, width)
    yield from task_lines(row, frame, width)
    if not isinstance(found, TaskInFull):
        reading = found is None
        text = f"reading {frame.glyphs.ellipsis}" if found is None else found
        yield from labelled_text("more", text, width, Tone.DIM if reading else Tone.WARN)
        return
    for place, each in enumerate(found.tried):
        yield from labelled_text("" if place else "tries", each, width)
    for label, text in (
        ("payload", found.payload or "not kept: its stream drops what is done"),
        ("terms", found.terms),
        ("result", "" if found.result == row.why else found.result),
        ("checkpoint", found.checkpoint),
    ):
        if text:
            yield from labelled_text(label, text, width)


def _nothing(frame: Frame) -> list[Span]:
    page = frame.asked.tasks
    if page is None:
        return [Span(f"asking {frame.glyphs.ellipsis}", Tone.DIM)]
    if isinstance(page, str):
        return [Span(f"the tasks are not known: {page}", Tone.WARN)]
    if page.problems:
        return [Span(each, Tone.WARN) for each in page.problems]
    return [
        Span("no task runs, waits or is dead, and no result is kept", Tone.DIM),
        Span("agentdash submit POOL GOAL gives a pool one", Tone.DIM),
    ]


def _how_much(frame: Frame) -> str:
    page = frame.asked.tasks
    if not isinstance(page, TaskPage):
        return ""
    parts = [f"{figures.count(page.waiting)} wait, {figures.count(page.in_flight)} delivered"]
    if page.has_more:
        parts.append("more at the end")
    return "; ".join((*parts, *page.problems[:1]))


TASKS: Final = Table[TaskRow](
    "tasks", "tasks", _COLUMNS, _rows,
    key=lambda row: row.key,
    nothing=_nothing,
    text=lambda row: f"{row.key} {row.state} {state_word(row)} {row.priority} {row.pod} {row.why}",
    sort=Sort("STATE", descending=False),
    details=task_lines,
    called=lambda row: row.id,
    opens=lambda row, _: Opening("detail", row.pool, row=row),
    about=lambda row: Scope(pool=row.pool),
    state=_how_much,
    own_letters="LR",
    asked=True,
)  # fmt: skip
VIEWS: Final = (
    View(
        "tasks", (TASKS,), "what runs, waits, ended, died", ("ta", "task"),
        needs=(Need.SNAPSHOT, Need.TASKS), scope=KeyScope.TASKS,
    ),
)  # fmt: skip
