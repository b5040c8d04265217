"""What an operator's intent would change now, and what a pool would have without its rules and will
have next, asked of the controller over NATS.

One request on `BUCKET.effects`, one answer: the question is JSON (the key of the intent as in the
bucket, and its value; or the key of a pool), the answer compressed MessagePack. A question changes
nothing; it costs the controller a few plans, so it answers one after the other, and leaves those
beyond a few unanswered.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from nats.aio.msg import Msg

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, Intents
from controller.model.memory import Memory, Tick
from controller.model.text import clean
from controller.model.value import UndecodableError, Value, decoded
from controller.nats.intents import (
    decode_body,
    encode_intent,
    intent_of,
    key_text,
    parse_key,
)
from controller.nats.jetstream import NatsError, UnreadableAnswerError
from controller.nats.session import NatsSession
from controller.planning.whatif import Effect, Outlook, effect_of, outlook_of
from controller.ports import Foreseen, NoEffectError

log = logging.getLogger(__name__)

EFFECT_ANSWER_S: Final = 3.0
MOST_QUESTIONS: Final = 8
MOST_QUESTION_BYTES: Final = 16 * 1024
MOST_ANSWER_BYTES: Final = 64 * 2**20

_NOTHING: Final = msgspec.Raw(b"null")
_NOT_YET: Final = "the controller has not seen the fleet yet; try again in a moment"


class _Question(Value):
    """`key` and `intent`: what would this change? `pool`, if it is there: what of this pool?"""

    version: Literal[1]
    key: str = ""
    intent: msgspec.Raw = _NOTHING
    pool: str = ""


class _Answer(Value):
    """`problem` says why there is neither an effect nor an outlook."""

    now: float = 0.0
    effect: Effect | None = None
    outlook: Outlook | None = None
    problem: str = ""


_QUESTION: Final = msgspec.json.Decoder(_Question)
_ANSWER: Final = msgspec.msgpack.Decoder(_Answer)


def effects_subject(bucket: str) -> str:
    """Where the controller of the fleet with this bucket is asked."""
    return f"{bucket}.effects"


def effect_now(tick: Tick | None, fleet: Fleet, key: IntentKey, intent: Intent | None) -> Foreseen:
    """What changes if this is asked for at the key, or taken back from there if None: two plans
    from what is known already. Raises NoEffectError before the first tick.
    """
    if tick is None:
        raise NoEffectError(_NOT_YET)
    effect = effect_of(
        key,
        intent,
        observation=tick.observation,
        fleet=fleet,
        intents=tick.intents or Intents(),
        memory=tick.memory or Memory(),
        now=tick.now,
    )
    return Foreseen(effect, tick.now)


def outlook_now(tick: Tick | None, fleet: Fleet, pool: PoolKey) -> Outlook:
    """What the pool would have without each of its rules, and its next change: some plans from what
    is known already. Raises NoEffectError before the first tick, and for a pool that is not known.
    """
    if tick is None:
        raise NoEffectError(_NOT_YET)
    outlook = outlook_of(
        pool,
        observation=tick.observation,
        fleet=fleet,
        intents=tick.intents or Intents(),
        memory=tick.memory or Memory(),
        now=tick.now,
    )
    if outlook is None:
        raise NoEffectError(f"the controller does not decide {clean(pool, 80)}")
    return outlook


async def ask_effect(
    session: NatsSession, bucket: str, key: IntentKey, intent: Intent | None
) -> Foreseen:
    """Ask the controller elsewhere. Raises NatsError where none answers, NoEffectError."""
    question = _Question(
        version=1,
        key=key_text(key),
        intent=_NOTHING if intent is None else msgspec.Raw(encode_intent(intent)),
    )
    answer = await _asked(session, bucket, question)
    if answer.effect is None:
        raise NoEffectError(clean(answer.problem) or "the controller did not say what changes")
    return Foreseen(answer.effect, answer.now)


async def ask_outlook(session: NatsSession, bucket: str, pool: PoolKey) -> Outlook:
    """Ask the controller elsewhere. Raises NatsError where none answers, NoEffectError."""
    answer = await _asked(session, bucket, _Question(version=1, pool=pool))
    if answer.outlook is None:
        raise NoEffectError(clean(answer.problem) or "the controller did not say what follows")
    return answer.outlook


async def _asked(session: NatsSession, bucket: str, question: _Question) -> _Answer:
    data = await session.request(
        effects_subject(bucket), msgspec.json.encode(question), timeout_s=EFFECT_ANSWER_S
    )
    try:
        plain = zlib.decompressobj().decompress(data, MOST_ANSWER_BYTES)
        return decoded(_ANSWER, plain, most_bytes=MOST_ANSWER_BYTES)
    except (zlib.error, UndecodableError) as error:
        raise UnreadableAnswerError(f"an effect that cannot be read: {clean(error, 80)}") from None


class EffectAnswers:
    """Answers for this controller. `look` gives what a tick of `fleet` would plan from now."""

    def __init__(
        self,
        session: NatsSession,
        bucket: str,
        fleet: Callable[[], Fleet],
        look: Callable[[], Tick | None],
    ) -> None:
        self._session = session
        self._subject = effects_subject(bucket)
        self._fleet = fleet
        self._look = look
        self._asked: asyncio.Queue[Msg] = asyncio.Queue(MOST_QUESTIONS)

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            listening = self._session.keep_listening(self._subject, self._take)
            group.create_task(listening, name="effects asked for")
            group.create_task(self._answer_all(), name="effects")

    def _take(self, message: Msg) -> None:
        if not message.reply or len(message.data) > MOST_QUESTION_BYTES:
            return
        try:
            self._asked.put_nowait(message)
        except asyncio.QueueFull:
            log.debug("a question is left unanswered: %d wait", MOST_QUESTIONS)

    async def _answer_all(self) -> None:
        while True:
            message = await self._asked.get()
            answer = zlib.compress(msgspec.msgpack.encode(await self._answer(message.data)))
            try:
                await self._session.send(message.reply, answer)
            except NatsError as error:
                log.debug("an effect was not answered: %s", error)

    async def _answer(self, data: bytes) -> _Answer:
        try:
            question = decoded(_QUESTION, data, most_bytes=MOST_QUESTION_BYTES)
            if question.pool:
                tick, fleet = self._look(), self._fleet()
                pool = PoolKey(question.pool)
                outlook = await asyncio.to_thread(outlook_now, tick, fleet, pool)
                return _Answer(now=outlook.now, outlook=outlook)
            key, value = parse_key(question.key), bytes(question.intent)
            intent = None if question.intent == _NOTHING else intent_of(key, decode_body(value))
            # beside the engine's loop, which goes on ticking
            found = await asyncio.to_thread(effect_now, self._look(), self._fleet(), key, intent)
        except (ValueError, NoEffectError) as error:
            return _Answer(problem=clean(error, 200))
        if not isinstance(found.effect, Effect):
            return _Answer(problem="only an estimate is known")
        return _Answer(now=found.now, effect=found.effect)
