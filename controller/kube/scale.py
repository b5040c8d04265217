"""The only write to Deployments: sets spec.replicas if the Deployment has not changed since."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import MERGE_PATCH, Client
from controller.kube.errors import (
    ApiError,
    ConfigError,
    HeldBackError,
    KubeError,
    UnreachableError,
)
from controller.kube.limits import WriteGate
from controller.model.fleet import Pool
from controller.model.outcome import Outcome, OutcomeKind
from controller.model.text import clean_name

FIELD_MANAGER: Final = "agentdash"
WRITE_TIMEOUT_S: Final = 5.0
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
        """The pool's Deployment with this uid now has so many replicas and this version."""
        ...


class ScaleActuator:
    """The `Actuator` port: one PATCH for each call, without retries; each result is an Outcome.

    `may_write` is called directly before the write, after the wait for a turn, because the right to
    write may end.
    """

    def __init__(
        self,
        client: Client,
        gate: WriteGate,
        written: WriteListener,
        may_write: Callable[[], bool],
    ) -> None:
        self._client = client
        self._gate = gate
        self._written = written
        self._may_write = may_write

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the Deployment still has `resource_version`. Raises nothing. If it
        is cancelled, the write may or may not have happened.
        """
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._gate.enter(urgent=urgent)
        except TimeoutError:
            detail = f"our own limit on writes gave no turn within {TURN_TIMEOUT_S:.0f} s"
            return Outcome(kind=OutcomeKind.THROTTLED, detail=detail)
        if not self._may_write():
            return Outcome(kind=OutcomeKind.READ_ONLY, detail="the right to write had ended")
        try:
            answer = await self._patch(pool, replicas, resource_version)
        except KubeError as failure:
            return outcome(failure)
        return self._note(pool, replicas, answer)

    async def _patch(self, pool: Pool, replicas: int, resource_version: str) -> bytes:
        namespace, name = quote(pool.namespace, safe=""), quote(pool.deployment, safe="")
        return await self._client.call(
            "PATCH",
            f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            kind="deployments/scale",
            query={"fieldManager": FIELD_MANAGER},
            body={
                "metadata": {"resourceVersion": resource_version},
                "spec": {"replicas": replicas},
            },
            content_type=MERGE_PATCH,
            timeout_s=WRITE_TIMEOUT_S,
        )

    def _note(self, pool: Pool, replicas: int, answer: bytes) -> Outcome:
        try:
            scale = wire.SCALE.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
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
