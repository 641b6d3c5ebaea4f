"""Make blocking calls in threads, a bounded number of them, that nobody has to wait for.

    run ──▶ a place ──▶ a thread of its own ──▶ result
              ▲              │ whoever waits may leave: the thread goes on and keeps its place
              └── free again ┘

A blocking call cannot be ended from outside. So a thread that nobody waits for any more still
counts, and it is a daemon thread: it does not hold up the end of the process.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


class BoundedThreads:
    """So many threads at one time, those included that were left to themselves."""

    def __init__(self, limit: int, name: str) -> None:
        self._places = asyncio.Semaphore(limit)
        self._name = name

    async def run(self, call: Callable[[], Result], on_start: Callable[[], None]) -> Result:
        """Return what `call` returns, raise what it raises; `on_start` tells that it begins.

        Raises:
            RuntimeError: no thread could be started.
        """
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        done: Future[Result] = Future()
        done.set_running_or_notify_cancel()  # from now on nobody can cancel it

        def work() -> None:
            try:
                done.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                done.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed: nobody needs the place any more
                loop.call_soon_threadsafe(self._places.release)

        try:
            Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError:
            self._places.release()
            raise
        on_start()
        return await asyncio.wrap_future(done)
