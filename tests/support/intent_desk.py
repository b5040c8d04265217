"""The product's desk for operators' intents, in the name of the operator whom each intent names."""

from __future__ import annotations

from controller.model.intents import Intent, IntentKey, IntentKind, Operator, Scope, StandingIntent
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk


class IntentDesk:
    """Reads and writes intents one by one, by their revisions."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, kind: IntentKind, scope: Scope) -> StandingIntent | None:
        return await self._of("").find(IntentKey(kind, scope))

    async def put(self, intent: Intent, *, replaces: int | None) -> int:
        return (await self._of(intent.who).put(intent, replaces=replaces)).revision

    async def withdraw(
        self, kind: IntentKind, scope: Scope, *, replaces: int, who: str = "", why: str = ""
    ) -> int:
        key = IntentKey(kind, scope)
        return (await self._of(who).withdraw(key, replaces=replaces, why=why)).revision

    def _of(self, who: str) -> BucketDesk:
        return BucketDesk(self._bucket, Operator(who=who))
