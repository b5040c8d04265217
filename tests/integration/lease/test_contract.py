"""What every lease does, wherever it is stored. A new kind is one more `place`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from controller.model.settings import RELEASED_DURATION_S, LeaseRecord
from controller.ports import StoreAwayError, StoreConflictError

NOW = 1_700_000_000.25
RECORD = LeaseRecord(holder="one/1_ab", duration_s=15.0, acquired_at=NOW, renewed_at=NOW)


async def test_there_is_none_before_the_first_write(place: Any) -> None:
    assert await place.lease.read() is None


async def test_what_is_written_is_read_by_all(place: Any) -> None:
    written = await place.lease.write(RECORD, replaces=None)
    assert (written.holder, written.duration_s, written.transitions) == ("one/1_ab", 15.0, 0)
    assert await place.lease.read() == written
    assert await place.other.read() == written


async def test_only_one_of_two_creates_it(place: Any) -> None:
    both = await asyncio.gather(
        place.lease.write(RECORD, replaces=None),
        place.other.write(replace(RECORD, holder="two"), replaces=None),
        return_exceptions=True,
    )
    [failed] = [each for each in both if isinstance(each, BaseException)]
    assert isinstance(failed, StoreConflictError)
    assert await place.lease.read() in both


async def test_a_write_over_what_another_has_written_is_refused(place: Any) -> None:
    first = await place.lease.write(RECORD, replaces=None)
    second = await place.other.write(
        replace(RECORD, holder="two", transitions=1), replaces=await place.other.read()
    )
    with pytest.raises(StoreConflictError, match="changed by another process"):
        await place.lease.write(replace(RECORD, renewed_at=NOW + 2.0), replaces=first)
    assert await place.lease.read() == second


async def test_a_renewal_is_a_change_and_a_second_look_is_none(place: Any) -> None:
    first = await place.lease.write(RECORD, replaces=None)
    assert (await place.other.read()).is_same_as(first)
    await place.lease.write(replace(RECORD, renewed_at=NOW + 2.0), replaces=first)
    assert not (await place.other.read()).is_same_as(first)


async def test_a_holder_that_gives_it_back_is_seen_as_such(place: Any) -> None:
    first = await place.lease.write(RECORD, replaces=None)
    given_back = replace(RECORD, holder="", duration_s=RELEASED_DURATION_S)
    await place.lease.write(given_back, replaces=first)
    found = await place.other.read()
    assert found.is_released
    await place.other.write(replace(RECORD, holder="two"), replaces=found)


async def test_once_deleted_a_renewal_fails_and_it_can_be_made_again(place: Any) -> None:
    first = await place.lease.write(RECORD, replaces=None)
    await place.delete()
    with pytest.raises(StoreConflictError):
        await place.lease.write(RECORD, replaces=first)
    found = await place.lease.read()
    assert found is None or not found.holder
    again = await place.lease.write(RECORD, replaces=found)
    assert await place.other.read() == again


@pytest.mark.parametrize("damage", ["empty", "junk"])
async def test_a_damaged_one_has_no_holder_and_can_be_replaced(place: Any, damage: str) -> None:
    await place.lease.write(RECORD, replaces=None)
    await getattr(place, damage)()
    found = await place.lease.read()
    assert (found.holder, found.is_released) == ("", False)
    again = await place.lease.write(RECORD, replaces=found)
    assert await place.other.read() == again


async def test_a_store_that_is_away_is_an_error_in_words(place: Any) -> None:
    first = await place.lease.write(RECORD, replaces=None)
    back = await place.go_away()
    with pytest.raises(StoreAwayError, match=r"[lL]ease") as failed:
        await place.lease.read()
    assert str(failed.value).isprintable()
    with pytest.raises(StoreAwayError):
        await place.lease.write(RECORD, replaces=first)
    await back()


async def test_another_process_notices_a_change_without_asking(
    place: Any, watched: asyncio.Event
) -> None:
    last = None
    async with asyncio.timeout(10.0):
        while not watched.is_set():  # the watch may begin after the first writes
            renewed_at = NOW if last is None else NOW + float(asyncio.get_running_loop().time())
            last = await place.lease.write(replace(RECORD, renewed_at=renewed_at), replaces=last)
            await asyncio.sleep(0.05)


async def test_a_hostile_holder_is_cleaned(place: Any) -> None:
    await place.lease.write(replace(RECORD, holder="a\x1b[31mb"), replaces=None)
    found = await place.other.read()
    assert found.holder == "a\N{REPLACEMENT CHARACTER}[31mb"
