"""`agentdash` that ends itself by SIGKILL in a chosen phase of a tick, for tests:

    python -m support.dying_daemon PHASE FILE ARGUMENTS...

It dies the first time that it comes to the phase while the file exists.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest import mock

from agentdash import cli
from controller import daemon, wiring
from controller.engine.supervise import Hub
from controller.kube import cluster
from controller.kube.writes import ClusterActuator
from controller.nats.bucket import Bucket
from controller.nats.lag import QueueReader
from controller.nats.state import MemoryBucket, head_key
from controller.planning.planner import plan


class Phase(StrEnum):
    """The phases of a tick, in their order."""

    ASKING = "the queues are about to be read"
    OBSERVED = "the queues are read"
    PLANNED = "the plan is made"
    WRITING = "a size is about to be written"
    WRITTEN = "a size is written and its answer not looked at"
    SAVING = "the memory is about to be saved"
    HALF_SAVED = "the parts of the memory are saved, its head is not"
    PUBLISHING = "the snapshot is about to be published"


class Death:
    """Ends the process in one phase, once the file is there."""

    def __init__(self, phase: str, file: Path) -> None:
        self._phase = Phase(phase)
        self._file = file

    def may_come(self, phase: Phase) -> None:
        """This process is in a phase now."""
        if phase is self._phase and self._file.exists():
            os.kill(os.getpid(), signal.SIGKILL)


def replaced(death: Death) -> list[Any]:
    """The ports of the product, each with its phases."""

    class DyingReader(QueueReader):
        async def read(self, *arguments: Any) -> Any:
            death.may_come(Phase.ASKING)
            readings = await super().read(*arguments)
            death.may_come(Phase.OBSERVED)
            return readings

    def dying_plan(*arguments: Any) -> Any:
        planned = plan(*arguments)
        death.may_come(Phase.PLANNED)
        return planned

    class DyingActuator(ClusterActuator):
        async def scale(self, *arguments: Any, **options: Any) -> Any:
            death.may_come(Phase.WRITING)
            outcome = await super().scale(*arguments, **options)
            death.may_come(Phase.WRITTEN)
            return outcome

    class DyingMemory(MemoryBucket):
        async def save(self, *arguments: Any) -> None:
            death.may_come(Phase.SAVING)
            await super().save(*arguments)

    class DyingBucket(Bucket):
        async def put(self, key: str, *arguments: Any, **options: Any) -> int:
            if key == head_key("memory"):
                death.may_come(Phase.HALF_SAVED)
            return await super().put(key, *arguments, **options)

    class DyingHub(Hub):
        def publish(self, *arguments: Any) -> None:
            death.may_come(Phase.PUBLISHING)
            super().publish(*arguments)

    return [
        mock.patch.object(wiring, "QueueReader", DyingReader),
        mock.patch.object(wiring, "plan", dying_plan),
        mock.patch.object(cluster, "ClusterActuator", DyingActuator),
        mock.patch.object(wiring, "MemoryBucket", DyingMemory),
        mock.patch.object(wiring, "Bucket", DyingBucket),
        mock.patch.object(daemon, "Hub", DyingHub),
    ]


def main() -> int:
    phase, file, *arguments = sys.argv[1:]
    for each in replaced(Death(phase, Path(file))):
        each.start()
    sys.argv[1:] = arguments
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
