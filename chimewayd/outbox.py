"""A queue that is emptied in batches: what comes while one batch is under way is the next one.

That is group commit: under load batches grow by themselves, and an idle queue hands on each item
at once. No timer is involved.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Outbox(Generic[T]):
    """Items between two stages. Unbounded: whoever puts is bounded by the slots it holds."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._is_closed = False
        self._changed = anyio.Event()
        self._is_told = False
        """Whether `_changed` is set, without a call."""
        self.taken = 0
        """Batches handed out."""
        self.is_idle = False
        """Whoever takes waits for something to take."""

    def put(self, item: T) -> None:
        self._items.append(item)
        if not self._is_told:
            self._tell()

    def put_all(self, items: Iterable[T]) -> None:
        self._items.extend(items)
        if self._items and not self._is_told:
            self._tell()

    def close(self) -> None:
        """Nothing will be put any more: `take` hands out the rest, then nothing."""
        self._is_closed = True
        self._tell()

    async def take(self, at_most: int) -> list[T]:
        """Wait for items and take them in order; an empty list means the outbox is closed."""
        while not self._items and not self._is_closed:
            self.is_idle = True
            await self._until_changed()
        self.is_idle = False
        return self._hand_out(at_most)

    def take_now(self, at_most: int) -> list[T]:
        """Take what is there, in order; an empty list means that nothing is."""
        return self._hand_out(at_most) if self._items else []

    async def take_beside(self, count: int) -> list[T]:
        """Wait until so many are left over by who takes, and take these; empty: it is closed."""
        while len(self._items) < count:
            if self._is_closed:
                return []
            await self._until_changed()
        return self._hand_out(count)

    async def _until_changed(self) -> None:
        if self._is_told:
            self._changed, self._is_told = anyio.Event(), False
        await self._changed.wait()

    def _tell(self) -> None:
        self._is_told = True
        self._changed.set()

    def _hand_out(self, at_most: int) -> list[T]:
        self.taken += 1
        batch = self._items[:at_most]
        del self._items[:at_most]
        return batch
