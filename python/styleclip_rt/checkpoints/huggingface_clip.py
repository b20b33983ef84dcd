"""The layout of transformers' CLIP."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from styleclip_rt.checkpoints.layout import count, rename, shape_of
from styleclip_rt.checkpoints.state import fill, keys_of
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig

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


def is_layout(state: Mapping[str, Tensor]) -> bool:
    """Whether `state` has the names of transformers' CLIP."""
    return any(key.startswith("vision_model.") for key in state)


def config_of(state: Mapping[str, Tensor], path: Path) -> CLIPConfig:
    """The config that the tensors in `state` imply, without activations and heads.

    Raises CheckpointError if they are no CLIP with a vision transformer.
    """
    width, _, patch_size, _ = shape_of(state, _OUTSIDE["vision.patch_embedding.weight"], 4, path)
    positions = shape_of(state, _OUTSIDE["vision.position_embedding"], 2, path)[0]
    vocabulary_size, text_width = shape_of(state, _OUTSIDE["text.token_embedding.weight"], 2, path)
    return CLIPConfig(
        embed_dim=shape_of(state, "visual_projection.weight", 2, path)[0],
        image_resolution=patch_size * round((positions - 1) ** 0.5),
        vision=VisionTransformerConfig(
            patch_size=patch_size,
            width=width,
            layers=count(state, "vision_model.encoder.layers."),
        ),
        text=TextConfig(
            width=text_width,
            layers=count(state, "text_model.encoder.layers."),
            vocabulary_size=vocabulary_size,
            context_length=shape_of(state, _OUTSIDE["text.position_embedding"], 2, path)[0],
        ),
    )


def build(state: Mapping[str, Tensor], config: CLIPConfig, path: Path) -> CLIP:
    """A CLIP of `config` with transformers' tensors in `state`.

    Raises CheckpointError naming a tensor that is missing, surplus or of another shape.
    """
    # Releases before 4.31 saved the positions' indices as well.
    state = {key: value for key, value in state.items() if not key.endswith(".position_ids")}
    names = {key: _their_names(key) for key in keys_of(lambda: CLIP(config), len(state), path)}
    return fill(lambda: CLIP(config), rename(state, names, path), path)


def _their_names(key: str) -> list[str]:
    block = re.fullmatch(r"(vision|text)\.blocks\.(\d+)\.(.+)\.(weight|bias)", key)
    if block:
        tower, index, module, kind = block.groups()
        layer = f"{_TOWERS[tower]}.encoder.layers.{index}"
        return [f"{layer}.{theirs}.{kind}" for theirs in _BLOCK[module]]
    return [_OUTSIDE.get(key, key)]
