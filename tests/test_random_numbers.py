"""Seeds, with torch and without."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import sample_z
from styleclip_rt.random_numbers import MAX_SEED, Random
from tests.tiny import tiny_generator


@given(st.one_of(st.integers(0, MAX_SEED), st.sampled_from([0, 2**32, 2**63 - 1, 2**63, MAX_SEED])))
def test_any_seed_of_64_bits_is_the_same_face_with_torch_and_without(seed: int) -> None:
    generator = tiny_generator()
    z = sample_z(generator, [seed])[0].numpy()
    np.testing.assert_allclose(Random(seed).normal(generator.latent_dim), z, atol=1e-5)
    assert torch.equal(sample_z(generator, [np.uint64(seed)]), sample_z(generator, [seed]))


NO_SEEDS = (-1, MAX_SEED + 1, 10**20, 10**5000, 1.0, 1.5, float("nan"), "7", None, True, [1])


def test_other_seeds_are_refused_in_a_sentence() -> None:
    for seed in NO_SEEDS:
        for use in (Random, lambda seed: sample_z(tiny_generator(), [seed])):
            with pytest.raises(StyleClipError, match="a seed is a whole number from 0") as refused:
                use(seed)
            assert len(str(refused.value)) < 160
