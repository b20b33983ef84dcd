"""StyleGAN2 pickles of NVIDIA's stylegan2-ada-pytorch and of stylegan3's StyleGAN2.

Format: a pickled dict whose "G_ema" is the generator. Every module in it is a call to
``torch_utils.persistence._reconstruct_persistent_obj`` with {"class_name", "module_src",
"state", ...}; upstream executes that source. Here nothing in the file is imported or called: the
few names that such a file may mention become inert records, which are then read like data.
"""

import io
import math
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from styleclip_rt import ops
from styleclip_rt.checkpoints.layout import count, rename, shape_of
from styleclip_rt.checkpoints.state import fill
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
_STORAGE = "torch.storage._load_from_bytes"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_SCALAR = "numpy.core.multiarray.scalar"

_INERT = {
    _PERSISTENT,
    _STORAGE,
    _TENSOR,
    _PARAMETER,
    _SCALAR,
    "numpy.core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "torch.Size",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float64",
}
_CONTAINERS = {
    "collections.OrderedDict": dict,
    "dnnlib.util.EasyDict": dict,
    "builtins.set": set,
    "__builtin__.set": set,
}
# Nothing in a generator lies deeper; a file that refers to itself does.
_MAX_DEPTH = 8


class _Record:
    """A call that a pickle asked for and that was not made."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Name:
    """A name in a pickle. Calling it makes a record; nothing can be set on it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __call__(self, *arguments: Any) -> _Record:
        return _Record(getattr(self, "_name"), arguments)  # noqa: B009

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise pickle.UnpicklingError("a pickle tried to change a name")


# The C unpickler lets ten bytes ask for 64 GB (a large memo index), the Python one does not.
class _InertUnpickler(pickle._Unpickler):
    """Builds plain containers and records from a pickle, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full in _CONTAINERS:
            return _CONTAINERS[full]
        if full in _INERT:
            return _Name(full)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read(path: str | os.PathLike[str]) -> StyleGAN2:
    """The generator ("G_ema") in ``path``; its embedded source code is never looked at.

    Raises CheckpointError if the file is broken, names anything that such a file has no use for,
    or is not exactly an unconditional StyleGAN2.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = _InertUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a pickle of stylegan2-ada-pytorch ({error}); it was not run: "
            "fetch it again from its official source."
        ) from error
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(
            f"{path} is not a readable pickle (truncated or of another kind); fetch it again."
        ) from error
    if not isinstance(content, dict) or "G_ema" not in content:
        raise CheckpointError(f'{path} is a pickle without "G_ema"; give a StyleGAN2 pickle.')

    state: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    try:
        _flatten(content["G_ema"], "", 0, state, facts)
    except Exception as error:
        raise CheckpointError(
            f'{path} has a "G_ema" that is not made of modules and tensors; fetch it again.'
        ) from error
    config = _config(state, facts, path)
    _drop_filters(state, path)
    renamed = rename(state, {ours: [theirs] for ours, theirs in _names(config).items()}, path)
    effective = {key: _effective(key, value.float(), facts, path) for key, value in renamed.items()}
    return fill(lambda: StyleGAN2(config), effective, path)


def _flatten(
    module: Any, prefix: str, depth: int, state: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    """Collect the tensors of a module record by dotted name, and its plain attributes."""
    if not _is_call(module, _PERSISTENT) or depth > _MAX_DEPTH:
        raise ValueError("not a module")
    fields = module.arguments[0]["state"]
    for name, value in fields.items():
        if isinstance(value, str | int | float) or value is None:
            facts[prefix + name] = value
        elif _is_call(value, _SCALAR):
            facts[prefix + name] = _scalar(value)
    for group in ("_parameters", "_buffers"):
        for name, value in fields[group].items():
            if value is not None:
                state[prefix + name] = _tensor(value)
    for name, value in fields["_modules"].items():
        if value is not None:
            _flatten(value, f"{prefix}{name}.", depth + 1, state, facts)


def _is_call(value: Any, name: str) -> bool:
    return isinstance(value, _Record) and value.name == name


def _tensor(value: Any) -> Tensor:
    if _is_call(value, _PARAMETER):
        value = value.arguments[0]
    if not _is_call(value, _TENSOR) or not _is_call(value.arguments[0], _STORAGE):
        raise ValueError("not a tensor")
    source, offset, size, stride = value.arguments[:4]
    storage = torch.load(io.BytesIO(source.arguments[0]), map_location="cpu", weights_only=True)
    flat = torch.empty(0, dtype=storage.dtype).set_(storage)
    if math.prod(size) > flat.numel():
        raise ValueError("a tensor larger than its storage")
    return flat.as_strided(size, stride, offset).clone()


def _scalar(value: _Record) -> float:
    """A numpy scalar; NVIDIA's gains come out of numpy.sqrt."""
    dtype, content = value.arguments
    kind = dtype.arguments[0]
    if not _is_call(dtype, "numpy.dtype") or kind not in ("f4", "f8", "i4", "i8"):
        raise ValueError("not a number")
    return float(np.frombuffer(content, f"<{kind}")[0])


def _config(state: Mapping[str, Tensor], facts: Mapping[str, Any], path: Path) -> StyleGAN2Config:
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
