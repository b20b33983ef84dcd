"""Pickles in the structure of stylegan2-ada-pytorch's, against what NVIDIA's code computed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from styleclip_rt.checkpoints import load_generator, native
from styleclip_rt.errors import CheckpointError

from .nvidia_pickle import EasyDict, Module, generator, write
from .test_rosinality import assert_equal_to_upstream

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan2_nvidia"


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return load_file(GOLDEN / "weights.safetensors")


def whole(g_ema: Any) -> dict[str, Any]:
    return {
        "G": None,
        "D": Module("Discriminator", c_dim=0),
        "G_ema": g_ema,
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(path="data", resolution=16),
    }


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_outputs_equal_upstream(weights: dict[str, Tensor], tmp_path: Path, protocol: int) -> None:
    write(whole(generator(weights)), tmp_path / "ffhq.pkl", protocol)
    assert b"embedded source" in (tmp_path / "ffhq.pkl").read_bytes()
    model = load_generator(tmp_path / "ffhq.pkl")
    assert model.config.channels == (24, 16, 8)
    assert (model.resolution, model.config.n_mlp, model.config.clamp) == (16, 2, 3)
    golden = load_file(GOLDEN / "outputs.safetensors")
    assert_equal_to_upstream(model, golden)
    native.save(model, tmp_path / "native.safetensors")
    assert_equal_to_upstream(load_generator(tmp_path / "native.safetensors"), golden)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("synthesis.b8.conv0.weight"), "lacks .*'synthesis.b8.conv0.weight'"),
        (lambda g: g.pop("mapping.w_avg"), "lacks .*'mapping.w_avg'"),
        (lambda g: g.update({"synthesis.b8.skip.weight": torch.zeros(2)}), "surplus .*b8.skip"),
        (lambda g: g.update({"synthesis.b4.const": torch.zeros(24, 4, 5)}), r"\(1, 24, 4, 5\)"),
        (lambda g: g.update({"synthesis.b4.const": torch.zeros(24)}), "'synthesis.b4.const'"),
        (
            lambda g: g.update({"synthesis.b8.resample_filter": torch.ones(4, 4)}),
            "another filter",
        ),
    ],
)
def test_wrong_tensors_are_named(
    weights: dict[str, Tensor], tmp_path: Path, change: Any, message: str
) -> None:
    change(weights)
    write(whole(generator(weights)), tmp_path / "g.pkl")
    with pytest.raises(CheckpointError, match=message):
        load_generator(tmp_path / "g.pkl")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"c_dim": 10}, "class-conditional"),
        ({"synthesis__b8__conv0__activation": "relu"}, "b8.conv0.activation 'relu'"),
        ({"mapping__fc1__bias_gain": "much"}, "bias_gain"),
    ],
)
def test_other_kinds_of_generator_are_refused(
    weights: dict[str, Tensor], tmp_path: Path, facts: dict[str, Any], message: str
) -> None:
    write(whole(generator(weights, **facts)), tmp_path / "g.pkl")
    with pytest.raises(CheckpointError, match=message):
        load_generator(tmp_path / "g.pkl")


def test_modules_that_contain_themselves_are_refused(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    deepest = root = generator(weights)
    for _ in range(30):
        deepest.children["inner"] = Module("Module")
        deepest = deepest.children["inner"]
    write(whole(root), tmp_path / "g.pkl")
    with pytest.raises(CheckpointError, match="G_ema"):
        load_generator(tmp_path / "g.pkl")
