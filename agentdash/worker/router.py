"""Sends each task to the cheapest model that can do it, and to a better one when that one fails.

Rules come first, then an optional classifier, then what was learned: for each kind of task, how
often each model did it. A model is tried if its chance of success is worth its price: if
`price + (1 - chance) · price of the next` is not more than the price of the next.

What was learned is kept for the workers that come later. Each adds its own tries to what is stored
(compare-and-set), and goes on from the sum: so the workers of a pool learn from each other, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec
from nats import errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import (
    KeyDeletedError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
    NotFoundError,
)

from agentdash.worker.session import LimitReached, Task
from agentdash.worker.stores import bucket
from controller.model.scarcity import ModelTier
from controller.model.servers import Backoff
from controller.model.text import clean
from controller.model.worker_messages import ModelTerms, UsedTokens

log = logging.getLogger(__name__)

LEARNED_FROM: Final = 50.0
"""Chances are those of about so many last tries; older ones fade."""
FADING: Final = 1 - 1 / LEARNED_FROM
WORTH_WITHOUT_PRICE: Final = 0.5
"""Where prices are not known, a model is tried if it is more likely to succeed than to fail."""
KINDS_KEPT: Final = 1_000
LEARNED_BUCKET: Final = "agentdash_learned"
LEARNED_KEPT_S: Final = 30 * 86_400.0
"""What a pool has not changed for so long is forgotten."""
RECALL_S: Final = 1.0
"""How long a start waits for it."""
SAVES: Final = 10
"""A write that other workers overtake so often is left to the next time."""
LONGEST_NAME: Final = 200
"""Kinds of tasks with longer names are not stored."""

TierRule = Callable[[Task], ModelTier | None]
"""The least tier that a task needs, by a rule; None if the rule does not speak of it."""
Classifier = Callable[[Task], Awaitable[ModelTier | None]]
"""The same by a call of a small model, say; asked only where no rule speaks."""
_RANK: Final = {tier: rank for rank, tier in enumerate(ModelTier)}


class Tries(NamedTuple):
    """How often a model did a kind of task and how often it did not; older tries count less.
    `faded` is how often the tries before these have faded by them.
    """

    done: float = 0.0
    failed: float = 0.0
    faded: int = 0

    def then(self, later: Tries) -> Tries:
        """These, and later ones after them."""
        left = FADING**later.faded
        return Tries(
            self.done * left + later.done,
            self.failed * left + later.failed,
            self.faded + later.faded,
        )


TriesOf = Mapping[tuple[str, str], Tries]
"""By kind of task and model, the latest at the end."""


def then(known: TriesOf, later: TriesOf) -> TriesOf:
    """What is known after later tries."""
    changed = {key: known.get(key, Tries()).then(each) for key, each in later.items()}
    return {key: each for key, each in known.items() if key not in changed} | changed


def latest(known: TriesOf) -> TriesOf:
    """As many as are kept."""
    return dict(list(known.items())[-KINDS_KEPT:])


class TierUse(NamedTuple):
    """What went to one tier: tries, those that did their task, and their cost in USD beside what
    the same tokens would have cost with the dearest model.
    """

    tries: int = 0
    done: int = 0
    usd: Decimal = Decimal(0)
    usd_if_premium: Decimal = Decimal(0)

    @property
    def saved_usd(self) -> Decimal:
        """Less than 0 where tries were not accepted."""
        return self.usd_if_premium - self.usd


OnUse = Callable[[ModelTerms, TierUse], None]


class TierHistory:
    """How often each model did each kind of task, for all tasks of a worker."""

    def __init__(self, on_use: Callable[[ModelTier, TierUse], None] | None = None) -> None:
        """`on_use` is told of every try."""
        self._on_use = on_use
        self._tries: TriesOf = {}
        self._unsaved: TriesOf = {}

    def chance(self, kind: str, model: str) -> float:
        """How likely the model does a task of this kind: 3/4 before the first try."""
        known = self._tries.get((kind, model), Tries())
        return (known.done + 1.5) / (known.done + known.failed + 2.0)

    def passed_over(self, kind: str, model: str) -> None:
        """The model was not tried because of its past: that past fades, so that in time the model
        is tried again.
        """
        if (kind, model) in self._tries:
            self._add(kind, model, Tries(faded=1))

    def tried(self, kind: str, model: ModelTerms, *, did_it: bool, use: TierUse) -> None:
        """Count one try and its cost."""
        self._add(kind, model.name, Tries(float(did_it), float(not did_it), faded=1))
        if self._on_use is not None:
            self._on_use(model.tier, use)

    def take_unsaved(self) -> TriesOf:
        """What was learned since this was asked last. `give_back` what could not be stored."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def give_back(self, unsaved: TriesOf) -> None:
        """These were not stored."""
        self._unsaved = latest(then(unsaved, self._unsaved))

    def go_on_from(self, stored: TriesOf) -> None:
        """This is what is stored now of all workers; what is not saved yet counts after it."""
        self._tries = latest(then(stored, self._unsaved))

    def _add(self, kind: str, model: str, tries: Tries) -> None:
        more = {(kind, model): tries}
        self._tries = latest(then(self._tries, more))
        self._unsaved = latest(then(self._unsaved, more))


