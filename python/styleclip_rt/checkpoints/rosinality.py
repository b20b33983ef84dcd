"""StyleGAN2 checkpoints of rosinality's stylegan2-pytorch, which StyleCLIP, e4e and pSp use.

Format: ``torch.save`` of {"g_ema": state dict, "latent_avg": [D]}, or of e4e's and pSp's
{"state_dict": ..., "latent_avg": ...} where the generator's keys start with "decoder.". What PTI
saves in its stead is NVIDIA's whole generator (`checkpoints.nvidia`).
"""

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.checkpoints import nvidia
from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of, state_dict
from styleclip_rt.checkpoints.state import fill, floats, read_torch_file
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

MAPPING_RATE = 0.01
"""The mapping network's learning-rate multiplier, which upstream never stores."""

_MEAN_SAMPLES = 16384


def read(path: str | os.PathLike[str]) -> StyleGAN2:
    """The generator in ``path``, its shape taken from its tensors.

    A training checkpoint without ``latent_avg`` gets the mean of w over a fixed sample of z, and
    one without noise maps gets fixed ones, with a warning.

    Raises CheckpointError if the file is broken or not exactly such a generator.
    """
    path = Path(path)
    content = read_torch_file(path, nvidia.names)
    if nvidia.is_module(content):
        return nvidia.generator_of(content, path)
    state, mean = _generator_of(content, path)
    config = _config(state, path)
    _drop_filters(state, config, path)
    names = _names(config)
    drawn = [] if any(key.startswith("noises.") for key in state) else _noises(config)
    if drawn:
        warnings.warn(
            f"{path} has no noise maps (older checkpoints lack them); fixed ones are drawn in "
            "their place.",
            stacklevel=4,
        )
    renamed = rename(state, {o: [t] for o, t in names.items() if o not in drawn}, path)
    given = torch.zeros(config.latent_dim) if mean is None else mean

    def effective(key: str) -> Tensor:
        if key == "mean_latent":
            return given
        if key in drawn:
            return _drawn_noise(drawn.index(key))
        return _effective(key, renamed[key])

    every = Computed([*renamed, *drawn, "mean_latent"], effective)
    model = fill(lambda: StyleGAN2(config), every, path)
    if mean is None:
        z = torch.randn(
            _MEAN_SAMPLES, config.latent_dim, generator=torch.Generator().manual_seed(0)
        )
        model.mean_latent.copy_(model.mapping(z).mean(0))
    return model


def _noises(config: StyleGAN2Config) -> list[str]:
    return [f"convs.{index}.noise" for index in range(2 * len(config.channels) - 1)]


def _drawn_noise(index: int) -> Tensor:
    """The noise map of one convolution for checkpoints that have none."""
    side = 4 * 2 ** ((index + 1) // 2)
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(index))


def _generator_of(content: object, path: Path) -> tuple[dict[str, Tensor], Tensor | None]:
    """The generator's state dict and the mean of w, if the file has one."""
    if isinstance(content, Mapping) and "g_ema" in content:
        state = state_dict(content["g_ema"], path)
    elif isinstance(content, Mapping) and "state_dict" in content:
        whole = state_dict(content["state_dict"], path)
        prefix = "decoder."
        state = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
        if not state:
            raise CheckpointError(
                f"{path} has no generator: its state dict has no names that start with "
                f"{prefix!r}; give a StyleGAN2 checkpoint, or an e4e or pSp one with its decoder."
            )
    elif isinstance(content, Mapping) and "g" in content:
        warnings.warn(
            f'{path} has no averaged generator ("g_ema"); "g" as it was trained last is read.',
            stacklevel=5,
        )
        state = state_dict(content["g"], path)
    elif isinstance(content, Mapping) and any("conv1.conv.weight" in str(key) for key in content):
        return state_dict(content, path), None
    else:
        raise CheckpointError(
            f'{path} holds neither "g_ema" nor "state_dict"; give a StyleGAN2 checkpoint '
            "of rosinality's, or an e4e or pSp one."
        )
    mean = content.get("latent_avg")
    if mean is None:
        return state, None
    if not isinstance(mean, Tensor) or mean.ndim not in (1, 2) or 0 in mean.shape:
        raise CheckpointError(f'{path} has a "latent_avg" that is no vector; fetch it again.')
    # Encoders repeat it for each row of w+.
    return state, floats(mean if mean.ndim == 1 else mean[0], "latent_avg", path)


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
