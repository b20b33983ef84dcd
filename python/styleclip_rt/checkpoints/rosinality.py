"""StyleGAN2 checkpoints of rosinality's stylegan2-pytorch, which StyleCLIP, e4e and pSp use.

Format: ``torch.save`` of {"g_ema": state dict, "latent_avg": [D]}, or of e4e's and pSp's
{"state_dict": ..., "latent_avg": ...} where the generator's keys start with "decoder.".
"""

import argparse
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of, state_dict
from styleclip_rt.checkpoints.state import fill, read_torch_file
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

MAPPING_RATE = 0.01
"""The mapping network's learning-rate multiplier, which upstream never stores."""

_MEAN_SAMPLES = 16384


def read(path: str | os.PathLike[str]) -> StyleGAN2:
    """The generator in ``path``, its shape taken from its tensors.

    A training checkpoint without ``latent_avg`` gets the mean of w over a fixed sample of z.

    Raises CheckpointError if the file is broken or not exactly such a generator.
    """
    path = Path(path)
    # Training checkpoints carry their command line, a plain bag of attributes.
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = read_torch_file(path)
    state, mean = _generator_of(content, path)
    config = _config(state, path)
    _drop_filters(state, config, path)
    renamed = rename(state, {ours: [theirs] for ours, theirs in _names(config).items()}, path)
    given = torch.zeros(config.latent_dim) if mean is None else mean
    effective = Computed(
        [*renamed, "mean_latent"],
        lambda key: given if key == "mean_latent" else _effective(key, renamed[key]),
    )
    model = fill(lambda: StyleGAN2(config), effective, path)
    if mean is None:
        z = torch.randn(
            _MEAN_SAMPLES, config.latent_dim, generator=torch.Generator().manual_seed(0)
        )
        model.mean_latent.copy_(model.mapping(z).mean(0))
    return model


def _generator_of(content: object, path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """The generator's state dict and the mean of w, if the file has one."""
    if not isinstance(content, Mapping) or not ("g_ema" in content or "state_dict" in content):
        raise CheckpointError(
            f'{path} holds neither "g_ema" nor "state_dict"; give a StyleGAN2 checkpoint '
            "of rosinality's, or an e4e or pSp one."
        )
    if "g_ema" in content:
        state = state_dict(content["g_ema"], path)
    else:
        whole = state_dict(content["state_dict"], path)
        prefix = "decoder."
        state = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
    mean = content.get("latent_avg")
    if mean is None:
        return state, None
    if not isinstance(mean, Tensor) or mean.ndim not in (1, 2) or 0 in mean.shape:
        raise CheckpointError(f'{path} has a "latent_avg" that is no vector; fetch it again.')
    # Encoders repeat it for each row of w+.
    return state, mean if mean.ndim == 1 else mean[0]


def _config(state: Mapping[str, Tensor], path: Path) -> StyleGAN2Config:
    channels = [shape_of(state, "conv1.conv.weight", 5, path)[1]]
    for level in range(count(state, "to_rgbs.")):
        channels.append(shape_of(state, f"convs.{2 * level}.conv.weight", 5, path)[1])
    try:
        return StyleGAN2Config(
            channels=tuple(channels),
            latent_dim=shape_of(state, "style.1.weight", 2, path)[0],
            n_mlp=count(state, "style."),
        )
    except ValueError as error:
        raise CheckpointError(f"{path} holds no StyleGAN2 that can be built ({error}).") from error


def _drop_filters(state: dict[str, Tensor], config: StyleGAN2Config, path: Path) -> None:
    """Check and remove the FIR filters, which our model has by construction."""
    expected = ops.resample_kernel() * 4
    for level in range(len(config.channels) - 1):
        for key in (f"convs.{2 * level}.conv.blur.kernel", f"to_rgbs.{level}.upsample.kernel"):
            shape_of(state, key, 2, path)
            kernel = state.pop(key).float()
            if kernel.shape != expected.shape or not torch.allclose(kernel, expected):
                raise CheckpointError(
                    f"{path} has in {key!r} another filter than [1, 3, 3, 1]; "
                    "such a StyleGAN2 is not supported."
                )


def _names(config: StyleGAN2Config) -> dict[str, str]:
    """Our tensor -> upstream's."""
    names = {"constant": "input.input"}
    for index in range(config.n_mlp):
        for part in ("weight", "bias"):
            names[f"mapping_layers.{index}.{part}"] = f"style.{index + 1}.{part}"
    for index in range(2 * len(config.channels) - 1):
        theirs = "conv1" if index == 0 else f"convs.{index - 1}"
        names[f"convs.{index}.weight"] = f"{theirs}.conv.weight"
        names[f"convs.{index}.bias"] = f"{theirs}.activate.bias"
        names[f"convs.{index}.noise_strength"] = f"{theirs}.noise.weight"
        names[f"convs.{index}.noise"] = f"noises.noise_{index}"
        names[f"convs.{index}.affine.weight"] = f"{theirs}.conv.modulation.weight"
        names[f"convs.{index}.affine.bias"] = f"{theirs}.conv.modulation.bias"
    for level in range(len(config.channels)):
        theirs = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"
        names[f"to_rgbs.{level}.weight"] = f"{theirs}.conv.weight"
        names[f"to_rgbs.{level}.bias"] = f"{theirs}.bias"
        names[f"to_rgbs.{level}.affine.weight"] = f"{theirs}.conv.modulation.weight"
        names[f"to_rgbs.{level}.affine.bias"] = f"{theirs}.conv.modulation.bias"
    return names


def _effective(key: str, value: Tensor) -> Tensor:
    """Fold the equalised learning rate's run-time scales in and drop dimensions of size one."""
    if key.endswith("noise_strength") and value.numel() == 1:
        return value.reshape(())
    if key.startswith("to_rgbs.") and key.endswith(".bias") and value.ndim == 4:
        return value.flatten()
    if value.ndim == 5 and len(value) == 1:
        value = value[0]
    if key.endswith(".weight") and value.ndim >= 2:
        value = value / math.sqrt(value[0].numel())
    if key.startswith("mapping_layers."):
        value = value * MAPPING_RATE
    return value
