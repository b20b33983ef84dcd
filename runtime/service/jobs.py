"""Work that was asked for, and what is known of it while it waits, runs and is done."""

import asyncio
import contextlib
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from styleclip_rt.runtime.service import schemas
from styleclip_rt.runtime.service.logs import request_id
from styleclip_rt.runtime.service.problems import Problem, problem_of


class CancelledError(Exception):
    """A job that nobody waits for any more; raised where it runs."""


class Job:
    """One piece of work for the queue.

    Args:
        kind: of work; see `queue.Kind`.
        request: what the function of that kind needs.
        owner: whose it is: of an API key.
        weight: how much work, in a unit of the kind: the optimiser's steps.
        deadline: of `time.monotonic`, after which the answer is of no use.

    Attributes:
        id: 32 hexadecimal digits that nobody can guess; request_id: of who asked for it.
        future: of the result.
        step, steps: how far it is; draft: a JPEG of how it looks.
        note: what is doubtful about it, in one sentence.
        result: id of what it makes.
        watchers: called, in any thread, whenever something of it has changed.
    """

    def __init__(
        self,
        kind: str,
        request: Any,
        owner: str = "",
        weight: float = 1,
        deadline: float | None = None,
    ) -> None:
        self.id = secrets.token_hex(16)
        self.request_id = request_id.get()
        self.kind, self.request, self.owner = kind, request, owner
        self.weight, self.deadline = weight, deadline
        self.state: schemas.State = "queued"
        self.future: Future[Any] = Future()
        self.step = self.steps = 0
        self.draft: bytes | None = None
        self.note: str | None = None
        self.result = self.id
        self.enqueued = self.ended = 0.0
        self.rank = 0.0
        self.cancelled = threading.Event()
        self.watchers: set[Callable[[], None]] = set()

    @property
    def over(self) -> bool:
        """Whether it is done, has failed or was cancelled."""
        return self.future.done()

    @property
    def detail(self) -> str | None:
        """Why it failed."""
        error = self.future.exception() if self.over else None
        return str(error.detail) if isinstance(error, Problem) else None

    def told(self, step: int, steps: int, draft: bytes | None = None) -> None:
        """How far it is."""
        self.step, self.steps = step, steps
        self.draft = draft or self.draft
        self._changed()

    def started(self) -> None:
        """It runs."""
        self.state = "running"
        self._changed()

    def done(self, result: Any) -> None:
        """It has its result."""
        self._end("done")
        self.future.set_result(result)
        self._changed()

    def failed(self, error: BaseException) -> None:
        """It has no result, and why; a job that was cancelled is of no interest."""
        gone = isinstance(error, CancelledError)
        self._end("cancelled" if gone else "failed")
        problem = Problem(410, "this job was cancelled.") if gone else problem_of(error)
        self.future.set_exception(problem)
        self._changed()

    def _end(self, state: schemas.State) -> None:
        self.state, self.ended = state, time.monotonic()
        self.draft = self.request = None

    def _changed(self) -> None:
        for watcher in list(self.watchers):
            watcher()


async def changes(job: Job) -> AsyncIterator[None]:
    """Yields now, and after a job has changed; several changes may be one. Ends when it is over."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def watcher() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(event.set)

    job.watchers.add(watcher)
    try:
        while not job.over:
            event.clear()
            yield
            await event.wait()
    finally:
        job.watchers.discard(watcher)


class Key(NamedTuple):
    """An idempotency key, whose it is, and for what; None if a request has none."""

    owner: str
    key: str | None
    said: str

    @property
    def digest(self) -> str:
        """Of the request."""
        return hashlib.sha256(self.said.encode()).hexdigest()


class JobBook:
    """The jobs that can be asked for by their id, and those that were given an idempotency key.

    Args:
        most: jobs that are remembered; those that ended longest ago are forgotten first.
        seconds: after its end that a job is remembered.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._keys: dict[tuple[str, str | None], tuple[str, Job]] = {}

    def add(self, job: Job) -> None:
        """Remember a job."""
        self._forget()
        self._jobs[job.id] = job

    def find(self, id: str, owner: str) -> Job:
        """A job of that owner.

        Raises:
            Problem: there is none, or it was forgotten.
        """
        if (job := self.get(id, owner)) is None:
            raise Problem(404, "there is no such job, or it was done too long ago.")
        return job

    def get(self, id: str, owner: str) -> Job | None:
        """The same, or None."""
        self._forget()
        job = self._jobs.get(id)
        return job if job is not None and job.owner == owner else None

    def same(self, key: Key) -> Job | None:
        """The job that was asked for under an idempotency key before.

        Raises:
            Problem: another one was.
        """
        self._forget()
        before, job = self._keys.get((key.owner, key.key), ("", None))
        if job is None:
            return None
        if before != key.digest:
            raise Problem(422, "this Idempotency-Key was used for another request: take a new one.")
        # What was refused, or failed by itself, may be tried again.
        return None if job.over and job.state != "done" else job

    def keep(self, key: Key, job: Job) -> None:
        """Remember which job an idempotency key is for."""
        if key.key is not None:
            self._keys[key.owner, key.key] = (key.digest, job)

    def _forget(self) -> None:
        too_old = time.monotonic() - self._seconds
        over = [job for job in self._jobs.values() if job.over]
        surplus = len(self._jobs) - self._most
        for i, job in enumerate(over):
            if job.ended < too_old or i < surplus:
                del self._jobs[job.id]
        for key, (_, job) in list(self._keys.items()):
            if job.id not in self._jobs and job.over:
                del self._keys[key]
