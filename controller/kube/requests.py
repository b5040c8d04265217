"""What one pod requests, as the scheduler and a ResourceQuota count it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TypeAlias

from controller.kube import wire
from controller.model.limits import MILLI
from controller.model.scarcity import Resources
from controller.notation.quantity import exact_amount, rounded_up

_Amount: TypeAlias = Callable[[wire.WireAmounts], wire.WireQuantity | None]


def requested(spec: wire.WirePodSpec) -> Resources:
    """A pod's requests of CPU and memory; None for a resource that no container requests.

    It is the sum over containers and sidecars, or the need of the init containers if that is more,
    plus the overhead of the runtime class (PodRequests in k8s.io/component-helpers). Defaults that
    a LimitRange would add are not included. Raises ValueError for an amount that cannot be read.
    """
    cpu = _of_pod(spec, lambda amounts: amounts.cpu)
    memory = _of_pod(spec, lambda amounts: amounts.memory)
    return Resources(
        cpu_milli=None if cpu is None else rounded_up(cpu, MILLI),
        memory_bytes=None if memory is None else rounded_up(memory),
    )


def _of_pod(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    # requests of the pod as a whole (Kubernetes 1.34) replace those of its containers
    whole = spec.resources or wire.WireResourceRequirements()
    asked = _stated(whole.requests, amount)
    if asked is None:
        asked = _of_containers(spec, amount)
    if asked is None:
        asked = _stated(whole.limits, amount)
    overhead = _stated(spec.overhead, amount)
    return overhead if asked is None else asked + (overhead or 0)


def _of_containers(spec: wire.WirePodSpec, amount: _Amount) -> Fraction | None:
    """The containers' requests: the larger of the need at start and the need while running.

    At start, init containers run one after the other, each beside the sidecars before it. Then all
    containers run beside all sidecars.
    """
    sidecars = start = Fraction(0)
    stated = False
    for container in spec.init_containers or ():
        own = _of_container(container, amount)
        stated = stated or own is not None
        if container.restart_policy == wire.SIDECAR_RESTART_POLICY:
            sidecars += own or 0
            start = max(start, sidecars)
        else:
            start = max(start, sidecars + (own or 0))
    running = [_of_container(container, amount) for container in spec.containers or ()]
    if not stated and all(own is None for own in running):
        return None
    return max(start, sidecars + _sum(running))


def _of_container(container: wire.WireContainer, amount: _Amount) -> Fraction | None:
    """A limit without a request counts as the request (SetDefaults_Pod in core/v1)."""
    resources = container.resources or wire.WireResourceRequirements()
    asked = _stated(resources.requests, amount)
    return _stated(resources.limits, amount) if asked is None else asked


def _stated(amounts: wire.WireAmounts | None, amount: _Amount) -> Fraction | None:
    written = None if amounts is None else amount(amounts)
    return None if written is None else exact_amount(written)


def _sum(amounts: Iterable[Fraction | None]) -> Fraction:
    return sum((each for each in amounts if each is not None), start=Fraction(0))
