"""The rules by which workers lose no task, no token and no budget."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

_DELIVERY: Final = "agentdash/worker/delivery.py"
_SETTINGS: Final = "agentdash/worker/settings.py"

WORKER_RULES: Final = (
    Mutant(
        "a result is stored before its message is acknowledged",
        _DELIVERY,
        "                await self._keep(task, session, outcome, seconds)\n"
        "                await self._acknowledge()\n",
        "                await self._acknowledge()\n"
        "                await self._keep(task, session, outcome, seconds)\n",
        (
            "test_a_result_is_stored_before_its_message_is_acknowledged()",
            "test_a_message_whose_result_is_not_stored_stays_unacknowledged()",
        ),
    ),
    Mutant(
        "a delivery that a later one has overtaken stores no checkpoint",
        "agentdash/worker/stores.py",
        "            if _delivery(stored) > delivery:\n                return False\n",
        "",
        ("test_a_checkpoint_of_a_delivery_that_was_overtaken_is_refused()",),
    ),
    Mutant(
        "a task that is published once more has overtaken its first message",
        "agentdash/worker/stores.py",
        "            if _delivery(stored) > delivery:\n",
        "            if _delivery(stored).time > delivery.time:\n",
        ("test_a_checkpoint_of_a_delivery_that_was_overtaken_is_refused()",),
    ),
    Mutant(
        "a try that is cut reports what it used",
        _DELIVERY,
        "        await self._desk.usage.report(session, seconds, self.run)\n",
        "        if isinstance(outcome, Ended):\n"
        "            await self._desk.usage.report(session, seconds, self.run)\n",
        ("test_a_try_that_is_cut_reports_what_it_used()",),
    ),
    Mutant(
        "AGENTDASH_RATES is read",
        _SETTINGS,
        '        rates=given.read("AGENTDASH_RATES", _rates, otherwise={}),\n',
        "",
        ("test_models_and_their_rates_are_read()",),
    ),
    Mutant(
        "AGENTDASH_MODELS is read",
        _SETTINGS,
        '        models=given.read("AGENTDASH_MODELS", _models, otherwise=()),\n',
        "",
        ("test_models_and_their_rates_are_read()",),
    ),
    Mutant(
        "a worker tells JetStream that it works as often as its most impatient queue needs",
        "agentdash/worker/life.py",
        "min(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT",
        "max(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT",
        ("test_a_long_task_of_the_most_impatient_queue_is_kept_alive()",),
    ),
    Mutant(
        "a call that is cut while its cost is settled is settled all the same",
        "agentdash/worker/models.py",
        "await asyncio.shield(self._settle(reserved, amount, used))",
        "await self._settle(reserved, amount, used)",
        ("test_a_call_that_is_cut_while_its_cost_is_settled_is_settled_all_the_same()",),
    ),
    Mutant(
        "a further try is counted before it begins",
        _DELIVERY,
        "        await self._tries.begin()\n",
        "",
        ("test_a_further_try_is_counted_before_it_begins()",),
    ),
    Mutant(
        "a task whose workers died at each of its tries is a dead letter",
        _DELIVERY,
        "        if before.begun >= most:\n",
        "        if before.failed >= most:\n",
        ("test_a_task_whose_tries_are_used_up_by_workers_that_died_is_buried()",),
    ),
    Mutant(
        "a first delivery that is handed back was no try",
        "agentdash/worker/tries.py",
        "        self._is_counted = delivered == 1\n",
        "        self._is_counted = False\n",
        ("test_a_first_delivery_that_is_handed_back_was_no_try()",),
    ),
    Mutant(
        "nobody comes in while a task must be alone",
        "agentdash/worker/room.py",
        "        if self.is_kept:\n            yield False\n            return\n",
        "",
        ("test_one_that_must_be_alone_waits_and_nobody_comes_in_meanwhile()",),
    ),
    Mutant(
        "a task that must be alone waits for those at work",
        "agentdash/worker/room.py",
        "        if not self._inside:\n            return True\n",
        "        return True\n",
        ("test_one_that_must_be_alone_waits_and_nobody_comes_in_meanwhile()",),
    ),
)
