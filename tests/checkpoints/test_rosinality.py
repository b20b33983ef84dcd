"""A checkpoint that rosinality's stylegan2-pytorch wrote, against what it computed."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from styleclip_rt.checkpoints import load_generator, native
from styleclip_rt.errors import CheckpointError

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan2_rosinality"


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(GOLDEN / "checkpoint.pt", weights_only=True)
    return loaded


def assert_equal_to_upstream(model: Any, golden: dict[str, Tensor]) -> None:
    def close(ours: Tensor, upstream: Tensor) -> None:
        span = (upstream.max() - upstream.min()).item()
        torch.testing.assert_close(ours, upstream, rtol=0, atol=1e-5 * span)

    close(model.mapping(golden["z"]), golden["w"])
    close(model.mapping(golden["z"], 0.7), golden["w_truncated_0.7"])
    for latent in ("w", "w_plus"):
        for image in model.synthesis_all(golden[latent]):
            close(image, golden[f"image_of_{latent}_{image.shape[-1]}"])
    silent = model.synthesis(golden["w_plus"], noise="none")
    close(silent, golden["image_of_w_plus_without_noise"])


def test_outputs_equal_upstream(tmp_path: Path) -> None:
    model = load_generator(GOLDEN / "checkpoint.pt")
    assert model.config.channels == (16, 12, 8)
    assert (model.resolution, model.latent_dim, model.config.n_mlp) == (16, 32, 2)
    golden = load_file(GOLDEN / "outputs.safetensors")
    assert_equal_to_upstream(model, golden)
    native.save(model, tmp_path / "native.safetensors")
    assert_equal_to_upstream(load_generator(tmp_path / "native.safetensors"), golden)


def test_training_checkpoint_without_a_mean_gets_one(
    content: dict[str, Any], tmp_path: Path
) -> None:
    del content["latent_avg"]
    content["args"] = argparse.Namespace(iter=8, path="data")
    torch.save(content, tmp_path / "550000.pt", _use_new_zipfile_serialization=False)
    model = load_generator(tmp_path / "550000.pt")
    sample = model.mapping(torch.randn(4096, 32, generator=torch.Generator().manual_seed(9)))
    assert (model.mean_latent - sample.mean(0)).abs().max() < 0.1 * sample.std()
    again = load_generator(tmp_path / "550000.pt")
    assert torch.equal(model.mean_latent, again.mean_latent)


def test_generator_inside_an_encoder_checkpoint(content: dict[str, Any], tmp_path: Path) -> None:
    whole = {f"decoder.{key}": value for key, value in content["g_ema"].items()}
    whole["encoder.input_layer.0.weight"] = torch.zeros(1)
    torch.save(
        {"state_dict": whole, "latent_avg": content["latent_avg"].repeat(6, 1), "opts": {"lr": 1}},
        tmp_path / "e4e.pt",
    )
    model = load_generator(tmp_path / "e4e.pt")
    assert_equal_to_upstream(model, load_file(GOLDEN / "outputs.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("convs.0.conv.weight"), "lacks the tensor 'convs.0.conv.weight'"),
        (lambda g: g.pop("to_rgbs.1.bias"), "lacks the tensor 'to_rgbs.1.bias'"),
        (lambda g: g.pop("noises.noise_2"), "lacks the tensor 'noises.noise_2'"),
        (lambda g: g.pop("to_rgbs.0.upsample.kernel"), "lacks the tensor 'to_rgbs.0.upsample"),
        (lambda g: g.update({"conv1.extra": torch.zeros(2)}), "surplus tensor 'conv1.extra'"),
        (lambda g: g.update({"input.input": torch.zeros(1, 16, 4, 5)}), r"\(1, 16, 4, 5\)"),
        (lambda g: g.update({"conv1.conv.weight": torch.zeros(3)}), "'conv1.conv.weight'"),
        (lambda g: g.update({"conv1.noise.weight": torch.zeros(3)}), r"noise_strength.*\(3,\)"),
        (lambda g: g.update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "another filter"),
        (lambda g: g.update({"style.1.bias": 3}), "'style.1.bias', which is no named tensor"),
    ],
)
def test_wrong_tensors_are_named(
    content: dict[str, Any], tmp_path: Path, change: Any, message: str
) -> None:
    change(content["g_ema"])
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match=message):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize("mean", [torch.zeros(31), torch.zeros(2, 3, 4), 1.0, torch.zeros(0, 32)])
def test_wrong_mean_is_named(content: dict[str, Any], tmp_path: Path, mean: object) -> None:
    content["latent_avg"] = mean
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match=r"latent_avg|mean_latent"):
        load_generator(tmp_path / "g.pt")
