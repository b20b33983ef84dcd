"""Fair timing on a machine that drifts: all candidates of a comparison take turns in one run."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Wall-clock seconds of every round, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round's seconds."""
        return statistics.median(self.seconds)

    @property
    def min(self) -> float:
        """The fastest round's seconds."""
        return min(self.seconds)

    @property
    def max(self) -> float:
        """The slowest round's seconds."""
        return max(self.seconds)


def interleave(
    runs: Mapping[str, Run],
    rounds: int,
    warmup: int = 1,
    wait: Callable[[], object] = lambda: None,
    after: Callable[[str], object] = lambda name: None,
) -> dict[str, Times]:
    """Time every run once a round, so that a slow spell of the machine meets all of them.

    Args:
        runs: name -> what to time.
        rounds: how often, at least 1; every other round goes in reversed order.
        warmup: untimed rounds before.
        wait: called before the clock is read, e.g. ``torch.cuda.synchronize``.
        after: called with the name after each run, warm-up included; for a progress bar.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(-warmup, rounds):
        for name in list(runs) if index % 2 == 0 else list(runs)[::-1]:
            wait()
            begin = time.perf_counter()
            result = runs[name]()
            wait()
            elapsed = time.perf_counter() - begin
            del result
            if index >= 0:
                seconds[name].append(elapsed)
            after(name)
    return {name: Times(tuple(each)) for name, each in seconds.items()}


def ratio(slow: Times, fast: Times) -> float:
    """How many times faster ``fast`` is: the median over rounds of the ratio within a round.

    Raises:
        ValueError: they were not timed in the same rounds.
    """
    pairs = zip(slow.seconds, fast.seconds, strict=True)
    return statistics.median(a / b for a, b in pairs)
