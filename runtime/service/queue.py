"""One thread that does all the work, and the bounded queue before it.

Memory is that of one piece of work, whatever arrives. Between two steps of long work (the
optimiser's, an inversion's) the quick edits that wait have their turn, in the same thread; so they
wait for a step and not for an edit.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from styleclip_rt.runtime.service.jobs import CancelledError, Job
from styleclip_rt.runtime.service.logs import request_id
from styleclip_rt.runtime.service.metrics import Metrics
from styleclip_rt.runtime.service.problems import Problem

TURNS = 4
"""Batches of quick edits between two steps of a long one, so that it ends in any case."""
FINISHING = 2
"""Results that may wait to be encoded; then the next one is not drawn."""


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes:
        run: what is done, to the jobs of a batch: their results, or what went wrong.
        finish: a job and its result -> what its future gives; in a thread of its own.
        seconds: that a unit of it is guessed to take, until it was measured.
        behind: seconds for which jobs that are not put behind may go before it.
        together: jobs of a batch.
        long: whether it lets quick work pass between its steps.
    """

    run: Callable[[Sequence[Job]], Sequence[Any]]
    finish: Callable[[Job, Any], Any]
    seconds: float
    behind: float = 0.0
    together: int = 1
    long: bool = False


class Queue:
    """See the module.

    Args:
        quick, long: jobs that may wait.
        metrics: that are told of it.
    """

    def __init__(self, quick: int, long: int, metrics: Metrics) -> None:
        self._limits = {False: quick, True: long}
        self._metrics = metrics
        self._kinds: Mapping[str, Kind] = {}
        self._seconds: dict[str, float] = {}
        self._stretch: dict[str, float] = {}
        self._waiting: list[Job] = []
        self._running: list[tuple[Job, float]] = []
        self._nested = 0.0
        self._turn = threading.Condition()
        self._worker: threading.Thread | None = None
        self._finisher = ThreadPoolExecutor(1, "finish")
        self._finishing = threading.Semaphore(FINISHING)
        self._unfinished = 0
        self.draining = False

    def serve(self, kinds: Mapping[str, Kind]) -> None:
        """Say what work there is."""
        self._kinds = kinds
        self._seconds = {name: kind.seconds for name, kind in kinds.items()}
        self._stretch = dict.fromkeys(kinds, 1.0)

    def submit(self, job: Job) -> None:
        """Have a job done, if it can be by its deadline.

        Raises:
            Problem: it cannot be, too many wait, or the service is about to end.
        """
        with self._turn:
            kind = self._kinds[job.kind]
            job.enqueued = time.monotonic()
            job.rank = job.enqueued + kind.behind
            if self.draining:
                raise self._refused("draining", 503, "the service is about to end: ask again.", 5)
            wait = self._wait(job)
            waiting = sum(self._kinds[other.kind].long == kind.long for other in self._waiting)
            if waiting >= self._limits[kind.long]:
                raise self._refused("full", 429, f"{waiting} requests wait: ask again later.", wait)
            needed = wait + self._needs(job)
            if job.deadline is not None and job.enqueued + needed > job.deadline:
                if wait == 0:
                    # An estimate that refuses all would never be measured again.
                    self._seconds[job.kind] *= 0.9
                    self._stretch[job.kind] = 1.0
                detail = f"this takes about {needed:.1f} s now, longer than you wait: come again."
                raise self._refused("deadline", 429, detail, wait)
            self._waiting.append(job)
            self._metrics.waiting.labels(job.kind).inc()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="work", daemon=True)
                self._worker.start()
            self._turn.notify_all()

    def cancel(self, job: Job) -> None:
        """Let a job be: it costs nothing if it has not begun, and at most a step if it has."""
        job.cancelled.set()
        with self._turn:
            if job not in self._waiting:
                return
            self._leave(job)
        job.failed(CancelledError())

    def seconds_left(self, job: Job) -> float | None:
        """Until a job is done, estimated; None when it is over."""
        with self._turn:
            if job.over:
                return None
            for running, since in self._running:
                if running is job:
                    return self._left(job, since)
            return self._wait(job) + self._needs(job)

    def step(self, job: Job, step: int, steps: int, draft: bytes | None = None) -> None:
        """Called by long work after each of its steps, in the worker's thread.

        Raises:
            CancelledError: the work is to stop.
            Problem: it would come too late.
        """
        job.told(step + 1, steps, draft)
        begun = time.monotonic()
        if job.deadline is not None and begun > job.deadline:
            raise self._late()
        for _ in range(TURNS):
            if job.cancelled.is_set():
                raise CancelledError
            with self._turn:
                batch = self._take(long=False)
            if not batch:
                break
            self._do(batch)
        self._nested += time.monotonic() - begun

    def drain(self, seconds: float) -> bool:
        """Take no more, and wait until all is done; what is not by then is cancelled, and the
        answer is False."""
        with self._turn:
            self.draining = True
            whole = self._turn.wait_for(self._idle, seconds)
            rest = [*self._waiting, *(job for job, _ in self._running)]
        for job in rest:
            self.cancel(job)
        return whole

    def _idle(self) -> bool:
        return not self._waiting and not self._running and not self._unfinished

    def _work(self) -> None:
        while True:
            with self._turn:
                while not (batch := self._take(long=True)):
                    self._turn.wait()
            self._do(batch)

    def _take(self, long: bool) -> list[Job]:
        """The jobs whose turn it is, all of one kind."""
        now = time.monotonic()
        for job in list(self._waiting):
            needs = self._needs(job)
            # An estimate by which all that comes is dropped would never be measured again.
            needed = needs if now - job.enqueued > needs else needs / 2
            if job.deadline is not None and now + needed > job.deadline:
                self._leave(job)
                job.failed(self._late())
        able = [job for job in self._waiting if long or not self._kinds[job.kind].long]
        if not able:
            return []
        able.sort(key=lambda job: job.rank)
        kind = self._kinds[able[0].kind]
        batch = [job for job in able if job.kind == able[0].kind][: kind.together]
        for job in batch:
            self._leave(job)
            self._metrics.waits.labels(job.kind).observe(now - job.enqueued)
            self._running.append((job, now))
        self._metrics.batches.labels(batch[0].kind).observe(len(batch))
        return batch

    def _do(self, batch: Sequence[Job]) -> None:
        name, nested = batch[0].kind, self._nested
        kind, begun = self._kinds[name], time.monotonic()
        before = request_id.set(batch[0].request_id)
        for job in batch:
            job.started()
        try:
            results = kind.run(batch)
        except Exception as error:
            results = [error] * len(batch)
        whole = time.monotonic() - begun
        seconds = max(1e-6, whole - (self._nested - nested))
        self._metrics.stages.labels(name, "run").observe(seconds)
        if not any(isinstance(result, BaseException) for result in results):
            each = seconds / sum(job.weight for job in batch)
            self._seconds[name] += 0.3 * (each - self._seconds[name])
            self._stretch[name] += 0.3 * (whole / seconds - self._stretch[name])
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                job.failed(result)
            else:
                self._finishing.acquire()
                with self._turn:
                    self._unfinished += 1
                self._finisher.submit(self._finish, kind, job, result)
        request_id.reset(before)
        with self._turn:
            self._running = [each for each in self._running if each[0] not in batch]
            self._turn.notify_all()

    def _finish(self, kind: Kind, job: Job, result: Any) -> None:
        begun = time.monotonic()
        try:
            if job.cancelled.is_set():
                raise CancelledError
            job.done(kind.finish(job, result))
        except Exception as error:
            job.failed(error)
        finally:
            self._metrics.stages.labels(job.kind, "finish").observe(time.monotonic() - begun)
            self._finishing.release()
            with self._turn:
                self._unfinished -= 1
                self._turn.notify_all()

    def _leave(self, job: Job) -> None:
        self._waiting.remove(job)
        self._metrics.waiting.labels(job.kind).dec()

    def _needs(self, job: Job) -> float:
        """Seconds that a job takes, and what passes it meanwhile."""
        return self._seconds[job.kind] * job.weight * self._stretch[job.kind]

    def _left(self, job: Job, since: float) -> float:
        return max(0.0, since + self._needs(job) - time.monotonic())

    def _wait(self, job: Job) -> float:
        """Seconds until a job's turn, by what runs and what goes before it."""
        before = [(other, self._left(other, since)) for other, since in self._running]
        before += [(o, self._needs(o)) for o in self._waiting if o.rank < job.rank]
        if self._kinds[job.kind].long:
            return sum(seconds for _, seconds in before)
        # Quick work passes long work, and waits for its steps between turns alone.
        longs = [o for o, _ in before if self._kinds[o.kind].long]
        quick = [seconds for o, seconds in before if not self._kinds[o.kind].long]
        step = max((self._seconds[o.kind] for o in longs), default=0.0)
        return sum(quick) + step * (1 + len(quick) // TURNS)

    def _late(self) -> Problem:
        return self._refused("late", 503, "it came too late: ask again, or wait longer.", 1)

    def _refused(self, why: str, status: int, detail: str, retry_after: float) -> Problem:
        self._metrics.refusals.labels(why).inc()
        return Problem(status, detail, retry_after)
