"""ArcFace state dicts of InsightFace_Pytorch, such as StyleCLIP's `model_ir_se50.pth`."""

import math
import os
import re
from pathlib import Path

import torch
from torch import Tensor

from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of, state_dict
from styleclip_rt.checkpoints.state import fill, keys_of, read_torch_file
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig

_NAMES = [
    (r"stem\.(\d)", r"input_layer.\1"),
    (r"units\.(\d+)\.shortcut", r"body.\1.shortcut_layer"),
    (r"units\.(\d+)\.norm1", r"body.\1.res_layer.0"),
    (r"units\.(\d+)\.conv1", r"body.\1.res_layer.1"),
    (r"units\.(\d+)\.prelu", r"body.\1.res_layer.2"),
    (r"units\.(\d+)\.conv2", r"body.\1.res_layer.3"),
    (r"units\.(\d+)\.norm2", r"body.\1.res_layer.4"),
    (r"units\.(\d+)\.gate\.squeeze", r"body.\1.res_layer.5.fc1"),
    (r"units\.(\d+)\.gate\.excite", r"body.\1.res_layer.5.fc2"),
    (r"head_norm", r"output_layer.0"),
    (r"head", r"output_layer.3"),
    (r"embedding_norm", r"output_layer.4"),
]
"""Our module -> InsightFace_Pytorch's."""


def read(path: str | os.PathLike[str]) -> ArcFace:
    """The IR or IR-SE network in `path`, its shape taken from its tensors.

    Raises CheckpointError if the file is broken or not exactly such a network.
    """
    path = Path(path)
    state = state_dict(read_torch_file(path), path)
    config = _config(state, path)
    keys = keys_of(lambda: ArcFace(config), len(state), path)
    if "output_layer.4.running_mean" in state and "output_layer.4.weight" not in state:
        # Networks made with affine=False leave the last norm without scale and shift.
        state["output_layer.4.weight"] = torch.ones(config.embed_dim)
        state["output_layer.4.bias"] = torch.zeros(config.embed_dim)
    renamed = rename(state, {key: [_their_name(key)] for key in keys}, path)

    def flat(key: str) -> Tensor:
        value = renamed[key]
        return value.flatten(1) if ".gate." in key and value.dim() == 4 else value

    return fill(lambda: ArcFace(config), Computed(renamed, flat), path)


def _their_name(key: str) -> str:
    for ours, theirs in _NAMES:
        renamed, found = re.subn(rf"^{ours}(?=\.)", theirs, key)
        if found:
            return renamed
    raise AssertionError(key)


def _config(state: dict[str, Tensor], path: Path) -> ArcFaceConfig:
    widths: list[int] = []
    units: list[int] = []
    for index in range(count(state, "body.")):
        width = shape_of(state, f"body.{index}.res_layer.1.weight", 4, path)[0]
        if not widths or width != widths[-1]:
            widths.append(width)
            units.append(0)
        units[-1] += 1
    embed_dim, head_inputs = shape_of(state, "output_layer.3.weight", 2, path)
    reduction = ArcFaceConfig.reduction
    squeeze_excite = any(".res_layer.5." in key for key in state)
    if squeeze_excite:
        squeezed, width = shape_of(state, "body.0.res_layer.5.fc1.weight", 4, path)[:2]
        reduction = max(1, width // squeezed)
    side = math.isqrt(head_inputs // widths[-1]) if widths else 0
    try:
        return ArcFaceConfig(
            widths=tuple(widths),
            units=tuple(units),
            squeeze_excite=squeeze_excite,
            reduction=reduction,
            embed_dim=embed_dim,
            input_size=side * 2 ** len(widths),
        )
    except ValueError as error:
        raise CheckpointError(f"{path} holds no ArcFace network ({error}).") from error
