"""Schedules: windows of the tenant's local time in which a pool has another min and max."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from controller.config.scalars import WindowLength
from controller.config.schema.section import Replicas, Section, bounds_in_order
from controller.config.weekdays import Days, FromTime, UntilTime
from controller.model.schedule import CronWindow, WeeklyWindow
from controller.notation.cron import read_cron

_TWO_WAYS: Final = "a window is days, from and to, or cron and for"


def _cron(text: str) -> str:
    return read_cron(text).text


class ScheduleEntry(Section):
    """One window, in the tenant's time zone: days of the week, or a cron expression."""

    looks_like = '{days: mon-fri, from: "08:00", to: "18:00", min: 2}'

    days: Days | None = Field(
        default=None, description='Days it opens on: mon-fri, "sat,sun" or [mon, wed].'
    )
    from_minute: FromTime | None = Field(
        default=None, alias="from", description='When it opens, such as "08:00".'
    )
    until_minute: UntilTime | None = Field(
        default=None,
        alias="to",
        description='When it closes, up to "24:00". Not after from means on the following day.',
    )
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None,
        description="Instead of days, from and to: when it opens, as the five fields of cron, "
        'minute hour day-of-month month day-of-week, such as "0 18 * * 5".',
    )
    for_s: WindowLength | None = Field(
        default=None, alias="for", description="How long it stays open: a duration."
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
    def _is_one_window(self) -> Self:
        weekly = {"days": self.days, "from": self.from_minute, "to": self.until_minute}
        by_cron = {"cron": self.cron, "for": self.for_s}
        given = [key for key, value in (weekly | by_cron).items() if value is not None]
        keys = by_cron if "cron" in given or "for" in given else weekly
        if others := [key for key in given if key not in keys]:
            raise ValueError(
                f"has {' and '.join(given)}; take {' and '.join(others)} out: {_TWO_WAYS}"
            )
        if missing := [key for key in keys if key not in given]:
            raise ValueError(f"needs {' and '.join(missing)}: {_TWO_WAYS}")
        if self.min is None and self.max is None:
            raise ValueError("sets nothing: give min, max or both")
        return self

    @property
    def window(self) -> WeeklyWindow | CronWindow:
        """The window itself."""
        if self.cron is not None and self.for_s is not None:
            return CronWindow(cron=self.cron, for_s=self.for_s)
        if self.days is None or self.from_minute is None or self.until_minute is None:
            raise AssertionError("a checked schedule has a window")
        return WeeklyWindow(
            days=self.days, from_minute=self.from_minute, until_minute=self.until_minute
        )
