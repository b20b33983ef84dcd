"""Every case and candidate under pytest-benchmark: ``pytest benchmarks --benchmark-only``.

For comparing one candidate from commit to commit (``--benchmark-autosave``,
``--benchmark-compare``); for ratios between candidates use ``python -m benchmarks.report``, which
lets them take turns. ``-k "StyleGAN2 and 256 and ours"`` chooses.
"""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import Case, all_cases
from benchmarks.timing import Run


@pytest.mark.parametrize(
    ("case", "prepare"),
    [
        pytest.param(case, prepare, id=f"{case.name}, {name}")
        for case in all_cases()
        for name, prepare in case.candidates.items()
    ],
)
def test_speed(benchmark: BenchmarkFixture, case: Case, prepare: Callable[[], Run]) -> None:
    """Three rounds after one to warm up, grouped by case."""
    benchmark.group = case.name
    benchmark.pedantic(prepare(), rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]
