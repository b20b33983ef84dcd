"""Weights are packed once, and anew when they were written to, by whomever."""

import numpy as np
import pytest
import torch
from torch import Tensor

from styleclip_rt.ops import _library

pytestmark = pytest.mark.skipif(not _library.load(), reason="the compiled ops were not built")


def layer(weight: Tensor) -> Tensor:
    x = torch.ones(1, weight.shape[1], 5, 5, dtype=weight.dtype)
    y: Tensor = torch.ops.styleclip_rt.conv2d(x, weight, None, None, None, None, None)
    return y


def assert_current(weight: Tensor, before: Tensor) -> None:
    """The layer is what a weight in memory of its own makes of it, and not what it was."""
    after = layer(weight)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, layer(weight.detach().clone()))


def large() -> Tensor:
    """Of more than is looked at as a whole in every call."""
    torch.manual_seed(0)
    return torch.randn(40, 48, 3, 3)


def test_a_write_through_torch_is_seen() -> None:
    weight = large()
    before = layer(weight)
    weight[3, 4, 1, 1] += 1
    assert_current(weight, before)


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (39, 47, 2, 2), (17, 31, 1, 2)])
def test_numpy_s_write_of_one_number_is_seen(place: tuple[int, ...]) -> None:
    array = large().numpy().copy()
    ours = large()
    for weight, writable in ((torch.from_numpy(array), array), (ours, ours.numpy())):
        before = layer(weight)
        writable[place] += 1
        assert_current(weight, before)
        before = layer(weight)
        writable[:] = writable[::-1].copy()
        assert_current(weight, before)


def test_memory_that_numpy_comes_to_see_later_is_looked_at_anew() -> None:
    weight = large()
    before = layer(weight)
    np.asarray(weight)[20, 20, 0, 1] = 7
    assert_current(weight, before)


def test_a_view_of_an_array_is_its_own_weight() -> None:
    array = np.random.default_rng(0).standard_normal((8, 48, 3, 3)).astype(np.float32)
    whole = torch.from_numpy(array)
    for weight in (whole[2:5], whole.transpose(2, 3), whole[::3]):
        before = layer(weight)
        array[3] *= 2
        array[6, 5, 1, 0] += 3
        after = layer(weight)
        torch.testing.assert_close(after, layer(weight.clone()))
        assert not torch.equal(before, after)


def test_uncounted_writes_of_a_whole_weight_are_seen() -> None:
    weight = torch.nn.Parameter(large(), requires_grad=False)
    before = layer(weight)
    weight.data.mul_(2)
    assert_current(weight, before)
    before = layer(weight)
    np.from_dlpack(weight.detach())[:] *= 2
    assert_current(weight, before)


def test_uncounted_writes_of_one_number_are_seen_in_a_small_weight() -> None:
    weight = torch.randn(4, 3, 3, 3)
    before = layer(weight)
    weight.data[1, 2, 0, 0] += 1
    assert_current(weight, before)
