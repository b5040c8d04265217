"""One history: controllers, their world and the faults of a seed, from its start to its end."""

from __future__ import annotations

import gc
import logging
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

from simulation.engine.cluster import PERSON
from simulation.engine.controller import Controller, Parts
from simulation.engine.eyes import DETECTED_S
from simulation.engine.faults import FAULTY_S, Fault, Kind, drawn
from simulation.engine.judge import Judge
from simulation.engine.kernel import BrokenPromiseError, Kernel
from simulation.engine.setting import SHORT, Setting
from simulation.engine.world import DIGEST, POOLS, World

QUIET_S: Final = 120.0
"""After the faults and the last message, everything must have come to rest within this time."""
AT_REST_S: Final = 15.0
"""What has been at rest for so long stays so: cooldown, window and one period of saves are over."""


class Ended(NamedTuple):
    """How a history ended: which promise was broken (None if none was), all that happened, one line
    each, and how many writes there were.
    """

    seed: int
    faults: tuple[Fault, ...]
    broken: str | None
    trace: bytes
    writes: int


def play(
    seed: int,
    faults: Sequence[Fault] | None = None,
    parts: Parts = Parts(),  # noqa: B008  a value
) -> Ended:
    """Play the history of a seed, by default with all of its faults and the product's parts."""
    controllers = 2 + seed % 2
    if faults is None:
        faults = drawn(seed, machines=controllers, pools=len(POOLS))
    with _alone(seed):
        history = History(seed, controllers, faults, parts=parts)
        broken: str | None = None
        try:
            history.run()
        except BrokenPromiseError as error:
            broken = str(error)
        finally:
            for machine in history.kernel.machines:
                machine.kill()
    trace = "\n".join(history.kernel.trace).encode()
    return Ended(seed, tuple(faults), broken, trace, history.judge.writes)


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """Without log lines, with the random numbers of the seed, and without collections of garbage:
    a history makes little of it.
    """
    numbers, disabled = random.getstate(), logging.root.manager.disable
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        random.setstate(numbers)
        logging.disable(disabled)


