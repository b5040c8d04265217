"""The allowed ranges of the numbers in a tick.

A number outside its range cannot come from a real cluster. Counts of messages and replicas, metric
values and times of readings have no range here, because the planner itself holds a pool with such a
number and gives the reason. The numbers below could scale a pool down instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from controller.model.faults import InputFault, member
from controller.model.intents import Intents
from controller.model.limits import CPU, INT32_MAX, INT64_MAX, MEMORY, MILLI
from controller.model.memory import (
    Memory,
    PendingWrite,
    PoolMemory,
    RecommendationRun,
    Repeats,
    ScaleChange,
    SetBack,
)
from controller.model.metrics import MeasuredPod, MetricValue, PodUsages
from controller.model.native import NativeMemory
from controller.model.observation import Observation, PoolObservation, QueueDepth
from controller.model.readings import Reading, last_known
from controller.model.scarcity import Resources, TaskUsage
from controller.model.text import ECHO_LIMIT, clean
from controller.model.value import Value

AnyNumber = int | float | Decimal

END_OF_TIME: Final = 32_503_680_000
"""The start of the year 3000 in Unix seconds. A later time is probably in milliseconds."""
MAX_CLOCK_ERROR_S: Final = 366 * 86_400
"""How far in the future a time may be, because of a wrong clock; a later one is an error."""


class NumberRange(NamedTuple):
    """The least and the largest allowed number, and its unit for messages."""

    low: AnyNumber
    high: AnyNumber
    unit: str

    def admits(self, number: AnyNumber) -> bool:
        """Whether the number is in the range. NaN never is."""
        if isinstance(number, Decimal) and not number.is_finite():
            return False  # a Decimal NaN raises when compared; a float NaN does not
        return self.low <= number <= self.high

    def __str__(self) -> str:
        return f"from {_spelled(self.low)} to {_spelled(self.high)} {self.unit}"


REPLICA_COUNT: Final = NumberRange(0, INT32_MAX, "replicas")
AMOUNT: Final = NumberRange(0, INT64_MAX, "units")
COUNTER: Final = NumberRange(0, INT64_MAX, "messages")
TASK_TOKENS: Final = NumberRange(0, 10**9, "tokens")
DAY_TOKENS: Final = NumberRange(0, 10**15, "tokens")
TASK_CALLS: Final = NumberRange(0, 10**6, "calls")
TASK_SECONDS: Final = NumberRange(Decimal("0.001"), Decimal(30 * 86_400), "seconds")
# more than any machine can give to one replica
REPLICA_CPU: Final = NumberRange(0, 10**9, "millicores")
REPLICA_MEMORY: Final = NumberRange(0, 2**46, "bytes")
REPLICA_MEMORY_MILLI: Final = NumberRange(0, 2**46 * MILLI, "thousandths of a byte")
FAILURES: Final = NumberRange(0, INT32_MAX + 1, "failures")
MOMENT: Final = NumberRange(0, END_OF_TIME, "Unix seconds, the years 1970 to 3000")


def observation_faults(seen: Observation, now: float) -> Iterator[InputFault]:
    """The numbers of an observation that are out of their range, each at its path."""
    path = "observation"
    yield from _fault(_clock_step(now), f"{path}.clock_step_s", seen.clock_step_s)
    for key, pool in seen.pools.items():
        yield from _of_pool(pool, member(f"{path}.pools", key))
    for name, tenant in seen.tenants.items():
        quota = last_known(tenant.quota)
        yield from _of_room(quota, f"{member(f'{path}.tenants', name)}.quota.value")
    room = last_known(seen.capacity)
    if room is not None:
        yield from _of_room(room.resources, f"{path}.capacity.value.resources")
        for name, resources in room.classes.items():
            yield from _of_room(resources, member(f"{path}.capacity.value.classes", name))
    yield from _faults(REPLICA_COUNT, f"{path}.under_way", seen.under_way)


def intents_faults(intents: Intents) -> Iterator[InputFault]:
    """The numbers of operators' intents that are out of their range, each at its path."""
    for index, pin in enumerate(intents.pins):
        path = f"intents.pins[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.replicas", pin.replicas)
        yield from _fault(MOMENT, f"{path}.until", pin.until)
    for index, pause in enumerate(intents.pauses):
        path = f"intents.pauses[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.keep", pause.keep)
        yield from _fault(MOMENT, f"{path}.until", pause.until)
    for index, freeze in enumerate(intents.freezes):
        yield from _fault(MOMENT, f"intents.freezes[{index}].until", freeze.until)
    for index, cap in enumerate(intents.caps):
        path = f"intents.caps[{index}]"
        yield from _fault(REPLICA_COUNT, f"{path}.replicas", cap.replicas)
        yield from _fault(MOMENT, f"{path}.until", cap.until)
    for index, held in enumerate(intents.no_growths):
        yield from _fault(MOMENT, f"intents.no_growths[{index}].until", held.until)
    for index, budget in enumerate(intents.budgets):
        path = f"intents.budgets[{index}]"
        yield from _fault(DAY_TOKENS, f"{path}.tokens", budget.tokens)
        yield from _fault(MOMENT, f"{path}.until", budget.until)


