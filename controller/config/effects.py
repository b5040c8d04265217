"""Keys of a fleet file that have no effect.

Where a key can have none in this file, it is a problem: the person who wrote it believes that it
does something. Where it may have one later, by what is measured or read elsewhere, it is a notice.
To put a key of the notices into force, make something act on it and take its line out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.config.document import Document, KeyPath, Problem, spell
from controller.config.references import external_metrics, formula_names
from controller.config.scalars import as_mapping, pools_of
from controller.model.fleet import Fleet, Pool, Rule
from controller.model.metrics import QUEUE, ExternalMetric
from controller.model.scarcity import RateLimits
from controller.model.settings import Notice
from controller.model.tick import listed

NO_PRICE: Final = "has no price here or in the maintained table: its cost ceiling does not apply"
NO_READER: Final = "is read by no metric and no formula of this pool: it has no effect"
NO_POOLS: Final = "have no effect: no pool uses this model"


def problems(document: Document) -> Iterator[Problem]:
    """Keys that can have no effect in this file."""
    for path, pool in pools_of(document):
        if pool.get("rule") != Rule.HPA:
            continue
        if pool.get("native") is not None:
            message = "has no effect under rule hpa: take it out, or write rule: native"
            yield document.problem((*path, "native"), message, at_key=True)
        if _is_set(pool.get("activation")) and not _reads_queue(path, pool):
            message = "has no effect: the queue is no metric of this pool; take it out"
            yield document.problem((*path, "activation"), message, at_key=True)


def _is_set(activation: object) -> bool:
    """Whether the value is above its default, which applies anyway."""
    return activation is not None and activation != 0


def _reads_queue(path: KeyPath, pool: Mapping[str, Any]) -> bool:
    """Whether a pool of rule hpa uses its queue: without metrics, or if one names the queue, or if
    the formula does.
    """
    if pool.get("metrics") is None:
        return True
    metrics = (metric.get("name") for _, metric in external_metrics(path, pool))
    return QUEUE in (*metrics, *formula_names(as_mapping(pool.get("modifiers")).get("formula")))


def notices(document: Document, fleet: Fleet) -> Iterator[Notice]:
    """Keys that have no effect yet."""
    if _limits_usd(fleet):
        for model in fleet.models:
            if model.price is None:
                yield _notice(document, ("models", model.name), NO_PRICE)
    yield from _limits_without_usage(document, fleet)
    for index, pool in enumerate(fleet.pools):
        for name in _unread_signals(pool):
            yield _notice(document, ("pools", index, "signals", name), NO_READER)


def _limits_without_usage(document: Document, fleet: Fleet) -> Iterator[Notice]:
    """Limits of a model apply to a pool only if the usage of its tasks is known."""
    users: defaultdict[str, list[Pool]] = defaultdict(list)
    for pool in fleet.pools:
        if pool.model is not None:
            users[pool.model].append(pool)
    for model in fleet.models:
        if model.limits is None or not _limits_calls(model.limits):
            continue
        path, pools = ("models", model.name, "limits"), users[model.name]
        unknown = [pool.key for pool in pools if pool.usage is None]
        if not pools and any(model.name in pool.router for pool in fleet.pools):
            continue  # its workers share them
        if not pools:
            yield _notice(document, path, NO_POOLS)
        elif len(unknown) == len(pools):
            text = f"have no effect on {listed(unknown)} until its tasks are measured"
            yield _notice(document, path, f"{text}: write usage to say what a task uses")


def _limits_calls(limits: RateLimits) -> bool:
    return any(
        limit is not None
        for limit in (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
            limits.parallel,
        )
    )


def _unread_signals(pool: Pool) -> list[str]:
    formula = pool.modifiers.formula if pool.modifiers is not None else None
    read = {metric.name for metric in pool.metrics if isinstance(metric, ExternalMetric)}
    read.update(formula_names(formula))
    return [signal.name for signal in pool.signals if signal.name not in read]


def _notice(document: Document, path: KeyPath, text: str) -> Notice:
    at = document.position(path, at_key=True)
    return Notice(place=f"{document.name}:{at.line}:{at.column}", path=spell(path), text=text)


def _limits_usd(fleet: Fleet) -> bool:
    return fleet.capacity.usd_per_hour is not None or any(
        limit is not None
        for tenant in fleet.tenants
        for limit in (tenant.budget.usd_per_hour, tenant.budget.usd_alert)
    )
