"""The lines of a check as it makes them, and the report as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from controller.kube.client import Client
from controller.kube.errors import ConfigError
from controller.model.fleet import Pool
from controller.model.settings import Settings
from controller.model.snapshot import Diagnosis, Level, Report
from controller.nats.session import NatsSession
from controller.ports import Clock


class Findings:
    """The lines of one check, as it makes them."""

    def __init__(self, check: str) -> None:
        self._check = check
        self.lines: list[Diagnosis] = []

    def ok(self, text: str) -> None:
        """It is as it should be."""
        self._add(Level.OK, text, "", "")

    def warn(self, text: str, todo: str, subject: str = "") -> None:
        """It works worse than it could."""
        self._add(Level.WARN, text, subject, todo)

    def fail(self, text: str, todo: str, subject: str = "") -> None:
        """It does not work."""
        self._add(Level.FAIL, text, subject, todo)

    def skip(self, text: str, subject: str = "") -> None:
        """It could not be looked at."""
        self._add(Level.SKIP, text, subject, "")

    def ok_if_clean(self, text: str) -> None:
        """Say so where nothing else was found."""
        if not self.lines:
            self.ok(text)

    def _add(self, level: Level, text: str, subject: str, todo: str) -> None:
        self.lines.append(
            Diagnosis(check=self._check, level=level, text=text, subject=subject, todo=todo)
        )


def encode(found: Report) -> str:
    """The report as one JSON object, with every field."""
    lines = [msgspec.structs.asdict(line) for line in found.lines]
    return msgspec.json.encode({"version": found.version, "lines": lines}).decode()


CHECK_S: Final = 5.0
"""How long a check may take."""


class Patient(NamedTuple):
    """A fleet, its connections, and the clock by which it runs."""

    settings: Settings
    cluster: Client | ConfigError
    session: NatsSession
    clock: Clock

    @property
    def client(self) -> Client:
        """The cluster's API. Raises ConfigError where no configuration leads to one."""
        if isinstance(self.cluster, ConfigError):
            raise self.cluster
        return self.cluster

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The fleet's pools."""
        return self.settings.fleet.pools

    def namespaces(self) -> Iterator[tuple[str, list[Pool]]]:
        """Each namespace that has pools, with them."""
        for namespace in dict.fromkeys(pool.namespace for pool in self.pools):
            yield namespace, [pool for pool in self.pools if pool.namespace == namespace]
