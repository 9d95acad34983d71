"""Work of the host beside that of a GPU: what one thread does while another keeps the device busy."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Beside:
    """Does one piece of work after the other, in a thread or, where there is nothing to overlap, when it is asked for.

    Parameters
    ----------
    is_on : bool
        Whether there is a thread.
    """

    def __init__(self, is_on: bool) -> None:
        self._thread = ThreadPoolExecutor(1, "embedseg-beside") if is_on else None
        self._begun: deque[tuple[Callable[[], Any], Callable[[Any], Any]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.clear()
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def start(self, work: Callable[[], Any], then: Callable[[Any], Any]) -> None:
        """Begin a piece of work; `then` makes of its outcome, in the thread that asks for it, what is handed out."""
        if self._thread is not None:
            future: Future[Any] = self._thread.submit(work)
            work = future.result
        self._begun.append((work, then))

    def results(self) -> Iterator[Any]:
        """Hand out what became of the work begun so far, in order."""
        while self._begun:
            work, then = self._begun.popleft()
            yield then(work())