def memory_faults(memory: Memory, now: float) -> Iterator[InputFault]:
    """The numbers of a memory that are out of their range, each at its path."""
    # negative times are allowed: a recording may have a clock that begins at 0
    times = NumberRange(
        -END_OF_TIME, now + MAX_CLOCK_ERROR_S, "Unix seconds, at most a year after now"
    )
    yield from _fault(times, "memory.planned_at", memory.planned_at)
    for key, pool in memory.pools.items():
        path = member("memory.pools", key)
        yield from _of_sizes(pool, path)
        yield from _of_times(pool, path, times)
        yield from _faults(FAILURES, f"{path}.failures", pool.failures)
        for at, repeats in _repeats(pool, path):
            counters = _numbers(repeats, "messages", "delivered", "sequence")
            yield from _faults(COUNTER, at, counters)
        if pool.native is not None:
            yield from _of_native(pool.native, f"{path}.native", times)


def _clock_step(now: float) -> NumberRange:
    """The allowed step: before it, the clock showed a time from 1970 to a year after now."""
    return NumberRange(-MAX_CLOCK_ERROR_S, now, "seconds")


def _of_queue(reading: Reading[QueueDepth], path: str) -> Iterator[InputFault]:
    depth = last_known(reading)
    if depth is not None:
        counters = _numbers(depth, "delivered", "sequence")
        yield from _faults(COUNTER, f"{path}.value", counters)


def _of_pool(pool: PoolObservation, path: str) -> Iterator[InputFault]:
    yield from _of_queue(pool.queue, f"{path}.queue")
    for index, queue in enumerate(pool.queues):
        yield from _of_queue(queue, f"{path}.queues[{index}]")
    workload = last_known(pool.workload)
    if workload is not None:
        yield from _of_requests(workload.requests, f"{path}.workload.value.requests")
    for name, reading in pool.metrics.items():
        yield from _of_metric(reading, f"{member(f'{path}.metrics', name)}.value")
    for index, pod in enumerate(pool.measured_pods):
        yield from _of_measured_pod(pod, f"{path}.measured_pods[{index}]")
    if pool.task_usage is not None:
        yield from _of_task(pool.task_usage, f"{path}.task_usage")


def _of_requests(requests: Resources, path: str) -> Iterator[InputFault]:
    yield from _fault(REPLICA_COUNT, f"{path}.replicas", requests.replicas)
    yield from _fault(REPLICA_CPU, f"{path}.cpu_milli", requests.cpu_milli)
    yield from _fault(REPLICA_MEMORY, f"{path}.memory_bytes", requests.memory_bytes)


def _of_room(room: Resources | None, path: str) -> Iterator[InputFault]:
    """A quota, or the room of nodes; it may be any quantity that Kubernetes can express."""
    if room is not None:
        yield from _faults(AMOUNT, path, _numbers(room, "replicas", "cpu_milli", "memory_bytes"))


def _of_task(task: TaskUsage, path: str) -> Iterator[InputFault]:
    tokens = _numbers(task, "input_tokens", "cached_input_tokens", "output_tokens")
    yield from _faults(TASK_TOKENS, path, tokens)
    yield from _fault(TASK_CALLS, f"{path}.calls", task.calls)
    yield from _fault(TASK_SECONDS, f"{path}.seconds", task.seconds)


def _of_metric(reading: Reading[MetricValue], path: str) -> Iterator[InputFault]:
    """Only the use of CPU or memory has a range; other metrics may be negative."""
    value = last_known(reading)
    if isinstance(value, PodUsages):
        for index, pod in enumerate(value.items):
            yield from _faults(AMOUNT, f"{path}.items[{index}].containers", pod.containers)


