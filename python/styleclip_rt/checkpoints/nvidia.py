"""StyleGAN2 pickles of NVIDIA's stylegan2-ada-pytorch and of stylegan3's StyleGAN2.

Format: a pickled dict whose "G_ema" is the generator. Every module in it is a call to
``torch_utils.persistence._reconstruct_persistent_obj`` with {"class_name", "module_src",
"state", ...}; upstream executes that source. Here nothing in the file is imported or called: the
few names that such a file may mention become inert records, which are then read like data.
"""

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of
from styleclip_rt.checkpoints.pickled import BrokenPickle, ForeignName, Make, Record, read_pickle
from styleclip_rt.checkpoints.state import described, fill
from styleclip_rt.checkpoints.torch_file import TensorReader, read_legacy
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"

# Nothing in a generator lies deeper or has more parts; a file that refers to itself does.
_MAX_DEPTH, _MAX_PARTS = 8, 10_000


def names(full: str) -> Make | bool:
    """What a name in such a file stands for, beside those of tensors."""
    if full == _PERSISTENT:
        return True
    return (lambda *_: {}) if full == "dnnlib.util.EasyDict" else False


def read(path: str | os.PathLike[str]) -> StyleGAN2:
    """The generator ("G_ema") in ``path``; its embedded source code is never looked at.

    Raises CheckpointError if the file is broken, names anything that such a file has no use for,
    or is not exactly an unconditional StyleGAN2.
    """
    path = Path(path)
    reader = TensorReader(path.stat().st_size)
    storages = 0

    def storage(content: object) -> object:
        nonlocal storages
        storages += 1
        if not isinstance(content, bytes) or storages > _MAX_PARTS:
            raise BrokenPickle("it has a broken storage")
        reader.spend(len(content))
        return read_legacy(io.BytesIO(content), len(content))

    def known(full: str) -> Make | bool:
        if full == "torch.storage._load_from_bytes":
            return storage
        return reader.names(full) or names(full)

    try:
        with path.open("rb") as file:
            content = read_pickle(file, reader.left, known)
    except ForeignName as error:
        raise CheckpointError(f"{path} {described(error.name)}") from error
    except BrokenPickle as error:
        raise CheckpointError(
            f"{path} is not a readable pickle of stylegan2-ada-pytorch ({error}); it was not run: "
            "fetch it again from its official source."
        ) from error
    if not isinstance(content, dict) or "G_ema" not in content:
        raise CheckpointError(f'{path} is a pickle without "G_ema"; give a StyleGAN2 pickle.')
    return generator_of(content["G_ema"], path)


def is_module(value: object) -> bool:
    """Whether ``value``, from a pickle, is one of NVIDIA's modules."""
    return isinstance(value, Record) and value.name == _PERSISTENT


def generator_of(module: object, path: Path) -> StyleGAN2:
    """The generator that ``module``, from the pickle ``path``, describes.

    Raises CheckpointError if it is not exactly an unconditional StyleGAN2.
    """
    state: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    try:
        _flatten(module, state, facts)
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(
            f'{path} has a "G_ema" that is not made of modules and tensors; fetch it again.'
        ) from error
    config = _config(state, facts, path)
    _drop_filters(state, path)
    renamed = rename(state, {ours: [theirs] for ours, theirs in _names(config).items()}, path)
    effective = Computed(renamed, lambda key: _effective(key, renamed[key], facts, path))
    return fill(lambda: StyleGAN2(config), effective, path)


