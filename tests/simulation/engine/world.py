"""The world of a history: a fleet, its cluster and its work, and how news of them travels."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from controller.model.fleet import Behavior, Fleet, PolicyType, ScalingPolicy, ScalingRules, Tenant
from controller.model.ids import PoolKey
from controller.model.scarcity import Budget
from controller.nats.bucket import BucketEntry
from simulation.engine.cluster import PERSON, Deployment, LeaseTruth, Sight
from simulation.engine.kernel import Kernel
from simulation.engine.operators import Operators
from simulation.engine.setting import Setting
from simulation.engine.work import INTENTS, Crew, Store
from support.world import TIER, make_pool

if TYPE_CHECKING:
    from simulation.engine.controller import Controller

UP_PODS, UP_PERIOD_S = 2, 20
TOKENS_OF_A_TASK: Final = 1000
_TASK_S: Final = (1.0, 9.0)


def _rules(window_s: int, pods: int = 0, period_s: int = 0) -> ScalingRules:
    policies = (ScalingPolicy(type=PolicyType.PODS, value=pods, period_s=period_s),)
    return ScalingRules(stabilization_window_s=window_s, policies=policies if pods else ())


SHORT: Final = Behavior(scale_up=_rules(0), scale_down=_rules(5))
LONGER: Final = Behavior(scale_up=_rules(0), scale_down=_rules(12))
"""A window that outlives a take-over."""
STEPS: Final = Behavior(scale_up=_rules(0, UP_PODS, UP_PERIOD_S), scale_down=_rules(5, 1, 5))
RESEARCH: Final = make_pool("research", maximum=8, cooldown_s=12.0, behavior=LONGER)
DIGEST: Final = make_pool("digest", minimum=1, maximum=6, cooldown_s=8.0, behavior=STEPS)
BROWSER: Final = make_pool("browser", tenant="beta", maximum=6, cooldown_s=8.0, behavior=SHORT)
POOLS: Final = (RESEARCH, DIGEST, BROWSER)
REPORTING: Final = frozenset({RESEARCH.key, BROWSER.key})
COUNTING: Final = frozenset({BROWSER.key})


def fleet_with(tokens_of_beta: int) -> Fleet:
    """The fleet of all histories: its workers report, but for those of one pool."""
    budget = Budget(tokens_per_day=tokens_of_beta, hard=True)
    acme = Tenant(name="acme", tier=TIER, namespace="tenant-acme")
    beta = Tenant(name="beta", tier=TIER, namespace="tenant-beta", budget=budget)
    return Fleet(tiers=(TIER,), tenants=(acme, beta), pools=POOLS)


class World:
    """Everything outside of the controllers."""

    def __init__(self, kernel: Kernel, setting: Setting, *, work_until: float) -> None:
        self.kernel = kernel
        self.setting = setting
        chance = kernel.chance("world")
        self.fleet = fleet_with(chance.choice(setting.tasks_of_beta) * TOKENS_OF_A_TASK)
        versions = itertools.count(1)
        self.deployments: dict[PoolKey, Deployment] = {}
        self.lease = LeaseTruth(kernel, lambda: next(versions))
        self.states = Store(kernel, "agentdash_workers")
        self.orders = Store(kernel, "agentdash_orders")
        self.memory = Store(kernel, "agentdash")
        self.crews: dict[PoolKey, Crew] = {}
        self.controllers: list[Controller] = []
        self.has_lost_intents = False
        self.people = Operators(kernel, self.memory)
        self._news = kernel.chance("news")
        self._arrives: dict[tuple[str, str], float] = {}
        for pool in POOLS:
            deployment = Deployment(kernel, pool, lambda: next(versions))
            crew = Crew(
                kernel,
                pool,
                self.states,
                self.orders,
                reports=pool.key in REPORTING,
                counts=pool.key in COUNTING,
                task_s=_TASK_S,
            )
            self.deployments[pool.key], self.crews[pool.key] = deployment, crew
            self._connect(deployment, crew)
            deployment.reconcile_soon()
            self._plan_work(crew, kernel.chance(f"arrivals of {pool.key}"), work_until)
        self.states.on_put.append(lambda entry: self._tell_of_entry("states", entry))
        self.orders.on_put.append(lambda entry: self._tell_of_entry("orders", entry))
        self.memory.on_put.append(self._tell_of_intent)
        self.memory.on_lost = self._lost

    def another_fleet(self, amount: float) -> Fleet:
        """In which a pool may have fewer replicas, or is not there."""
        smaller, without = (replace(RESEARCH, max=5), DIGEST, BROWSER), (RESEARCH, DIGEST)
        return replace(self.fleet, pools=smaller if amount < 0.5 else without)

    def sight(self, key: PoolKey) -> Sight:
        return self.deployments[key].sight()

    def sights(self) -> Mapping[PoolKey, Sight]:
        return {key: each.sight() for key, each in self.deployments.items()}

    def budget_is_spent(self, tenant: str) -> bool:
        """Whether the tenant has no tokens left."""
        limit = next(t.budget.tokens_per_day for t in self.fleet.tenants if t.name == tenant)
        done = sum(c.queue.done for c in self.crews.values() if c.pool.tenant == tenant)
        return limit is not None and Decimal(done * TOKENS_OF_A_TASK) >= limit

    def forget(self, controller: Controller) -> None:
        """It has ended: no news go to it."""
        self.controllers.remove(controller)
        name = controller.machine.name
        self._arrives = {place: at for place, at in self._arrives.items() if place[0] != name}

    def relist(self, controller: Controller, key: PoolKey) -> None:
        """The controller reads the pool anew, after its watch was down."""
        sight, pool = self.sight(key), self.deployments[key].pool
        self._later(controller, key, lambda: controller.view.report(pool, sight))

    def _connect(self, deployment: Deployment, crew: Crew) -> None:
        key, pool, kernel = deployment.pool.key, deployment.pool, self.kernel

        def gone(name: str) -> None:
            writers = deployment.lowered_by
            worker = crew.workers.get(name)
            busy = worker.busy if worker is not None else 0
            known = [at for at in writers.values() if at >= crew.heard_from]
            if busy and known and PERSON not in writers:
                raise kernel.breaks(
                    f"{', '.join(sorted(writers))} lowered {key}, and {name} was stopped at work"
                )
            crew.end(name)

        def changed() -> None:
            sight = deployment.sight()
            for each in self.controllers:
                if not each.view_is_down(key):
                    self._later(each, key, lambda each=each: each.view.report(pool, sight))

        def message() -> None:
            for each in self.controllers:
                if not each.nats.cuts and key in each.wakes.watched:
                    self._later(each, f"wake {key}", lambda each=each: each.wakes.wake(key))

        deployment.on_gone, deployment.on_change, deployment.on_ready = gone, changed, crew.begin
        crew.on_message = message

    def _tell_of_entry(self, what: str, entry: BucketEntry) -> None:
        for each in self.controllers:
            if not each.nats.cuts:
                listener = each.workers.states if what == "states" else each.workers.orders
                self._later(each, what, lambda told=listener: told.changed(entry))

    def _tell_of_intent(self, entry: BucketEntry) -> None:
        if not entry.key.startswith(INTENTS):
            return
        for each in self.controllers:
            watch, number = each.watch, each.watch.number

            def told(each: Controller = each, number: int = number) -> None:
                if each.watch.number == number:
                    each.intents.bucket.highest = entry.revision
                    each.intents.changed(entry)

            if not watch.gaps:
                self._later(each, "intents", told)

    def _lost(self, is_another: bool) -> None:
        """The bucket of memory and intents was deleted, or is there again but another one."""
        self.has_lost_intents = True
        for each in self.controllers:
            each.is_another = True
            each.watch.begin_gap()
            if is_another:
                self.kernel.after(self._news.uniform(0.1, 1.2), each.watch.end_gap)
                each.watch.gaps -= each.watch.of_deleted
                each.watch.of_deleted = 0
            else:
                each.watch.of_deleted += 1

    def _later(self, controller: Controller, channel: str, callback: object) -> None:
        """News travel for a random time; those of one channel keep their order."""
        machine, place = controller.machine, (controller.machine.name, channel)
        slow_s = 0.005 if self._news.random() < 0.7 else 0.4
        at = max(self._arrives.get(place, 0.0), self.kernel.now + self._news.uniform(0.001, slow_s))
        self._arrives[place] = at
        self.kernel.after(at - self.kernel.now, lambda: machine.post(callback))  # type: ignore[arg-type]

    def _plan_work(self, crew: Crew, chance: random.Random, until: float) -> None:
        """Publish messages from now on, each time some, until the time has come."""

        def arrive() -> None:
            crew.publish(chance.choice((1, 1, 1, 2, 3, 6)))
            follow(chance.expovariate(1.0 / chance.choice(self.setting.gaps_s)))

        def follow(gap_s: float) -> None:
            if self.kernel.now + gap_s < until:
                self.kernel.after(gap_s, arrive)

        follow(chance.uniform(1.0, 10.0))
