"""`agentdash submit`, `result`, `cancel` and `dead`: the tasks of a pool."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from agentdash.client import OtherPayloadError, TaskClient, TaskHandle, client_of
from agentdash.operate import operator, read_until
from agentdash.output import by_default, note, refusal, tell, waiting_for, waiting_for_nats
from agentdash.task_streams import MOST_LOOKED
from agentdash.verbs.tables import aligned
from agentdash.verbs.ticks import choose
from agentdash.worker import TaskResult, TaskStatus, TaskTerms
from agentdash.worker.attempts import LIST_MOST, DeadLetter, DeadLetters
from agentdash.worker.session import ID_RULE, StoreUnavailableError, converted, is_task_id
from agentdash.worker.stores import DEAD_STREAM, Results
from controller.attach import UnsupportedServerError
from controller.engine.supervise import FatalError
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.settings import Settings
from controller.model.text import clean, quote
from controller.nats.jetstream import NatsError, typed_errors
from controller.notation.quantity import read_duration
from controller.planning.explain import duration

_DEAD: Final = ("ID", "AGE", "TRIES", "WHY")
_BODY_LIMIT: Final = 4_000


class _PoolPlace(NamedTuple):
    """A pool, whose tasks are asked for."""

    client: TaskClient
    pool: PoolKey
    letters: DeadLetters
    results: Results

    def task(self, asked: Namespace) -> TaskHandle[Any]:
        """The one that is asked for."""
        return self.client.task(self.pool, asked.id or "")


def ask(settings: Settings, asked: Namespace) -> ExitCode:
    """Do what one of the verbs asks for, and print the answer. Raises ToldError."""
    log_nowhere()  # what goes wrong is raised, and said once
    with by_default(signal.SIGINT):
        try:
            pools, problems = choose(settings.fleet, [asked.pool])
            if problems:
                raise refusal(problems[0], ExitCode.USAGE)
            task = getattr(asked, "id", None)
            if task is not None and not is_task_id(task):
                raise refusal(f"{quote(task)}: {ID_RULE}", ExitCode.USAGE)
            terms = _terms(asked) if asked.verb == "submit" else None
            return asyncio.run(_ask(settings, pools[0], asked, terms))
        except OtherPayloadError as error:
            raise refusal(error, ExitCode.REFUSED) from None
        except UnsupportedServerError as error:
            raise refusal(error, ExitCode.UNSUPPORTED) from None
        except (FatalError, StoreUnavailableError) as error:
            raise refusal(error, ExitCode.UNREACHABLE) from None
        except NatsError as error:
            words = f"nats: {error}; nothing more was done"
            raise refusal(words, ExitCode.UNREACHABLE) from None


async def _ask(
    settings: Settings, pool: Pool, asked: Namespace, terms: dict[str, Any] | None
) -> ExitCode:
    async with AsyncExitStack() as opened:
        with waiting_for_nats(settings.nats):
            client = await opened.enter_async_context(client_of(settings))
        with typed_errors():
            place = (await client.stream(pool.key), pool.tenant, pool.name)
            here = _PoolPlace(client, pool.key, DeadLetters(*place), Results(*place))
            if terms is not None:
                return await _submit(here, asked, terms)
            return await _VERBS[asked.verb](here, asked)


def _terms(asked: Namespace) -> dict[str, Any]:
    """The terms as they were typed, checked. Raises ToldError."""
    try:
        given: dict[str, Any] = {
            "id": asked.id or "",
            "priority": asked.priority,
            "workflow": asked.workflow,
            "max_steps": asked.max_steps,
            "budget_usd": asked.budget_usd,
            "budget_tokens": asked.budget_tokens,
        }
        if asked.deadline is not None:
            given["deadline"] = read_until(asked.deadline, time.time())
        if asked.timeout is not None:
            given["timeout_s"] = _seconds(asked.timeout)
        converted(given, TaskTerms)
    except ValueError as error:
        words = f"{asked.pool} is given nothing: {clean(error)}"
        raise refusal(words, ExitCode.USAGE) from None
    return given


def _seconds(text: str) -> float:
    try:
        return float(read_duration(text))
    except ValueError as error:
        raise ValueError(f"--timeout {quote(text)} {error}") from None


async def _submit(place: _PoolPlace, asked: Namespace, terms: dict[str, Any]) -> ExitCode:
    task = await place.client.submit(place.pool, _payload(asked), **terms)
    shown = Namespace(id=task.id, wait=True, as_json=asked.as_json)
    if task.receipt is None:
        ended = await task.end()
        note(f"{task.id} has ended before, as {ended.status}: nothing was added")
        return await _ended(place, shown)
    if not task.receipt.is_new:
        note("the stream has this id already: it is the same task, nothing was added")
    if asked.wait:
        return await _ended(place, shown)
    encoded = msgspec.json.encode(task.receipt._asdict()).decode()
    tell(encoded if asked.as_json else task.id)
    return ExitCode.OK


def _payload(asked: Namespace) -> object:
    if asked.payload is None:
        return asked.goal
    text = sys.stdin.read() if asked.payload == "-" else asked.payload
    try:
        payload: object = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise refusal(f"--payload is not JSON: {clean(error)}", ExitCode.USAGE) from None
    return payload


async def _is_known(place: _PoolPlace, asked: Namespace) -> bool:
    """Whether the task waits or has ended; if not, it is said."""
    looked = await place.task(asked).looked_for()
    if looked.unread:
        note(
            f"{asked.id} is not among the first {MOST_LOOKED:,} messages of a queue of "
            f"{asked.pool}, and {looked.unread:,} more were not looked through: it may be behind "
            "them, or never have been given"
        )
    elif not looked.is_found:
        words = "it was never given, or its result is no longer kept"
        note(f"{asked.pool} has no task {asked.id}: {words}")
    return looked.is_found or looked.unread > 0


async def _result(place: _PoolPlace, asked: Namespace) -> ExitCode:
    return await _ended(place, asked) if await _is_known(place, asked) else ExitCode.FAILED


async def _ended(place: _PoolPlace, asked: Namespace) -> ExitCode:
    task = place.task(asked)
    result = await task.ended()
    if result is None and asked.wait:
        with waiting_for(f"task {task.id} to end"):
            result = await task.end()
    if result is None:
        if asked.as_json:
            tell(msgspec.json.encode({"id": task.id, "status": "open"}).decode())
        note(f"{task.id} has not ended; --wait waits for it")
        return ExitCode.OK
    _show(result, as_json=asked.as_json)
    return ExitCode.OK if result.status is TaskStatus.DONE else ExitCode.FAILED


def _show(result: TaskResult, *, as_json: bool) -> None:
    encoded = msgspec.json.encode(result)
    if as_json:
        tell(encoded.decode())
        return
    took = f"{duration(result.seconds)}, {result.tokens:,} tokens, try {result.attempts}"
    lines = [f"{result.id}  {result.status}  {took if result.run else 'without a worker'}"]
    if result.error:
        lines.append(clean(result.error))
    if result.status is TaskStatus.DONE:
        shown = result.result
        text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
        lines += [clean(line, _BODY_LIMIT) for line in text.splitlines()]
    tell("\n".join(lines))


async def _cancel(place: _PoolPlace, asked: Namespace) -> ExitCode:
    if not await _is_known(place, asked):
        return ExitCode.FAILED
    who = operator()
    why = f"{asked.why or 'no reason given'} ({who.who})"
    result = await place.task(asked).cancel(clean(why))
    if asked.as_json:
        tell(msgspec.json.encode(result).decode())
    if result.status is not TaskStatus.CANCELLED:
        note(f"{result.id} had ended before, as {result.status}: nothing was changed")
        return ExitCode.REFUSED
    if not asked.as_json:
        tell(f"{result.id}  {result.status}")
    return ExitCode.OK


async def _list_dead(place: _PoolPlace, asked: Namespace) -> ExitCode:
    letters, foreign, has_more = await place.letters.list()
    for problem in foreign:
        note(problem)
    if has_more:
        note(
            f"these are the oldest {LIST_MOST:,}, and there are more: give them again, or delete "
            f"them: nats stream purge {DEAD_STREAM} --subject '{place.letters.subjects}'"
        )
    if asked.as_json:
        tell(msgspec.json.encode([letter.note for letter in letters]).decode())
    elif not letters:
        tell("no dead letters")
    else:
        now = time.time()
        rows = [
            (
                letter.note.id,
                duration(max(0.0, now - letter.note.at)),
                str(letter.note.attempts),
                clean(letter.note.reason),
            )
            for letter in letters
        ]
        tell("\n".join(aligned([_DEAD, *rows])))
    return ExitCode.OK


async def _show_dead(place: _PoolPlace, asked: Namespace) -> ExitCode:
    letter = await _letter(place, asked)
    body = letter.body.decode(errors="replace")
    if asked.as_json:
        note_of_it = msgspec.to_builtins(letter.note)
        tell(msgspec.json.encode({**note_of_it, "terms": letter.terms, "body": body}).decode())
        return ExitCode.OK
    about = letter.note
    at = datetime.fromtimestamp(about.at, UTC).isoformat(timespec="seconds")
    tries = "1 try" if about.attempts == 1 else f"{about.attempts} tries"
    tell(
        "\n".join(
            (
                f"{about.id}  dead since {at} after {tries}, noted by {about.worker}",
                clean(about.reason),
                f"message {about.sequence} of stream {about.stream}, subject {about.subject}",
                f"terms  {clean(letter.terms or '-', _BODY_LIMIT)}",
                f"body   {clean(body, _BODY_LIMIT)}",
            )
        )
    )
    return ExitCode.OK


async def _retry_dead(place: _PoolPlace, asked: Namespace) -> ExitCode:
    letter = await _letter(place, asked)
    if not await place.letters.retry(letter, place.results):
        note(f"{letter.note.id} has another result by now: nothing was changed")
        return ExitCode.REFUSED
    if asked.as_json:
        tell(msgspec.json.encode({"id": letter.note.id, "subject": letter.note.subject}).decode())
    else:
        tell(f"{letter.note.id}  published to {letter.note.subject} again")
    return ExitCode.OK


async def _letter(place: _PoolPlace, asked: Namespace) -> DeadLetter:
    letter = await place.letters.get(asked.id or "")
    if letter is None:
        raise StoreUnavailableError(
            f"no dead letter of {asked.pool} is called {asked.id}; `agentdash dead list "
            f"{asked.pool}` prints them all"
        )
    return letter


_VERBS: Final[dict[str, Callable[[_PoolPlace, Namespace], Awaitable[ExitCode]]]] = {
    "result": _result,
    "cancel": _cancel,
    "dead list": _list_dead,
    "dead show": _show_dead,
    "dead retry": _retry_dead,
}
