"""The package's own weights format: safetensors whose metadata says which model to build.

Metadata: ``{"format": "styleclip-rt/1", "architecture": NAME, "config": JSON}``. The config is
the model's frozen dataclass; tuples and nested dataclasses in it survive the round trip.
"""

import dataclasses
import importlib
import json
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from styleclip_rt.checkpoints.header import FORMAT as FORMAT
from styleclip_rt.checkpoints.header import in_order
from styleclip_rt.checkpoints.header import read_metadata as read_metadata
from styleclip_rt.checkpoints.state import fill, read_safetensors
from styleclip_rt.errors import CheckpointError
from styleclip_rt.files import replacing

_MODELS = "styleclip_rt.models"
_CLASS_NAMES = {
    "stylegan2": ("stylegan2", "StyleGAN2Config", "StyleGAN2"),
    "mobile_stylegan": ("mobile_stylegan", "MobileStyleGANConfig", "MobileStyleGAN"),
    "clip": ("clip", "CLIPConfig", "CLIP"),
    "arcface": ("arcface", "ArcFaceConfig", "ArcFace"),
    "facenet": ("facenet", "InceptionResnetV1Config", "InceptionResnetV1"),
    "levels_mapper": ("mapper", "LevelsMapperConfig", "LevelsMapper"),
    "style_space_mapper": ("mapper", "StyleSpaceMapperConfig", "StyleSpaceMapper"),
    "prompt_mapper": ("mapper", "PromptMapperConfig", "PromptMapper"),
    "style_directions": ("looks", "StyleDirectionsConfig", "StyleDirections"),
}
"""Architecture -> (module in styleclip_rt.models, config class, model class)."""


def architecture_of(model: nn.Module) -> str:
    """The architecture name under which ``model`` is saved.

    Raises CheckpointError if the model is not one of this package's.
    """
    for name, (module, _, class_name) in _CLASS_NAMES.items():
        if type(model).__module__ == f"{_MODELS}.{module}" and type(model).__name__ == class_name:
            return name
    raise CheckpointError(
        f"A {type(model).__name__} cannot be saved; choose a model of styleclip_rt.models."
    )


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write ``model`` (weights in their own dtype, and its ``config``) to ``path`` atomically.

    Raises CheckpointError if the model is not one of this package's or the file cannot be
    written; whatever stood at ``path`` before is then still there.
    """
    architecture = architecture_of(model)
    config = dataclasses.asdict(typing.cast(typing.Any, model.config))
    write(model.state_dict(), Path(path), architecture, config)


def write(
    state: Mapping[str, Tensor],
    path: Path,
    architecture: str,
    config: Mapping[str, object],
    more: Mapping[str, str] | None = None,
) -> None:
    """Write tensors in their own dtype to ``path``, atomically, as what ``read_metadata`` tells;
    ``more`` goes into the metadata too.

    Raises CheckpointError if the file cannot be written; whatever stood there before is then
    still there.
    """
    metadata = {"format": FORMAT, "architecture": architecture, "config": json.dumps(config)}
    metadata |= more or {}
    # safetensors refuses tensors that share storage, so each gets its own.
    own = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in state.items()
    }
    with replacing(path, CheckpointError) as temporary:
        temporary.write_bytes(in_order(serialise(own, metadata)))


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Build the model that ``path`` holds, in float32, eval mode and with frozen weights.

    Strict: a missing or surplus tensor, or one of another shape, is an error that names it.
    Half-precision weights are widened.

    Raises CheckpointError if the file is missing, broken or not in this format.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a {FORMAT} file (its metadata lacks that format); "
            "convert it with `styleclip bundle create`."
        )
    architecture = metadata.get("architecture", "")
    if architecture not in _CLASS_NAMES:
        raise CheckpointError(
            f"{path} holds the unknown architecture {architecture!r}; "
            f"expected one of {', '.join(_CLASS_NAMES)}."
        )
    module_name, config_name, model_name = _CLASS_NAMES[architecture]
    module = importlib.import_module(f"{_MODELS}.{module_name}")
    try:
        config = _decode(getattr(module, config_name), json.loads(metadata["config"]))
    except Exception as error:
        raise CheckpointError(
            f"{path} has a broken {architecture} config ({error}); fetch or convert it again."
        ) from error
    state = read_safetensors(path)
    model_class: type[nn.Module] = getattr(module, model_name)
    return fill(lambda: model_class(config), state, path)


def _decode(hint: typing.Any, value: typing.Any) -> typing.Any:
    """Turn JSON back into what the type hint says: dataclasses from dicts, tuples from lists.

    Raises ValueError for a value of another type.
    """
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        if not isinstance(value, dict):
            raise ValueError(f"{hint.__name__} is no object")
        surplus = sorted(value.keys() - hints.keys())
        if surplus:
            raise ValueError(f"unknown field {surplus[0]!r}")
        return hint(**{key: _decode(hints[key], item) for key, item in value.items()})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(a, item) for a, item in zip(arguments, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        return _decode(_meant(arguments, value), value)
    if hint is float and type(value) is int:
        value = float(value)
    known = hint in (bool, int, float, str, type(None))
    if not known or type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ValueError(f"{value!r:.60} is no {getattr(hint, '__name__', hint)}")
    return value


def _meant(kinds: tuple[typing.Any, ...], value: object) -> typing.Any:
    """Which of several kinds ``value`` is: of dataclasses the one that has every field."""
    for kind in kinds:
        if dataclasses.is_dataclass(kind):
            fields = {field.name for field in dataclasses.fields(kind)}
            if isinstance(value, dict) and value.keys() <= fields:
                return kind
        elif isinstance(value, list) == (typing.get_origin(kind) is tuple) and (
            (value is None) == (kind is type(None))
        ):
            return kind
    return kinds[0]
