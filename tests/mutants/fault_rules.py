"""The rules that keep what one process has seen for the next one, and that judge what it sees."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

FAULT_RULES: Final = (
    Mutant(
        "a queue's history is compared with what an earlier process has seen",
        "nats/queues.py",
        "hold = held(answer_of(mark), hold, found, window_s=window_s, now=now)",
        "pass",
        ("test_each_further_process_holds_until_a_window_has_passed_in_one()",),
    ),
    Mutant(
        "while a queue's history is held, the answer before is what is left to the next process",
        "nats/queues.py",
        "mark_of(queue, last.answer if last.hold is None else last.hold.before)",
        "mark_of(queue, last.answer)",
        ("test_each_further_process_holds_until_a_window_has_passed_in_one()",),
    ),
    Mutant(
        "what an earlier process has left stays until the queue could be read",
        "nats/queues.py",
        "        if left is not None:\n            return left\n",
        "",
        ("test_what_was_left_stays_until_the_queue_can_be_read()",),
    ),
    Mutant(
        "where queues stand is saved with the memory",
        "engine/keep.py",
        "await self._memories.save(self._to_save(memory), self._clock.now())",
        "await self._memories.save(self._standings.in_memory(memory), self._clock.now())",
        ("test_where_a_queue_stands_in_its_history_is_saved_and_left_to_the_next_process()",),
    ),
    Mutant(
        "where queues stood is handed over with the memory",
        "engine/keep.py",
        "            self._histories.go_on_from(marks)\n",
        "            del marks\n",
        (
            "test_where_a_queue_stands_in_its_history_is_saved_and_left_to_the_next_process()",
            "test_a_memory_that_is_read_late_hands_over_where_queues_stood()",
        ),
    ),
    Mutant(
        "a queue that is another one is saved though nothing else changes",
        "engine/keep.py",
        "        if self._renewals != self._saved_renewals:\n            return True\n",
        "",
        ("test_a_queue_that_is_another_one_is_saved_though_nothing_else_changes()",),
    ),
)
