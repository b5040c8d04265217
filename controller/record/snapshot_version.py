"""The version of snapshots, on their way between processes and in journals.

OtherVersionError    a snapshot that this version cannot read; the text names both versions

A reader takes every minor version of its major one: of a newer one it leaves out the fields that it
does not know, of an older one the missing fields have their defaults. So the minor version goes up
with every new field that has a default and every new word of an enum, the major one with every
other change. A newer snapshot with a word that is not known cannot be read, and is named.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class SnapshotVersion(NamedTuple):
    """Each part is from 0 to 65,535."""

    major: int
    minor: int

    def __str__(self) -> str:
        """`4.2`."""
        return f"{self.major}.{self.minor}"

    @property
    def is_readable(self) -> bool:
        """Whether this version can read it, as far as the number says."""
        return self.major == SNAPSHOT_VERSION.major

    @property
    def is_newer(self) -> bool:
        """Whether it may have fields that this version does not know."""
        return self > SNAPSHOT_VERSION


SNAPSHOT_VERSION: Final = SnapshotVersion(1, 2)


class OtherVersionError(Exception):
    """A snapshot of another version, which this one cannot read."""


def words_for_controller(theirs: SnapshotVersion) -> str:
    """Why a controller's snapshots cannot be shown, and what to do."""
    todo = "update this agentdash" if theirs > SNAPSHOT_VERSION else "update the controller"
    return (
        f"this controller speaks snapshot version {theirs}, this dashboard {SNAPSHOT_VERSION}:"
        f" {todo}"
    )


def words_for_journal(theirs: SnapshotVersion) -> str:
    """Why a journal's snapshots cannot be shown, and what to do."""
    todo = "update agentdash" if theirs > SNAPSHOT_VERSION else "an older agentdash reads it"
    return f"is of snapshot version {theirs}, this agentdash reads {SNAPSHOT_VERSION}: {todo}"
