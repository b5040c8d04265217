"""A task: what a message asks for, and on which terms.

The body of a message is the payload alone: JSON, or text that is not JSON. The terms are in the
header `Agentdash-Task`, as JSON; without it the defaults apply, so that any publisher can give work
to a pool.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from agentdash.worker.errors import UnreadableTaskError
from controller.model.text import clean

TERMS_HEADER: Final = "Agentdash-Task"
MESSAGE_ID_HEADER: Final = "Nats-Msg-Id"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]{0,127}\Z")

Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=7 * 86_400)]
Steps = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Tries = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Priority(StrEnum):
    """Which of a pool's queues a task goes to: the first, or the last."""

    NORMAL = "normal"
    HIGH = "high"


class TaskTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The terms of a task, as the header has them. None is no limit of the task's own.

    `deadline` is in Unix seconds: a task that has not ended by then ends as `expired`. `timeout_s`
    limits each try. In a message that takes the place of an earlier one of the same task,
    `tried_before` says that a checkpoint may exist, `tries` how many tries are used, `failed` how
    many of them ended with an error, and `plain` that the first message had no terms: its body need
    not be JSON. Unknown fields of later versions are ignored.
    """

    id: str = ""
    priority: Priority = Priority.NORMAL
    deadline: Moment | None = None
    timeout_s: Seconds | None = None
    max_steps: Steps | None = None
    budget_usd: Amount | None = None
    budget_tokens: Tokens | None = None
    workflow: str = ""
    tried_before: bool = False
    tries: Tries = 0
    failed: Tries = 0
    plain: bool = False


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task to work on. `payload` is the decoded JSON of the message, or its text.

    `attempt` is 1 at the first try; a task that a stopping worker handed back was not tried.
    `waited_s` is from its publication to this delivery. `stream` and `sequence` name its message.
    """

    id: str
    payload: Any
    terms: TaskTerms = TaskTerms()
    tenant: str = ""
    pool: str = ""
    attempt: int = 1
    waited_s: float = 0.0
    stream: str = ""
    sequence: int = 0

    @property
    def goal(self) -> str:
        """What the task asks for in words: its text, or the `goal` of its JSON; else empty."""
        if isinstance(self.payload, str):
            return self.payload
        goal = self.payload.get("goal", "") if isinstance(self.payload, dict) else ""
        return goal if isinstance(goal, str) else ""


def header_json(value: msgspec.Struct) -> str:
    """A value as JSON in ASCII, as a header can have it."""
    return json.dumps(msgspec.to_builtins(value))


def read_terms(headers: Mapping[str, str] | None) -> TaskTerms:
    """The terms in a message's headers. Raises UnreadableTaskError."""
    raw = (headers or {}).get(TERMS_HEADER)
    if raw is None:
        return TaskTerms()
    try:
        terms = msgspec.json.decode(raw.encode(), type=TaskTerms)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise UnreadableTaskError(f"header {TERMS_HEADER}: {clean(error)}") from None
    if terms.id and not is_task_id(terms.id):
        raise UnreadableTaskError(f"header {TERMS_HEADER}: {ID_RULE}")
    return terms


def read_terms_again(
    headers: Mapping[str, str] | None, task: str, *, tries: int = 0, failed: int = 0
) -> TaskTerms:
    """The terms under which the task of this message is published once more, after so many tries,
    of which so many have failed. Raises UnreadableTaskError.
    """
    terms = read_terms(headers)
    plain = terms.plain or TERMS_HEADER not in (headers or {})
    return msgspec.structs.replace(
        terms, id=task, tried_before=True, tries=tries, failed=failed, plain=plain
    )


def read_payload(body: bytes, *, is_json: bool) -> Any:
    """The payload in a message's body: JSON, or text where the publisher did not promise JSON.
    Raises UnreadableTaskError.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if is_json:
            raise UnreadableTaskError(f"the body is not JSON: {clean(error)}") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise UnreadableTaskError("the body is neither JSON nor text in UTF-8") from None


ID_RULE: Final = "a task's id is 1 to 128 of A-Z, a-z, 0-9, _, = and -, and begins with none of _=-"


def is_task_id(text: str) -> bool:
    """Whether a task may have this id: results are kept under it, as a part of a subject."""
    return _ID.match(text) is not None


def task_id(terms: TaskTerms, headers: Mapping[str, str] | None, stream: str, number: int) -> str:
    """The id of the task in a message: that of its terms, else that of the message, else its place
    in the stream. A message id that no task may have is hashed: msg-<SHA-256>.
    """
    if terms.id:
        return terms.id
    given = (headers or {}).get(MESSAGE_ID_HEADER, "")
    if is_task_id(given):
        return given
    if given:
        return f"msg-{hashlib.sha256(given.encode(errors='replace')).hexdigest()}"
    return f"{stream}-{number}" if is_task_id(f"{stream}-{number}") else f"message-{number}"