def _flatten(root: object, state: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Collect the tensors of a tree of module records by dotted name, and its plain attributes."""
    waiting: list[tuple[Any, str, int]] = [(root, "", 0)]
    parts = 0
    while waiting:
        module, prefix, depth = waiting.pop()
        if not is_module(module) or depth > _MAX_DEPTH:
            raise ValueError("not a module")
        fields = module.arguments[0]["state"]
        groups = [fields[group] for group in ("_parameters", "_buffers", "_modules")]
        parts += len(fields) + sum(map(len, groups))
        if parts > _MAX_PARTS or len(prefix) > 500:
            raise ValueError("too many parts")
        if any(len(name) > 200 for names in (fields, *groups) for name in names):
            raise ValueError("too long a name")
        for name, value in fields.items():
            if isinstance(value, str | int | float) or value is None:
                facts[prefix + name] = value
        for name, value in (*groups[0].items(), *groups[1].items()):
            if value is not None:
                state[prefix + name] = value
        for name, value in groups[2].items():
            if value is not None:
                waiting.append((value, f"{prefix}{name}.", depth + 1))


def _config(state: Mapping[str, Tensor], facts: Mapping[str, Any], path: Path) -> StyleGAN2Config:
    if "synthesis.input.freqs" in state or any(k.startswith("synthesis.L0_") for k in state):
        raise CheckpointError(
            f"{path} holds a StyleGAN3, whose layers are other ones; give a StyleGAN2, such as "
            "NVIDIA's stylegan2-ffhq-1024x1024.pkl."
        )
    if facts.get("c_dim"):
        raise CheckpointError(
            f"{path} holds a class-conditional StyleGAN2; only unconditional ones are supported."
        )
    layers = {key: value for key, value in facts.items() if key.endswith(".activation")}
    for key, value in layers.items():
        if value != ("linear" if ".affine." in key else "lrelu"):
            raise CheckpointError(f"{path} has {key} {value!r}; such a StyleGAN2 is not supported.")
    channels = [shape_of(state, "synthesis.b4.const", 3, path)[0]]
    for level in range(1, count(state, "synthesis.b")):
        channels.append(shape_of(state, f"synthesis.b{4 * 2**level}.conv1.weight", 4, path)[0])
    try:
        return StyleGAN2Config(
            channels=tuple(channels),
            latent_dim=shape_of(state, "mapping.w_avg", 1, path)[0],
            n_mlp=count(state, "mapping.fc"),
            clamp=facts.get("synthesis.b4.conv1.conv_clamp"),
        )
    except ValueError as error:
        raise CheckpointError(f"{path} holds no StyleGAN2 that can be built ({error}).") from error


def _drop_filters(state: dict[str, Tensor], path: Path) -> None:
    """Check and remove the FIR filters, which our model has by construction."""
    expected = ops.resample_kernel()
    for key in [key for key in state if key.endswith(".resample_filter")]:
        kernel = state.pop(key).float()
        if kernel.shape != expected.shape or not torch.allclose(kernel, expected):
            raise CheckpointError(
                f"{path} has in {key!r} another filter than [1, 3, 3, 1]; "
                "such a StyleGAN2 is not supported."
            )


def _names(config: StyleGAN2Config) -> dict[str, str]:
    """Our tensor -> upstream's."""
    names = {"mean_latent": "mapping.w_avg", "constant": "synthesis.b4.const"}
    for index in range(config.n_mlp):
        for part in ("weight", "bias"):
            names[f"mapping_layers.{index}.{part}"] = f"mapping.fc{index}.{part}"
    for index in range(2 * len(config.channels) - 1):
        level = (index + 1) // 2
        theirs = f"synthesis.b{4 * 2**level}.conv{1 - index % 2}"
        for part in ("weight", "bias", "noise_strength", "affine.weight", "affine.bias"):
            names[f"convs.{index}.{part}"] = f"{theirs}.{part}"
        names[f"convs.{index}.noise"] = f"{theirs}.noise_const"
    for level in range(len(config.channels)):
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            names[f"to_rgbs.{level}.{part}"] = f"synthesis.b{4 * 2**level}.torgb.{part}"
    return names


def _effective(key: str, value: Tensor, facts: Mapping[str, Any], path: Path) -> Tensor:
    """Fold the equalised learning rate's run-time scales in.

    The 3x3 convolutions have none: their demodulation cancels any scale.
    """
    if key == "constant" or key.endswith(".noise"):
        return value.reshape(1, *[1] * (3 - value.ndim), *value.shape)
    scaled = key.startswith(("mapping_layers.", "to_rgbs.")) or ".affine." in key
    if scaled and key.endswith(".weight") and value.ndim >= 2:
        value = value / math.sqrt(value[0].numel())
    if key.startswith("mapping_layers."):
        rate = facts.get(f"mapping.fc{key.split('.')[1]}.bias_gain")
        if not isinstance(rate, int | float):
            raise CheckpointError(f"{path} does not say the mapping network's bias_gain.")
        value = value * rate
    return value
