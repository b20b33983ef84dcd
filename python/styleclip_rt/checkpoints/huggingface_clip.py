"""CLIP safetensors from the Hugging Face hub, in the layout of open_clip or of transformers.

The weights do not tell the activation or the heads, so the config beside them is read too:
`open_clip_config.json` or transformers' `config.json`.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from styleclip_rt.checkpoints import openai_clip
from styleclip_rt.checkpoints.layout import count, rename, shape_of
from styleclip_rt.checkpoints.state import fill
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig

_FILES = ("open_clip_model.safetensors", "model.safetensors")
_ACTIVATIONS = ("quick_gelu", "gelu")

_TOWERS = {"vision": "vision_model", "text": "text_model"}
_BLOCK = {
    "norm1": ["layer_norm1"],
    "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attention.out": ["self_attn.out_proj"],
    "norm2": ["layer_norm2"],
    "expand": ["mlp.fc1"],
    "contract": ["mlp.fc2"],
}
_OUTSIDE = {
    "vision.patch_embedding.weight": "vision_model.embeddings.patch_embedding.weight",
    "vision.class_embedding": "vision_model.embeddings.class_embedding",
    "vision.position_embedding": "vision_model.embeddings.position_embedding.weight",
    # transformers has misspelt this one since its first release.
    "vision.norm_before.weight": "vision_model.pre_layrnorm.weight",
    "vision.norm_before.bias": "vision_model.pre_layrnorm.bias",
    "vision.norm_after.weight": "vision_model.post_layernorm.weight",
    "vision.norm_after.bias": "vision_model.post_layernorm.bias",
    "vision.projection.weight": "visual_projection.weight",
    "text.token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "text.position_embedding": "text_model.embeddings.position_embedding.weight",
    "text.norm.weight": "text_model.final_layer_norm.weight",
    "text.norm.bias": "text_model.final_layer_norm.bias",
    "text.projection.weight": "text_projection.weight",
}


def read(path: str | os.PathLike[str]) -> CLIP:
    """The CLIP in the safetensors file `path`, or in the folder `path` with such a file.

    Raises CheckpointError if the weights or the config beside them are missing, broken, or not
    exactly a CLIP with a vision transformer.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"{path} holds neither {_FILES[0]} nor {_FILES[1]}.")
        path = found[0]
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); fetch it again."
        ) from error
    if any(key.startswith("vision_model.") for key in state):
        return _read_transformers(state, path)
    return _read_open_clip(state, path)


def _read_open_clip(state: Mapping[str, Tensor], path: Path) -> CLIP:
    content = _config_beside(path, "open_clip_config.json")
    model = _section(content, "model_cfg", path)
    vision, text = _section(model, "vision_cfg", path), _section(model, "text_cfg", path)
    preprocessing = content.get("preprocess_cfg", {})
    config = openai_clip.config_of(state, path)
    activation = "quick_gelu" if model.get("quick_gelu", False) else "gelu"
    assert isinstance(config.vision, VisionTransformerConfig)
    head_width = vision.get("head_width", openai_clip.HEAD_WIDTH)
    config = dataclasses.replace(
        config,
        vision=dataclasses.replace(
            config.vision,
            activation=activation,
            heads=_whole(config.vision.width / head_width, "head_width", path),
        ),
        text=dataclasses.replace(
            config.text,
            activation=activation,
            heads=_whole(text.get("heads", config.text.heads), "heads", path),
        ),
        mean=_triple(preprocessing, "mean", config.mean, path),
        std=_triple(preprocessing, "std", config.std, path),
    )
    return openai_clip.build(state, config, path)


def _read_transformers(state: dict[str, Tensor], path: Path) -> CLIP:
    content = _config_beside(path, "config.json")
    # Releases before 4.31 saved the positions' indices as well.
    state = {key: value for key, value in state.items() if not key.endswith(".position_ids")}
    config = _transformers_config(state, content, path)
    with torch.device("meta"):
        keys = list(CLIP(config).state_dict())
    renamed = rename(state, {key: _their_names(key) for key in keys}, path)
    return fill(lambda: CLIP(config), renamed, path)


def _transformers_config(
    state: Mapping[str, Tensor], content: Mapping[str, Any], path: Path
) -> CLIPConfig:
    vision = _section(content, "vision_config", path)
    text = _section(content, "text_config", path)
    width, _, patch_size, _ = shape_of(state, _OUTSIDE["vision.patch_embedding.weight"], 4, path)
    positions = shape_of(state, _OUTSIDE["vision.position_embedding"], 2, path)[0]
    vocabulary_size, text_width = shape_of(state, _OUTSIDE["text.token_embedding.weight"], 2, path)
    preprocessing: Mapping[str, Any] = {}
    if (path.parent / "preprocessor_config.json").is_file():
        preprocessing = _config_beside(path, "preprocessor_config.json")
    return CLIPConfig(
        embed_dim=shape_of(state, "visual_projection.weight", 2, path)[0],
        image_resolution=patch_size * round((positions - 1) ** 0.5),
        vision=VisionTransformerConfig(
            patch_size=patch_size,
            width=width,
            layers=count(state, "vision_model.encoder.layers."),
            heads=_whole(vision.get("num_attention_heads", 12), "num_attention_heads", path),
            activation=_activation(vision, path),
        ),
        text=TextConfig(
            width=text_width,
            layers=count(state, "text_model.encoder.layers."),
            heads=_whole(text.get("num_attention_heads", 8), "num_attention_heads", path),
            activation=_activation(text, path),
            vocabulary_size=vocabulary_size,
            context_length=shape_of(state, _OUTSIDE["text.position_embedding"], 2, path)[0],
        ),
        mean=_triple(preprocessing, "image_mean", CLIPConfig.mean, path),
        std=_triple(preprocessing, "image_std", CLIPConfig.std, path),
    )


def _their_names(key: str) -> list[str]:
    block = re.fullmatch(r"(vision|text)\.blocks\.(\d+)\.(.+)\.(weight|bias)", key)
    if block:
        tower, index, module, kind = block.groups()
        layer = f"{_TOWERS[tower]}.encoder.layers.{index}"
        return [f"{layer}.{theirs}.{kind}" for theirs in _BLOCK[module]]
    return [_OUTSIDE.get(key, key)]


def _config_beside(path: Path, name: str) -> dict[str, Any]:
    file = path.parent / name
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path} needs the {name} of its model beside it, which says what its weights do not."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file} is not JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is not the config of a model; fetch it again.")
    return content


def _section(content: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = content.get(name)
    if not isinstance(section, Mapping):
        raise CheckpointError(f"The config beside {path} has no {name!r}; fetch it again.")
    return section


def _activation(section: Mapping[str, Any], path: Path) -> str:
    # transformers leaves out what equals its default.
    activation = section.get("hidden_act", "quick_gelu")
    if activation not in _ACTIVATIONS:
        raise CheckpointError(
            f"The config beside {path} names the activation {activation!r}; "
            f"only {' and '.join(_ACTIVATIONS)} are known."
        )
    return str(activation)


def _whole(value: object, name: str, path: Path) -> int:
    if not isinstance(value, int | float) or value != int(value) or value < 1:
        raise CheckpointError(f"The config beside {path} gives {name} no whole number.")
    return int(value)


def _triple(
    section: object, name: str, default: tuple[float, float, float], path: Path
) -> tuple[float, float, float]:
    value = section.get(name, default) if isinstance(section, Mapping) else default
    try:
        red, green, blue = (float(channel) for channel in value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The config beside {path} gives {name} no three numbers.") from error
    return red, green, blue