class History:
    """The world of a seed, with its controllers and faults."""

    def __init__(
        self,
        seed: int,
        controllers: int,
        faults: Sequence[Fault],
        *,
        parts: Parts = Parts(),  # noqa: B008  a value
        setting: Setting = SHORT,
        work_until: float = FAULTY_S,
    ) -> None:
        self.kernel = Kernel(seed)
        self.world = World(self.kernel, setting, work_until=work_until)
        self.judge = Judge(self.world)
        self._parts = parts
        self._lives = [0] * controllers
        self._running: list[Controller | None] = [None] * controllers
        for number in range(controllers):
            self.kernel.after(0.3 * number, partial(self.start, number))
        for fault in faults:
            self.kernel.after(fault.at, partial(self._begin, fault))

    def start(self, number: int) -> None:
        """Start a process, if it does not run."""
        if self._running[number] is None:
            self._lives[number] += 1
            name = f"c{number}.{self._lives[number]}"
            self.kernel.note(name, "starts")
            controller = Controller(
                self.world,
                name,
                parts=self._parts,
                watched=self.judge.planner_of,
                learned=self.judge.learned,
                judged=self.judge.client_of,
            )
            self._running[number] = controller
            self.world.controllers.append(controller)

    def run(self) -> None:
        """Play it until all is at rest and has been so for a while. Raises BrokenPromiseError."""
        self.kernel.run(FAULTY_S)
        rested_at, unrest = math.inf, ""
        while self.kernel.now < min(rested_at + AT_REST_S, FAULTY_S + QUIET_S):
            self.kernel.run(self.kernel.now + 1.0)
            for each in self.world.controllers if self.world.has_lost_intents else ():
                self.world.people.take_back(each.intents.stored())
            unrest = self._unrest()
            rested_at = math.inf if unrest else min(rested_at, self.kernel.now)
        if unrest:
            raise BrokenPromiseError(unrest)

    def _unrest(self) -> str:
        """What is not at rest: one process leads, all work is done, nothing is kept for it."""
        lease, world = self.world.lease, self.world
        names = [each.machine.name for each in world.controllers if not each.machine.has_ended]
        if lease.holder not in names:
            return f"nobody leads at the end: {lease.holder!r} is not in {names}"
        leaders = [each.machine.name for each in world.controllers if each.right.may_write()]
        if leaders != [lease.holder]:
            return f"{lease.holder} has the lease, but {leaders} may write"
        for key, crew in world.crews.items():
            size, queue = world.deployments[key].replicas, crew.queue
            is_contested = self.judge.is_contested(lease.holder, key)
            if world.budget_is_spent(crew.pool.tenant):
                if size and not is_contested:
                    return f"{key} has {size} replicas without a budget"
            elif queue.pending or queue.in_flight:
                words = f"{queue.pending} messages wait and {queue.in_flight} are in flight"
                return f"{key} has not come to rest: {words}, size {size}"
            elif is_contested:
                continue  # a person has set it again and again, and it is left alone for minutes
            elif size > crew.pool.min and not queue.counts:  # a learned pool keeps what pays
                return f"{key} keeps {size} replicas without work"
        return ""

    def _begin(self, fault: Fault) -> None:
        controller = self._running[fault.machine % len(self._running)]
        self.kernel.note("fault", f"{fault.kind} for {fault.seconds} s on c{fault.machine}")
        if fault.kind in _OF_THE_WORLD:
            end = _OF_THE_WORLD[fault.kind](self, fault)
        elif controller is None:
            return
        else:
            end = _OF_A_PROCESS[fault.kind](self, fault, controller)
        self.kernel.after(fault.seconds, end)

    def _end_process(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        """A process ends, and another takes its place."""
        number = fault.machine
        if fault.kind is Kind.KILL:
            controller.machine.kill()
        else:
            controller.stop()

        def again() -> None:
            if not controller.machine.has_ended:
                self.kernel.after(1.0, again)
                return
            if self._running[number] is controller:
                self.world.forget(controller)
                self.judge.forget(controller.machine.name)
                self.kernel.forget_the_ended()
                self._running[number] = None
                self.start(number)

        return again

    def _pause(self, _: Fault, controller: Controller) -> Callable[[], None]:
        machine = controller.machine
        machine.pauses += 1
        return partial(_add, machine, "pauses", -1)

    def _clock(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        steps = (-3600.0, -45.0, -4.0, 4.0, 45.0, 3600.0)
        controller.step_s += steps[int(fault.amount * len(steps)) % len(steps)]
        return _nothing

    def _api_cut(self, _: Fault, controller: Controller) -> Callable[[], None]:
        controller.api.cuts += 1
        ends = [self._gap(controller, number) for number in range(len(POOLS))]

        def end() -> None:
            controller.api.cuts -= 1
            for each in ends:
                each()

        return end

    def _watch_gap(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        return self._gap(controller, fault.pool)

    def _gap(self, controller: Controller, pool: int) -> Callable[[], None]:
        """No news of the pool until the end, when it is listed anew; soon this is noticed."""
        key, view, state = POOLS[pool].key, controller.view, {"noticed": False, "over": False}
        controller.down[key] += 1

        def notice() -> None:
            if not state["over"]:
                state["noticed"] = True
                view.gaps[key] = view.gaps.get(key, 0) + 1
                view.forget(key)

        def end() -> None:
            state["over"] = True
            controller.down[key] -= 1
            if state["noticed"]:
                controller.machine.post(recover)
            self.world.relist(controller, key)

        def recover() -> None:
            view.gaps[key] -= 1
            view.forget(key)

        self.kernel.after(DETECTED_S, lambda: controller.machine.post(notice))
        return end

    def _half_list(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        key, view = POOLS[fault.pool].key, controller.view

        def change(by: int) -> None:
            view.halves[key] = view.halves.get(key, 0) + by
            view.forget(key)

        controller.machine.post(partial(change, 1))
        return lambda: controller.machine.post(partial(change, -1))

    def _queue_ill(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        ill = controller.queues.ill.setdefault(POOLS[fault.pool].key, [])
        word = fault.kind.value.removeprefix("queue ")
        ill.append(word)
        return lambda: ill.remove(word)

    def _nats_cut(self, _: Fault, controller: Controller) -> Callable[[], None]:
        controller.nats.cuts += 1
        controller.watch.begin_gap()
        world, over = self.world, []

        def notice() -> None:
            if not over:
                controller.deaf += 1
                over.append("noticed")
                controller.workers.lose()

        def recover() -> None:
            controller.deaf -= 1
            if not controller.deaf:
                controller.workers.found(world.states, world.orders)

        def end() -> None:
            controller.nats.cuts -= 1
            controller.watch.end_gap()
            noticed = bool(over)
            over.append("over")
            controller.machine.post(recover if noticed else lambda: None)
            if not noticed:
                controller.machine.post(
                    lambda: controller.workers.found(world.states, world.orders)
                )

        self.kernel.after(DETECTED_S, lambda: controller.machine.post(notice))
        return end

    def _person(self, fault: Fault) -> Callable[[], None]:
        deployment, replicas = (
            self.world.deployments[POOLS[fault.pool].key],
            1 + int(fault.amount * 4),
        )
        self.judge.person_scales(deployment, replicas)
        deployment.scale(replicas, PERSON)
        return _nothing

    def _intent(self, fault: Fault) -> Callable[[], None]:
        pool = POOLS[fault.pool]
        steps = pool is DIGEST  # a pin may take larger steps
        return self.world.people.begin(pool, fault.amount, fault.seconds, steps=steps)

    def _bucket_gone(self, _: Fault) -> Callable[[], None]:
        self.world.memory.delete()
        return _nothing

    def _bucket_back(self, _: Fault) -> Callable[[], None]:
        return self.world.memory.kept()

    def _watch_of_intents(self, _: Fault, controller: Controller) -> Callable[[], None]:
        controller.watch.begin_gap()
        return controller.watch.end_gap

    def _journal(self, _: Fault, controller: Controller) -> Callable[[], None]:
        controller.journal_down = "the disk is full"
        return partial(setattr, controller, "journal_down", None)

    def _reload(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        """The fleet file is changed, and changed back; a process knows it later than another."""
        controller.reload(self.world.another_fleet(fault.amount))
        return lambda: controller.reload(self.world.fleet)

    def _lease_damaged(self, fault: Fault) -> Callable[[], None]:
        self.world.lease.damage(fault.amount)
        return _nothing

    def _wire(self, fault: Fault, controller: Controller) -> Callable[[], None]:
        wire = controller.nats if fault.kind is Kind.NATS_LOST else controller.api
        name = {
            Kind.API_LOST: "losses",
            Kind.NATS_LOST: "losses",
            Kind.API_TWICE: "doubles",
            Kind.API_BUSY: "busy",
            Kind.API_SLOW: "slow_s",
        }[fault.kind]
        amount = 0.2 + 4.0 * fault.amount if name == "slow_s" else 1
        _add(wire, name, amount)
        return partial(_add, wire, name, -amount)


def _add(target: object, name: str, amount: float) -> None:
    setattr(target, name, getattr(target, name) + amount)


def _nothing() -> None:
    """The end of a fault that has none."""


_OF_THE_WORLD: Final = {
    Kind.PERSON: History._person,
    Kind.INTENT: History._intent,
    Kind.LEASE_DAMAGED: History._lease_damaged,
    Kind.BUCKET_GONE: History._bucket_gone,
    Kind.BUCKET_BACK: History._bucket_back,
}
_OF_A_PROCESS: Final = {
    Kind.PAUSE: History._pause,
    Kind.KILL: History._end_process,
    Kind.STOP: History._end_process,
    Kind.CLOCK: History._clock,
    Kind.API_CUT: History._api_cut,
    Kind.API_LOST: History._wire,
    Kind.API_SLOW: History._wire,
    Kind.API_TWICE: History._wire,
    Kind.API_BUSY: History._wire,
    Kind.WATCH_GAP: History._watch_gap,
    Kind.HALF_LIST: History._half_list,
    Kind.QUEUE_HANGS: History._queue_ill,
    Kind.QUEUE_ABSENT: History._queue_ill,
    Kind.QUEUE_STALE: History._queue_ill,
    Kind.QUEUE_PARTIAL: History._queue_ill,
    Kind.QUEUE_ABSURD: History._queue_ill,
    Kind.NATS_CUT: History._nats_cut,
    Kind.NATS_LOST: History._wire,
    Kind.INTENTS_UNHEARD: History._watch_of_intents,
    Kind.JOURNAL: History._journal,
    Kind.RELOAD: History._reload,
}
