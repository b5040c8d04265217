"""The writes to the cluster: spec.replicas, if the workload has not changed since, and the
deletion cost of its pods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol
from urllib.parse import quote

from controller.kube import wire
from controller.kube.client import MERGE_PATCH, Client, WriteGate
from controller.kube.errors import ApiError, ConfigError, HeldBackError, KubeError, UnreachableError
from controller.model.decision import Outcome, OutcomeKind
from controller.model.decoding import UndecodableError, decoded
from controller.model.fleet import Pool
from controller.model.lease import LONGEST_WRITE_S
from controller.model.rights import FIELD_MANAGER
from controller.model.text import clean_name

WRITE_TIMEOUT_S: Final = LONGEST_WRITE_S
TURN_TIMEOUT_S: Final = 5.0
"""The longest wait for a turn: after it the decision is outdated, and the next tick decides again.
"""

_KINDS: Final = {
    400: OutcomeKind.INVALID,
    401: OutcomeKind.UNAUTHORIZED,
    403: OutcomeKind.FORBIDDEN,
    404: OutcomeKind.GONE,
    409: OutcomeKind.CONFLICT,
    410: OutcomeKind.GONE,
    422: OutcomeKind.INVALID,
    429: OutcomeKind.THROTTLED,
}


class WriteListener(Protocol):
    """Receives the result of each applied write at once."""

    def applied(self, pool: Pool, uid: str, replicas: int, version: str) -> None:
        """The pool's workload with this uid now has so many replicas and this version."""
        ...

    def refused_mark(self, pool: Pool, detail: str) -> None:
        """We may not change the annotations of the pool's pods."""
        ...


class ClusterActuator:
    """The `Actuator` port: one PATCH for each call, without retries; each result is an Outcome.

    Marks have a gate of their own, so that a large pool that shrinks delays no other's scaling.

    `may_write` is called directly before the write, after the wait for a turn, because the right to
    write may end. A write takes at most `timeout_s` from then on.
    """

    def __init__(
        self,
        client: Client,
        gate: WriteGate,
        marks: WriteGate,
        written: WriteListener,
        may_write: Callable[[], bool],
        *,
        timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._client = client
        self._gate = gate
        self._marks = marks
        self._written = written
        self._may_write = may_write
        self._timeout_s = timeout_s

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the workload still has `resource_version`. Raises nothing. If it
        is cancelled, the write may or may not have happened.
        """
        if (hindrance := await self._turn(self._gate, urgent=urgent)) is not None:
            return hindrance
        try:
            answer = await self._patch(pool, replicas, resource_version)
        except KubeError as failure:
            return outcome(failure)
        return self._note(pool, replicas, answer)

    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        """Give the pod this deletion cost, or take it away. Raises nothing."""
        if (hindrance := await self._turn(self._marks, urgent=False)) is not None:
            return hindrance
        value = None if cost is None else str(cost)
        try:
            await self._client.call(
                "PATCH",
                f"/api/v1/namespaces/{quote(pool.namespace, safe='')}/pods/{quote(pod, safe='')}",
                kind="pods",
                query={"fieldManager": FIELD_MANAGER},
                body={"metadata": {"annotations": {wire.DELETION_COST: value}}},
                content_type=MERGE_PATCH,
                timeout_s=self._timeout_s,
            )
        except KubeError as failure:
            failed = outcome(failure)
            if failed.kind is OutcomeKind.FORBIDDEN:
                self._written.refused_mark(pool, failed.detail)
            return failed
        return Outcome(kind=OutcomeKind.APPLIED, status=200)

    async def _turn(self, gate: WriteGate, *, urgent: bool) -> Outcome | None:
        """Wait for a turn; the outcome if nothing may be written now."""
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await gate.enter(urgent=urgent)
        except TimeoutError:
            detail = f"our own limit on writes gave no turn within {TURN_TIMEOUT_S:.0f} s"
            return Outcome(kind=OutcomeKind.THROTTLED, detail=detail)
        if not self._may_write():
            return Outcome(kind=OutcomeKind.READ_ONLY, detail="the right to write had ended")
        return None

    async def _patch(self, pool: Pool, replicas: int, resource_version: str) -> bytes:
        namespace, name = quote(pool.namespace, safe=""), quote(pool.workload.name, safe="")
        resource = pool.workload.kind.plural
        return await self._client.call(
            "PATCH",
            f"/apis/apps/v1/namespaces/{namespace}/{resource}/{name}/scale",
            kind=f"{resource}/scale",
            query={"fieldManager": FIELD_MANAGER},
            body={
                "metadata": {"resourceVersion": resource_version},
                "spec": {"replicas": replicas},
            },
            content_type=MERGE_PATCH,
            timeout_s=self._timeout_s,
        )

    def _note(self, pool: Pool, replicas: int, answer: bytes) -> Outcome:
        try:
            scale = decoded(wire.SCALE, answer)
        except UndecodableError:
            detail = (
                "the answer was 2xx but no Scale; does a proxy answer in the API server's place?"
            )
            return Outcome(kind=OutcomeKind.UNKNOWN, detail=detail)
        self._written.applied(
            pool,
            clean_name(scale.metadata.uid),
            scale.spec.replicas,
            clean_name(scale.metadata.resource_version),
        )
        changed = scale.spec.replicas != replicas
        detail = f"an admission webhook changed it to {scale.spec.replicas}" if changed else ""
        return Outcome(kind=OutcomeKind.APPLIED, status=200, detail=detail)


def outcome(failure: KubeError) -> Outcome:
    """The outcome of a failed write: UNKNOWN only if it was sent and has no readable answer."""
    match failure:
        case ApiError(status=status) if status >= 500:
            kind = OutcomeKind.FAILED
        case ApiError(status=status):
            kind = _KINDS.get(status, OutcomeKind.INVALID)
        case HeldBackError():
            kind = OutcomeKind.THROTTLED
        case ConfigError():
            kind = OutcomeKind.UNAUTHORIZED
        case UnreachableError():
            kind = OutcomeKind.UNREACHABLE
        case _:
            kind = OutcomeKind.UNKNOWN
    return Outcome(
        kind=kind,
        status=failure.status if isinstance(failure, ApiError) else 0,
        detail=failure.detail,
        retry_after_s=failure.retry_after_s,
    )


ENDING_TAINTS: Final = (
    # the cluster autoscaler, just before it drains and deletes the node
    "ToBeDeletedByClusterAutoscaler",
    # Karpenter, before it drains the node: since v1, and before
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # AWS node termination handler: spot interruption, scheduled event, end of its scaling group
    "aws-node-termination-handler/",
    # GKE: the machine is preempted or shut down
    "cloud.google.com/impending-node-termination",
    # Kubernetes and its cloud controllers: the machine is down
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
)
"""Keys, or with `/` at their end the beginnings of keys. Taints of whole groups of nodes, such as
`kubernetes.azure.com/scalesetpriority`, say only that a node may end some day.
"""


def ending_taint(taints: Iterable[wire.WireTaint], further: Iterable[str]) -> str:
    """The key of the first taint that says that its node ends soon; empty if there is none.
    `further` are keys beside those above.
    """
    signs = (*ENDING_TAINTS, *further)
    keys = (taint.key for taint in taints if any(_matches(taint.key, sign) for sign in signs))
    return clean_name(next(keys, ""))


def _matches(key: str, sign: str) -> bool:
    return key.startswith(sign) if sign.endswith("/") else key == sign
