"""Group commit: what waits together travels together, in order, and nobody pays for another's bad request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from ticketflow.db.batching import SLOW_CALL_SECONDS, Batcher, BatchLimits
from ticketflow.domain.errors import Poison, StoreUnavailable


@dataclass
class Store:
    """Answers each request with its upper case, one batch at a time when told; remembers what it was sent."""

    batches: list[list[str]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    poison: frozenset[str] = frozenset()
    held: bool = False
    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    under_way: int = 0
    most_under_way: int = 0

    async def send(self, requests: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(requests))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.entered.release()
        try:
            if self.held:
                await self.free.acquire()
            if self.failures:
                raise self.failures.pop(0)
            if found := self.poison & set(requests):
                raise Poison(f"refused {sorted(found)}")
            return [request.upper() for request in requests]
        finally:
            self.under_way -= 1

    async def busy(self, calls: int = 1) -> None:
        """Wait until so many more calls have arrived."""
        for _ in range(calls):
            async with asyncio.timeout(5):
                await self.entered.acquire()


def batcher(store: Store, *, size: int = 256, parallel: int = 2, patience: float = 0) -> Batcher[str, str]:
    """Requests with the same first letter have the same key."""
    return Batcher(store.send, lambda request: request[0], BatchLimits(size, parallel, patience))


@asynccontextmanager
async def submitted(batches: Batcher[str, str], *requests: str) -> AsyncIterator[list[asyncio.Task[str]]]:
    tasks = [asyncio.create_task(batches.submit(request)) for request in requests]
    yield tasks
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_alone_a_request_leaves_at_once_and_by_itself() -> None:
    store = Store()
    batches = batcher(store, patience=60)
    assert [await batches.submit(name) for name in ("a", "b", "c")] == ["A", "B", "C"]
    assert store.batches == [["a"], ["b"], ["c"]]


async def test_whoever_is_ready_in_the_same_turn_travels_together() -> None:
    store = Store()
    answers = await asyncio.gather(*map(batcher(store).submit, "abcdef"))
    assert answers == list("ABCDEF")
    assert store.batches == [list("abcdef")]


async def test_what_comes_while_calls_are_under_way_gathers_into_one() -> None:
    store = Store(held=True)
    batches = batcher(store, parallel=1)
    async with submitted(batches, "a"):
        await store.busy()
        async with submitted(batches, *"bcdefgh") as later:
            await asyncio.sleep(0)
            store.held = False
            store.free.release()
            assert await asyncio.gather(*later) == list("BCDEFGH")
    assert store.batches == [["a"], list("bcdefgh")]


async def test_a_further_call_leaves_once_as_many_wait_as_travel_already() -> None:
    store = Store(held=True)
    batches = batcher(store)
    async with submitted(batches, *"abcd") as first:
        await store.busy()
        async with submitted(batches, *"efg") as later, submitted(batches, "h") as last:
            await store.busy()
            store.held = False
            for _ in range(2):
                store.free.release()
            await asyncio.gather(*first, *later, *last)
    assert store.batches == [list("abcd"), list("efgh")]


async def test_behind_a_slow_call_nobody_waits_who_could_leave() -> None:
    store = Store(held=True)
    batches = batcher(store)
    async with submitted(batches, *"abcd"):
        await store.busy()
        async with submitted(batches, "e"):
            # The first one has not come back, and does not.
            await store.busy()
            assert store.batches == [list("abcd"), ["e"]]
            store.held = False
            for _ in range(2):
                store.free.release()


async def test_nor_does_anybody_who_comes_later() -> None:
    store = Store(held=True)
    batches = batcher(store)
    async with submitted(batches, *"abcd"):
        await store.busy()
        await asyncio.sleep(2 * SLOW_CALL_SECONDS)  # Nobody waits yet when the call turns out to be slow.
        async with submitted(batches, "e"):
            await store.busy()
            async with submitted(batches, "f"):
                await asyncio.sleep(0)
                assert store.batches == [list("abcd"), ["e"]]
                store.held = False
                for _ in range(2):
                    store.free.release()


async def test_what_an_answer_sets_in_motion_leaves_together() -> None:
    store = Store()
    batches = batcher(store)

    async def two_steps(name: str, turns: int) -> None:
        await batches.submit(f"{name}1")
        for _ in range(turns):
            await asyncio.sleep(0)
        await batches.submit(f"{name}2")

    await asyncio.gather(*(two_steps(name, turns) for turns, name in enumerate("abcdef")))
    assert store.batches == [[f"{name}{step}" for name in "abcdef"] for step in (1, 2)]


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    store = Store(held=True)
    batches = batcher(store, size=1, parallel=3)
    async with submitted(batches, *"abcdefghij") as tasks:
        await store.busy(3)
        for _ in tasks:
            store.free.release()
        assert await asyncio.gather(*tasks) == list("ABCDEFGHIJ")
    assert store.most_under_way == 3
    assert len(store.batches) == 10


async def test_a_batch_is_no_larger_than_allowed() -> None:
    store = Store()
    await asyncio.gather(*map(batcher(store, size=4, parallel=1).submit, "abcdefghij"))
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


@pytest.mark.parametrize("size", [1, 2, 256])
async def test_requests_of_one_key_never_travel_together_and_keep_their_order(size: int) -> None:
    store = Store()
    names = ["a1", "a2", "b1", "a3", "b2", "c1"]
    answers = await asyncio.gather(*map(batcher(store, size=size).submit, names))
    assert answers == [name.upper() for name in names]
    assert all(len({name[0] for name in batch}) == len(batch) for batch in store.batches)
    sent = [name for batch in store.batches for name in batch]
    for key in "abc":
        assert [name for name in sent if name[0] == key] == [name for name in names if name[0] == key]


async def test_a_request_waits_for_the_call_that_has_its_key_and_others_do_not() -> None:
    store = Store(held=True)
    batches = batcher(store, parallel=2)
    async with submitted(batches, "a1"):
        await store.busy()
        async with submitted(batches, "a2", "b1", "a3"):
            await store.busy()
            assert store.batches == [["a1"], ["b1"]]
            store.held = False
            store.free.release()
            store.free.release()
    assert store.batches == [["a1"], ["b1"], ["a2"], ["a3"]]


async def test_poison_fails_alone() -> None:
    store = Store(poison=frozenset("c"))
    answers = await asyncio.gather(*map(batcher(store).submit, "abcde"), return_exceptions=True)
    assert isinstance(answers[2], Poison)
    assert answers[:2] + answers[3:] == ["A", "B", "D", "E"]
    assert store.batches[0] == list("abcde")
    assert store.batches[1:] == [["a", "b"], ["c", "d", "e"], ["c"], ["d", "e"]]


async def test_a_store_that_is_away_for_a_moment_is_waited_for() -> None:
    store = Store(failures=[StoreUnavailable("away"), StoreUnavailable("away")])
    answers = await asyncio.gather(*map(batcher(store, patience=30).submit, "ab"))
    assert answers == ["A", "B"]
    assert store.batches == [["a", "b"]] * 3


async def test_when_patience_ends_everyone_who_waits_is_told() -> None:
    store = Store(failures=[StoreUnavailable("away")] * 2)
    batches = batcher(store, patience=0)
    answers = await asyncio.gather(*map(batches.submit, "ab"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["away", "away"]
    store.failures.clear()
    assert await batches.submit("a") == "A"


async def test_any_other_error_reaches_those_of_the_batch_and_ends_nothing() -> None:
    store = Store(failures=[ZeroDivisionError("a bug")])
    batches = batcher(store)
    answers = await asyncio.gather(*map(batches.submit, "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 2
    assert store.batches == [["a", "b"]]
    assert await batches.submit("a") == "A"


async def test_too_few_answers_leave_nobody_waiting() -> None:
    async def send(requests: Sequence[str]) -> Sequence[str]:
        return requests[1:]

    batches: Batcher[str, str] = Batcher(send, lambda request: request, BatchLimits())
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*map(batches.submit, "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 2


async def test_a_caller_who_left_disturbs_nobody() -> None:
    store = Store(held=True)
    batches = batcher(store, parallel=1)
    async with submitted(batches, "a"):
        await store.busy()
        async with submitted(batches, "b", "c") as (leaves, stays):
            await asyncio.sleep(0)
            leaves.cancel()
            store.held = False
            store.free.release()
            assert await stays == "C"
            with pytest.raises(asyncio.CancelledError):
                await leaves


async def test_closing_waits_until_everything_was_answered() -> None:
    store = Store(held=True)
    batches = batcher(store, size=1, parallel=1)
    async with submitted(batches, *"abc") as tasks:
        await store.busy()
        closing = asyncio.create_task(batches.aclose())
        for _ in tasks:
            store.free.release()
        await closing
        assert [task.done() or task.cancel() for task in tasks] == [True] * 3


async def test_the_size_of_every_batch_is_observed() -> None:
    store, sizes = Store(), list[int]()
    batches: Batcher[str, str] = Batcher(store.send, lambda request: request, BatchLimits(size=2), sizes.append)
    await asyncio.gather(*map(batches.submit, "abc"))
    assert sorted(sizes) == [1, 2]
