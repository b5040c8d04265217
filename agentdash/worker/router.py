"""Sends each task to the cheapest model that can do it, and to a better one when that one fails.

Rules come first, then an optional classifier, then what was learned: for each kind of task, how
often each model did it. A model is tried if its chance of success is worth its price: if
`price + (1 - chance) · rest` is not more than `rest`, which is what the best route through the
models after it costs until one of them has done the task.

What was learned is kept for the workers that come later. Each adds its own tries to what is stored
(compare-and-set), and goes on from the sum: so the workers of a pool learn from each other, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Final, NamedTuple

import msgspec
from nats import errors
from nats.js import JetStreamContext

from agentdash.worker.session import LimitReached, Task
from agentdash.worker.stores import SharedValues
from controller.model.scarcity import ModelTier
from controller.model.text import clean
from controller.model.worker_messages import ModelTerms, UsedTokens

log = logging.getLogger(__name__)

LEARNED_FROM: Final = 50.0
"""Chances are those of about so many last tries; older ones fade."""
FADING: Final = 1 - 1 / LEARNED_FROM
PASSED_OVER: Final = 0.5
"""A task that passes a model over fades its past by so much of a try: more would spend more on
models that cannot do a kind of task than is gained where one can in time.
"""
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
    faded: float = 0.0

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


class LearnedTries:
    """How often each model did each kind of task, for all tasks of a worker, and for its pool in a
    bucket, which the first save creates.
    """

    def __init__(self, stream: JetStreamContext, tenant: str, pool: str) -> None:
        self._key = f"{tenant}.{pool}"
        self._tries: TriesOf = {}
        self._unsaved: TriesOf = {}
        self._stored = SharedValues(
            stream, LEARNED_BUCKET, kept_s=LEARNED_KEPT_S, read=_learned, write=_encoded
        )

    def chance(self, kind: str, model: str) -> float:
        """How likely the model does a task of this kind: 3/4 before the first try."""
        known = self._tries.get((kind, model), Tries())
        return (known.done + 1.5) / (known.done + known.failed + 2.0)

    def passed_over(self, kind: str, model: str) -> None:
        """It was not tried because of its past, which fades, so that it is tried again."""
        if (kind, model) in self._tries:
            self._add(kind, model, Tries(faded=PASSED_OVER))

    def tried(self, kind: str, model: str, *, did_it: bool) -> None:
        """Count one try."""
        self._add(kind, model, Tries(float(did_it), float(not did_it), faded=1))

    def _add(self, kind: str, model: str, tries: Tries) -> None:
        more = {(kind, model): tries}
        self._tries = latest(then(self._tries, more))
        self._unsaved = latest(then(self._unsaved, more))

    async def recall(self) -> None:
        """Go on from what is stored. What cannot be read is learned anew."""
        try:
            async with asyncio.timeout(RECALL_S):
                stored = await self._stored.get(self._key)
        except (errors.Error, TimeoutError) as error:
            # the server does not answer what our user may not ask
            words = clean(error) or "no answer"
            log.warning("what routers have learned could not be read: %s", words)
        else:
            self._tries = latest(then(stored, self._unsaved))

    async def save(self) -> None:
        """Add what was learned since the last time to what all workers have stored, and go on from
        there. What cannot be stored is kept for the next time.
        """
        unsaved, self._unsaved = self._unsaved, {}
        if not unsaved:
            return
        stored = None
        try:
            add = partial(then, later=unsaved)
            stored = await self._stored.change(self._key, add, tries=SAVES)
        except errors.Error as error:
            log.debug("what the router has learned could not be stored: %s", clean(error))
        finally:
            if stored is None:
                self._unsaved = latest(then(unsaved, self._unsaved))
            else:
                self._tries = latest(then(stored, self._unsaved))


class Route:
    """The models that one task may be sent to, the cheapest first; `model` is the next one."""

    def __init__(
        self,
        kind: str,
        models: Sequence[ModelTerms],
        history: LearnedTries,
        *,
        expected: UsedTokens,
        least: ModelTier | None = None,
        budget_usd: Decimal | None = None,
        on_use: OnUse = lambda *_: None,
    ) -> None:
        """A task of this kind, which may use `expected` tokens and cost `budget_usd`, and needs a
        model of the tier `least`: better ones follow if it fails, and where there is none, it is
        the best there is. `on_use` is told of every try and its cost.

        Raises LimitReached if there is no model or the budget allows none.
        """
        self._kind, self._history, self._expected = kind, history, expected
        self._budget_usd, self._on_use = budget_usd, on_use
        ranked = sorted(
            models,
            key=lambda each: (_RANK[each.tier], (each.input_price or 0) + (each.output_price or 0)),
        )
        rank = 0 if least is None else _RANK[least]
        self._left = [model for model in ranked if _RANK[model.tier] >= rank] or ranked[-1:]
        self._dearest = ranked[-1] if ranked else None
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
        while len(self._left) > 1 and not self._is_worth_it(self._left[0], self._left[1:]):
            self._history.passed_over(self._kind, self._left.pop(0).name)
        cost = self._left[0].usd(self._expected)
        if self._budget_usd is not None and cost is not None and cost > self._budget_usd:
            raise LimitReached(
                f"{self._left[0].name} may cost {cost:.4f} USD for the task, of which "
                f"{self._budget_usd:.4f} USD are left"
            )
        return self._left[0]

    def _is_worth_it(self, model: ModelTerms, better: Sequence[ModelTerms]) -> bool:
        chance = self._history.chance(self._kind, model.name)
        cost, costs = model.usd(self._expected), [each.usd(self._expected) for each in better]
        if cost is None or None in costs:
            return chance > WORTH_WITHOUT_PRICE
        can_be_paid = [
            (float(usd), self._history.chance(self._kind, each.name))
            for each, usd in zip(better, costs, strict=True)
            if usd is not None and (self._budget_usd is None or usd <= self._budget_usd)
        ]
        return not can_be_paid or float(cost) <= chance * cost_of_route(can_be_paid)

    def _count(self, used: UsedTokens, *, did_it: bool) -> None:
        usd = self.model.usd(used)
        if usd is not None and self._budget_usd is not None:
            self._budget_usd -= usd
        dearest = None if self._dearest is None else self._dearest.usd(used)
        self._history.tried(self._kind, self.model.name, did_it=did_it)
        use = TierUse(
            tries=1,
            done=int(did_it),
            usd=usd or Decimal(0),
            # a try that failed would not have been made
            usd_if_premium=(dearest or Decimal(0)) if did_it else Decimal(0),
        )
        self._on_use(self.model, use)


def cost_of_route(models: Sequence[tuple[float, float]]) -> float:
    """The USD that the best route through these costs until one has done the task; each is its
    price and its chance. Any but the last, which is tried in any case, can be passed over.
    """
    cost, _ = models[-1]
    for price, chance in reversed(models[:-1]):
        cost = min(cost, price + (1 - chance) * cost)
    return cost


async def least_tier(
    task: Task, rules: Sequence[TierRule] = (), classifier: Classifier | None = None
) -> ModelTier | None:
    """The least tier that a task needs, as the first rule says that speaks of it, else the
    classifier; None if none does. Raises what the classifier raises.
    """
    tier = next((tier for rule in rules if (tier := rule(task)) is not None), None)
    return await classifier(task) if tier is None and classifier is not None else tier


Amount = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    kind: str
    model: str
    done: Amount
    failed: Amount


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[_Entry, ...] = ()


def _learned(value: bytes) -> TriesOf:
    try:
        stored = msgspec.json.decode(value or b"{}", type=_Stored)
    except msgspec.DecodeError as error:
        log.warning("what routers have learned cannot be read and is ignored: %s", clean(error))
        return {}
    return {(each.kind, each.model): Tries(each.done, each.failed) for each in stored.entries}


def _encoded(known: TriesOf) -> bytes:
    entries = (
        _Entry(kind=kind, model=model, done=round(each.done, 3), failed=round(each.failed, 3))
        for (kind, model), each in latest(known).items()
        if len(kind) <= LONGEST_NAME and len(model) <= LONGEST_NAME
    )
    return msgspec.json.encode(_Stored(entries=tuple(entries)))
