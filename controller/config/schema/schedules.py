"""Schedules: windows of the tenant's week in which a pool has another min and max."""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from controller.config.schema.section import Replicas, Section, bounds_in_order
from controller.config.weekdays import Days, FromTime, UntilTime


class ScheduleEntry(Section):
    """One window, in the tenant's time zone."""

    looks_like = '{days: mon-fri, from: "08:00", to: "18:00", min: 2}'
    not_yet = frozenset({"cron", "for"})

    days: Days = Field(description='Days it opens on: mon-fri, "sat,sun" or [mon, wed].')
    from_minute: FromTime = Field(alias="from", description='When it opens, such as "08:00".')
    until_minute: UntilTime = Field(
        alias="to",
        description='When it closes, up to "24:00"; not after from: on the following day.',
    )
    min: Replicas | None = Field(
        default=None, description="The pool's min while it is open. Default: the pool's own."
    )
    max: Replicas | None = Field(
        default=None, description="The pool's max while it is open. Default: the pool's own."
    )

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        return bounds_in_order(most, info.data.get("min"))

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("sets nothing: give min, max or both")
        return self