class Route:
    """The models that one task may still be sent to, the cheapest first."""

    def __init__(
        self,
        kind: str,
        models: Sequence[ModelTerms],
        history: TierHistory,
        *,
        expected: UsedTokens,
        budget_usd: Decimal | None,
        on_use: OnUse | None = None,
    ) -> None:
        """`on_use` is told of every try and its cost."""
        self._kind, self._history, self._expected = kind, history, expected
        self._on_use = on_use
        self._left = list(models)
        self._budget_usd = budget_usd
        self._dearest = models[-1] if models else None
        self.model = self._next()

    def succeeded(self, used: UsedTokens) -> None:
        """The task was done by `model`, with these tokens."""
        self._count(used, did_it=True)

    def failed(self, used: UsedTokens) -> ModelTerms:
        """`model` did not do the task; returns the next better one, which is `model` from now on.

        Raises LimitReached if there is none, or none that the task's budget allows.
        """
        self._count(used, did_it=False)
        self._left.pop(0)
        self.model = self._next()
        return self.model

    def _next(self) -> ModelTerms:
        """The first model that is worth a try. Those before it are passed over."""
        if not self._left:
            raise LimitReached("no model is left that could do the task")
        while len(self._left) > 1 and not self._is_worth_it(self._left[0], self._left[1]):
            self._history.passed_over(self._kind, self._left.pop(0).name)
        cost = self._left[0].usd(self._expected)
        if self._budget_usd is not None and cost is not None and cost > self._budget_usd:
            raise LimitReached(
                f"{self._left[0].name} may cost {cost:.4f} USD for the task, of which "
                f"{self._budget_usd:.4f} USD are left"
            )
        return self._left[0]

    def _is_worth_it(self, model: ModelTerms, better: ModelTerms) -> bool:
        chance = self._history.chance(self._kind, model.name)
        cost, more = model.usd(self._expected), better.usd(self._expected)
        if cost is None or not more:
            return chance > WORTH_WITHOUT_PRICE
        is_too_dear = self._budget_usd is not None and more > self._budget_usd
        return chance >= cost / more or is_too_dear

    def _count(self, used: UsedTokens, *, did_it: bool) -> None:
        usd = self.model.usd(used)
        if usd is not None and self._budget_usd is not None:
            self._budget_usd -= usd
        dearest = None if self._dearest is None else self._dearest.usd(used)
        use = TierUse(
            tries=1,
            done=int(did_it),
            usd=usd or Decimal(0),
            # a try that failed would not have been made
            usd_if_premium=(dearest or Decimal(0)) if did_it else Decimal(0),
        )
        self._history.tried(self._kind, self.model, did_it=did_it, use=use)
        if self._on_use is not None:
            self._on_use(self.model, use)


