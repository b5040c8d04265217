"""Dead letters that are given again, and what else may be in their place."""

from __future__ import annotations

import pytest

from agentdash.worker.attempts import DeadLetters
from agentdash.worker.session import TERMS_HEADER, StoreUnavailableError, UnreadableStoreError
from agentdash.worker.stores import DEAD_PREFIX, Results, ensure_worker_streams
from tests.integration.worker.conftest import Shop


async def test_a_letter_with_terms_that_cannot_be_read_keeps_its_result(shop: Shop) -> None:
    js = shop.link.jetstream
    letters, results = DeadLetters(js, "acme", "research"), Results(js, "acme", "research")
    async with shop.worker():
        broken = {TERMS_HEADER: '{"id": "terms", "timeout_s": -1}', "Nats-Msg-Id": "terms"}
        await js.publish("tasks.acme.research", b"{}", headers=broken)
        await shop.result("terms")
        await shop.all_acknowledged()
    letter = await letters.get("terms")
    assert letter is not None
    with pytest.raises(StoreUnavailableError, match=r"timeout_s.*agentdash submit"):
        await letters.retry(letter, results)
    assert await results.get("terms") is not None
    assert await letters.get("terms") is not None


@pytest.mark.parametrize("note", [None, "{", '{"id": "x"}'])
async def test_a_foreign_message_among_the_letters_is_named_and_skipped(
    shop: Shop, note: str | None
) -> None:
    js = shop.link.jetstream
    letters = DeadLetters(js, "acme", "research")
    await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
    headers = None if note is None else {"Agentdash-Dead": note}
    await js.publish(f"{DEAD_PREFIX}.acme.research.x", b"junk", headers=headers)
    async with shop.worker():
        await js.publish("tasks.acme.research", b"\xff", headers={"Nats-Msg-Id": "bytes"})
        await shop.result("bytes")
    found = await letters.list()
    assert [letter.note.id for letter in found.letters] == ["bytes"]
    [said] = found.foreign
    assert "message 1 of AGENTDASH_DEAD (agentdash.dead.acme.research.x) is no dead letter" in said
    assert "nats stream rmm AGENTDASH_DEAD 1" in said
    with pytest.raises(UnreadableStoreError):
        await letters.get("x")


async def test_a_list_that_is_not_all_says_so(shop: Shop) -> None:
    js = shop.link.jetstream
    async with shop.worker():
        for number in range(3):
            await js.publish(
                "tasks.acme.research", b"\xff", headers={"Nats-Msg-Id": f"bytes-{number}"}
            )
        await shop.all_acknowledged()
    letters = DeadLetters(js, "acme", "research")
    few, all_of_them = await letters.list(2), await letters.list(3)
    assert ([each.note.id for each in few.letters], few.has_more) == (["bytes-0", "bytes-1"], True)
    assert (len(all_of_them.letters), all_of_them.has_more) == (3, False)
