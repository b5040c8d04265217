"""How a process's role is shown in the header and explained on the help page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from controller.model.snapshot import Role


class RoleLabel(NamedTuple):
    """`access` is RW (reads and writes) or RO (only reads), `help` fits one entry of the help."""

    access: str
    word: str
    help: str


ROLE_LABELS: Final[Mapping[Role, RoleLabel]] = {
    Role.ACTIVE: RoleLabel("RW", "ACTIVE", "writes; no lease is held"),
    Role.LEADER: RoleLabel("RW", "LEADER", "writes; holds the lease"),
    Role.FOLLOWER: RoleLabel("RO", "FOLLOWER", "waits for the lease"),
    Role.READ_ONLY: RoleLabel("RO", "READ-ONLY", "plans, but never writes"),
}