class Router:
    """Chooses among the models of a pool's terms."""

    def __init__(
        self,
        history: TierHistory,
        rules: Sequence[TierRule] = (),
        classifier: Classifier | None = None,
    ) -> None:
        self._history, self._rules, self._classifier = history, rules, classifier

    async def route(
        self,
        task: Task,
        models: Sequence[ModelTerms],
        *,
        kind: str,
        expected: UsedTokens,
        budget_usd: Decimal | None = None,
        on_use: OnUse | None = None,
    ) -> Route:
        """The route of a task of this kind, which may use `expected` tokens and cost `budget_usd`.
        `on_use` is told of every try and its cost.

        A rule's tier is the least: better ones follow if it fails. Raises LimitReached if there is
        no such model or the budget allows none, and what the classifier raises.
        """
        tier = next((tier for rule in self._rules if (tier := rule(task)) is not None), None)
        if tier is None and self._classifier is not None:
            tier = await self._classifier(task)
        least = 0 if tier is None else _RANK[tier]
        ranked = sorted(models, key=_by_tier_and_price)
        fit = [model for model in ranked if _RANK[model.tier] >= least]
        # where no model is as good as that, the best there is
        return Route(
            kind,
            fit or ranked[-1:],
            self._history,
            expected=expected,
            budget_usd=budget_usd,
            on_use=on_use,
        )


def _by_tier_and_price(model: ModelTerms) -> tuple[int, Decimal]:
    return _RANK[model.tier], (model.input_price or Decimal(0)) + (model.output_price or Decimal(0))


Amount = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    kind: str
    model: str
    done: Amount
    failed: Amount


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[_Entry, ...] = ()


class LearnedTries:
    """What one pool's router has learned, in a bucket; the first save creates it."""

    def __init__(
        self, stream: JetStreamContext, tenant: str, pool: str, history: TierHistory
    ) -> None:
        self._stream, self._history = stream, history
        self._bucket = bucket(stream, LEARNED_BUCKET)
        self._key = f"{tenant}.{pool}"

    async def recall(self) -> None:
        """Go on from what is stored. What cannot be read is learned anew."""
        try:
            async with asyncio.timeout(RECALL_S):
                known, _ = await self._read()
        except (errors.Error, TimeoutError) as error:
            # the server does not answer what our user may not ask
            words = clean(error) or "no answer"
            log.warning("what routers have learned could not be read: %s", words)
        else:
            self._history.go_on_from(known)

    async def save(self) -> None:
        """Add what was learned since the last time. What cannot be stored is kept for the next."""
        unsaved = self._history.take_unsaved()
        if not unsaved:
            return
        known = None
        try:
            known = await self._add(unsaved)
        except errors.Error as error:
            log.debug("what the router has learned could not be stored: %s", clean(error))
        finally:
            if known is None:
                self._history.give_back(unsaved)
            else:
                self._history.go_on_from(known)

    async def _add(self, unsaved: TriesOf) -> TriesOf | None:
        """What is stored then; None if others were faster each time."""
        waits = Backoff(0.002, 0.1)
        for _ in range(SAVES):
            known, revision = await self._read()
            known = then(known, unsaved)
            try:
                await self._put(_encoded(known), revision)
            except KeyWrongLastSequenceError:
                await asyncio.sleep(waits.next_s())
                continue
            return known
        return None

    async def _put(self, value: bytes, revision: int) -> None:
        try:
            await self._bucket.update(self._key, value, last=revision)
        except NoStreamResponseError:
            config = KeyValueConfig(LEARNED_BUCKET, ttl=LEARNED_KEPT_S, direct=False)
            await self._stream.create_key_value(config)
            await self._bucket.update(self._key, value, last=revision)

    async def _read(self) -> tuple[TriesOf, int]:
        """What is stored, and its revision; nothing and 0 if there is nothing."""
        try:
            entry = await self._bucket.get(self._key)
        except KeyDeletedError as deleted:
            return {}, deleted.entry.revision or 0
        except NotFoundError:
            return {}, 0
        revision = entry.revision or 0
        try:
            stored = msgspec.json.decode(entry.value or b"{}", type=_Stored)
        except msgspec.DecodeError as error:
            log.warning("what routers have learned cannot be read and is ignored: %s", clean(error))
            return {}, revision
        return {
            (each.kind, each.model): Tries(each.done, each.failed) for each in stored.entries
        }, revision


def _encoded(known: TriesOf) -> bytes:
    entries = (
        _Entry(kind=kind, model=model, done=round(each.done, 3), failed=round(each.failed, 3))
        for (kind, model), each in latest(known).items()
        if len(kind) <= LONGEST_NAME and len(model) <= LONGEST_NAME
    )
    return msgspec.json.encode(_Stored(entries=tuple(entries)))
