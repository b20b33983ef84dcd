"""Weights of other programs, rebuilt in their layout from a committed list of names and shapes."""

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def filled(name: str, shape: list[int]) -> Tensor:
    """The tensor `name`, from a generator seeded with its name (see the goldens' RECIPE.md)."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    else:
        values = 0.1 * random.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@pytest.fixture
def upstream_state() -> Callable[[str], dict[str, Tensor]]:
    """Give the state dict whose names and shapes tests/golden/NAME/layout.json lists."""

    def state(name: str) -> dict[str, Tensor]:
        layout = json.loads((GOLDEN / name / "layout.json").read_text())
        return {key: filled(key, shape) for key, shape in layout.items()}

    return state


@pytest.fixture
def upstream_output() -> Callable[[str, str], Tensor]:
    """Give what upstream's own code computed, from tests/golden/NAME/outputs.json."""

    def output(name: str, what: str) -> Tensor:
        return torch.tensor(json.loads((GOLDEN / name / "outputs.json").read_text())[what])

    return output
