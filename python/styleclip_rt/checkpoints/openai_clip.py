"""The layout of OpenAI's CLIP, which is open_clip's as well."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of
from styleclip_rt.checkpoints.state import fill, keys_of
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.clip import CLIP, CLIPConfig, TextConfig, VisionTransformerConfig

HEAD_WIDTH = 64
"""Every CLIP of OpenAI has attention heads of 64 channels."""

_BLOCK = {
    "norm1": "ln_1",
    "attention.qkv.weight": "attn.in_proj_weight",
    "attention.qkv.bias": "attn.in_proj_bias",
    "attention.out": "attn.out_proj",
    "norm2": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}
_OUTSIDE = {
    "vision.patch_embedding": "visual.conv1",
    "vision.class_embedding": "visual.class_embedding",
    "vision.position_embedding": "visual.positional_embedding",
    "vision.norm_before": "visual.ln_pre",
    "vision.norm_after": "visual.ln_post",
    "vision.projection.weight": "visual.proj",
    "text.token_embedding": "token_embedding",
    "text.position_embedding": "positional_embedding",
    "text.norm": "ln_final",
    "text.projection.weight": "text_projection",
}
_TRANSFORMERS = {"vision": "visual.transformer", "text": "transformer"}


def config_of(state: Mapping[str, Tensor], path: Path) -> CLIPConfig:
    """The config that OpenAI's tensors in `state` imply, if they are for QuickGELU and heads of
    `HEAD_WIDTH` channels as OpenAI's own are.

    Raises CheckpointError if they are no CLIP with a vision transformer.
    """
    if any(key.startswith("visual.layer1.") for key in state):
        raise CheckpointError(
            f"{path} holds a CLIP with a ResNet; choose ViT-B/32, ViT-B/16 or ViT-L/14."
        )
    width, _, patch_size, _ = shape_of(state, "visual.conv1.weight", 4, path)
    positions = shape_of(state, "visual.positional_embedding", 2, path)[0]
    vocabulary_size, text_width = shape_of(state, "token_embedding.weight", 2, path)
    return CLIPConfig(
        embed_dim=shape_of(state, "text_projection", 2, path)[1],
        image_resolution=patch_size * round((positions - 1) ** 0.5),
        vision=VisionTransformerConfig(
            patch_size=patch_size,
            width=width,
            layers=count(state, "visual.transformer.resblocks."),
            heads=max(1, width // HEAD_WIDTH),
        ),
        text=TextConfig(
            width=text_width,
            layers=count(state, "transformer.resblocks."),
            heads=max(1, text_width // HEAD_WIDTH),
            vocabulary_size=vocabulary_size,
            context_length=shape_of(state, "positional_embedding", 2, path)[0],
        ),
        logit_bias="logit_bias" in state,
    )


def build(state: Mapping[str, Tensor], config: CLIPConfig, path: Path) -> CLIP:
    """A CLIP of `config` with OpenAI's tensors in `state`.

    Raises CheckpointError naming a tensor that is missing, surplus or of another shape.
    """
    names = {key: [_their_name(key)] for key in keys_of(lambda: CLIP(config), len(state), path)}
    renamed = rename(state, names, path)

    def turned(key: str) -> Tensor:
        value = renamed[key]
        return value.t() if key.endswith(".projection.weight") and value.dim() == 2 else value

    return fill(lambda: CLIP(config), Computed(renamed, turned), path)


def _their_name(key: str) -> str:
    block = re.fullmatch(r"(vision|text)\.blocks\.(\d+)\.(.+)", key)
    if block:
        tower, index, inner = block.groups()
        return f"{_TRANSFORMERS[tower]}.resblocks.{index}.{_replaced(inner, _BLOCK)}"
    return _replaced(key, _OUTSIDE)


def _replaced(key: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        if key == ours or key.startswith(f"{ours}."):
            return theirs + key[len(ours) :]
    return key
