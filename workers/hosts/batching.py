"""Batches of work that several threads request at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Load(Generic[T, R]):
    """The request of one thread."""

    __slots__ = ("answer", "done", "error", "item", "leads")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = threading.Event()
        self.leads = False
        self.answer: R | None = None
        self.error: BaseException | None = None


class Batcher(Generic[T, R]):
    """Carries items in loads: what comes while a load is under way goes with the next.

    Nothing waits for others to come: a single item is carried at once. One of the threads whose
    items wait carries them, so there is no thread of its own.

    Args:
        carry: carries several items at once and gives the answer for each, in their order; what
            it raises is raised for each of them.
        most: the largest load.
    """

    def __init__(self, carry: Callable[[Sequence[T]], Sequence[R]], most: int) -> None:
        self._carry, self._most = carry, most
        self._lock = threading.Lock()
        self._waiting: deque[_Load[T, R]] = deque()
        self._under_way = False

    def send(self, item: T, patience: Callable[[], float | None] = lambda: None) -> R:
        """Have an item carried, and return its answer.

        Args:
            item: what to carry.
            patience: tells how many seconds to wait before it is asked again, None for as long
                as it takes; raises to give up. The item may then be carried all the same.
        """
        load: _Load[T, R] = _Load(item)
        with self._lock:
            self._waiting.append(load)
            if not self._under_way:
                self._under_way = load.leads = True
                load.done.set()
        try:
            while not load.done.wait(patience()):
                pass
        except BaseException:
            if self._withdraw(load):
                self._hand_over()
            raise
        if load.leads:
            self._lead(load)
        if load.error is not None:
            raise load.error
        return load.answer  # type: ignore[return-value]  # there is one where there is no error

    def _lead(self, own: _Load[T, R]) -> None:
        """Carry a load with our own item in it."""
        with self._lock:
            loads = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            answers = self._carry([load.item for load in loads])
            for load, answer in zip(loads, answers, strict=True):
                load.answer = answer
        except BaseException as error:
            for load in loads:
                load.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for load in loads:
                if load is not own:
                    load.done.set()
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the first of those that wait lead."""
        with self._lock:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].done.set()
            else:
                self._under_way = False

    def _withdraw(self, load: _Load[T, R]) -> bool:
        """Take an item back that is not under way; True if it was to lead."""
        with self._lock:
            if load in self._waiting:
                self._waiting.remove(load)
            return load.leads and load.answer is None and load.error is None
