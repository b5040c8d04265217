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
        "a step of the clock makes no worker one that says nothing any longer",
        "nats/worker_states.py",
        "self._steady: Callable[[], float] = clock.monotonic",
        "self._steady: Callable[[], float] = clock.now",
        ("test_a_clock_that_is_set_ahead_makes_nobody_silent()",),
    ),
    Mutant(
        "who was told and is being deleted stays told",
        "planning/step/crew.py",
        "frozenset(deleted).intersection(workers.orders.drain)",
        "frozenset()",
        (
            "test_who_was_told_and_is_being_deleted_is_not_called_back()",
            "test_who_is_being_deleted_already_stays_told()",
        ),
    ),
    Mutant(
        "a milestone of a queue is saved though nothing else changes",
        "engine/keep.py",
        "        if self._milestones != self._saved_milestones:\n            return True\n",
        "",
        ("test_a_milestone_of_a_queue_is_saved_though_nothing_else_changes()",),
    ),
    Mutant(
        "a milestone of a queue is saved soon",
        "engine/keep.py",
        "SAVE_MILESTONES_EVERY_S if is_milestone else SAVE_EVERY_S",
        "SAVE_EVERY_S",
        ("test_a_milestone_of_a_queue_is_saved_though_nothing_else_changes()",),
    ),
    Mutant(
        "work after none is a milestone of a queue",
        "nats/queues.py",
        " or (found.depth.total and not had_work)",
        "",
        ("test_what_the_next_process_must_know_of_a_queue_is_counted()",),
    ),
    Mutant(
        "a past that was not read yet is not replaced",
        "engine/past.py",
        "        if self._is_unread:\n            if self._loading",
        "        if False:\n            if self._loading",
        (
            "test_a_past_that_cannot_be_read_is_not_replaced_by_a_younger_one()",
            "test_a_past_that_is_read_late_is_gone_on_from_and_saved_with_what_came_after()",
        ),
    ),
    Mutant(
        "a new leader reads what the last one has saved before it saves",
        "engine/past.py",
        "self._snapshots, self._is_unread = snapshots, True",
        "self._snapshots = snapshots",
        ("test_a_new_leader_saves_nothing_before_it_has_read_what_the_last_one_left()",),
    ),
    Mutant(
        "what another process has saved is read before it is replaced",
        "engine/past.py",
        "self._is_unread or isinstance(error, StoreConflictError)",
        "self._is_unread",
        ("test_what_another_process_has_saved_meanwhile_is_read_before_it_is_replaced()",),
    ),
)