def _of_measured_pod(pod: MeasuredPod, path: str) -> Iterator[InputFault]:
    yield from _of_requests_milli(pod.requests_milli, f"{path}.requests_milli")
    for name, group in (("containers", pod.containers), ("sidecars", pod.sidecars)):
        for index, container in enumerate(group):
            at = f"{path}.{name}[{index}].requests_milli"
            yield from _of_requests_milli(container.requests_milli, at)


def _of_requests_milli(requests: Mapping[str, int], path: str) -> Iterator[InputFault]:
    ranges = {CPU: REPLICA_CPU, MEMORY: REPLICA_MEMORY_MILLI}
    for resource, milli in requests.items():
        yield from _fault(ranges.get(resource, AMOUNT), member(path, resource), milli)


def _of_sizes(pool: PoolMemory, path: str) -> Iterator[InputFault]:
    """The replica counts in a pool's memory."""
    yield from _fault(REPLICA_COUNT, f"{path}.ours", pool.ours)
    for at, value in _parts(pool, path):
        yield from _faults(REPLICA_COUNT, at, _numbers(value, *_SIZES[type(value)]))
    if pool.asked is not None:
        for index, size in enumerate(pool.asked.earlier):
            yield from _fault(REPLICA_COUNT, f"{path}.asked.earlier[{index}]", size)


def _of_times(pool: PoolMemory, path: str, times: NumberRange) -> Iterator[InputFault]:
    named = _numbers(pool, "since", "last_active_at", "active_since", "blind_since")
    yield from _faults(times, path, named)
    for at, value in _parts(pool, path):
        yield from _faults(times, at, _numbers(value, *_TIMES[type(value)]))
    for at, repeats in _repeats(pool, path):
        yield from _fault(times, f"{at}.since", repeats.since)


def _repeats(pool: PoolMemory, path: str) -> Iterator[tuple[str, Repeats]]:
    if pool.repeats is not None:
        yield f"{path}.repeats", pool.repeats
    for index, repeats in enumerate(pool.queue_repeats):
        if repeats is not None:
            yield f"{path}.queue_repeats[{index}]", repeats


_SIZES: Final[Mapping[type, tuple[str, ...]]] = {
    RecommendationRun: ("replicas",),
    ScaleChange: ("change",),
    PendingWrite: ("before", "after"),
    SetBack: ("ours", "theirs"),
}
_TIMES: Final[Mapping[type, tuple[str, ...]]] = {
    RecommendationRun: ("first_at", "last_at"),
    ScaleChange: ("at",),
    PendingWrite: ("at",),
    SetBack: ("at",),
}


def _parts(pool: PoolMemory, path: str) -> Iterator[tuple[str, Value]]:
    """The values in a pool's memory that have sizes and times, each with its path."""
    for name in ("recommendations", "scaled_up", "scaled_down", "set_back"):
        for index, value in enumerate(getattr(pool, name)):
            yield f"{path}.{name}[{index}]", value
    for name in ("asked", "replaced"):
        if (value := getattr(pool, name)) is not None:
            yield f"{path}.{name}", value


def _of_native(native: NativeMemory, path: str, times: NumberRange) -> Iterator[InputFault]:
    """Only times: the types of the other numbers limit them already."""
    named = _numbers(native, "asked_at", "in_flight_at", "quiet_since", "surplus_since")
    yield from _faults(times, path, named)
    yield from _faults(times, f"{path}.learned", _numbers(native.learned, "at", "wanted_at"))
    for index, forecast in enumerate(native.learned.forecasts):
        yield from _fault(times, f"{path}.learned.forecasts[{index}].at", forecast.at)


def _numbers(value: Value, *names: str) -> dict[str, AnyNumber | None]:
    return {name: getattr(value, name) for name in names}


def _faults(
    allowed: NumberRange, path: str, numbers: Mapping[Any, AnyNumber | None]
) -> Iterator[InputFault]:
    """A fault for each member of `path` that is out of this range."""
    for name, number in numbers.items():
        yield from _fault(allowed, member(path, name), number)


def _fault(allowed: NumberRange, path: str, number: AnyNumber | None) -> Iterator[InputFault]:
    if number is not None and not allowed.admits(number):
        yield InputFault(path, f"must be {allowed}, not {clean(number, ECHO_LIMIT)}")


def _spelled(number: AnyNumber) -> str:
    return f"{number:,.15g}" if isinstance(number, float) else f"{number:,}"
