"""CLIP files of OpenAI, open_clip and transformers, in whatever container they come."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from styleclip_rt.checkpoints import clip_config, huggingface_clip, openai_clip
from styleclip_rt.checkpoints.layout import state_dict
from styleclip_rt.checkpoints.state import read_safetensors, read_torch_file
from styleclip_rt.checkpoints.torch_file import OrderedDict
from styleclip_rt.checkpoints.torchscript import is_torchscript, made_by, read_tensors
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.clip import CLIP

_FILES = (
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)
"""What the weights are called in a folder of the Hugging Face hub, the likeliest first."""

_WRAPPED = ("state_dict", "model_state_dict", "model")
"""Under what programs that train keep the weights, among other things."""

_ARCHIVED = ("input_resolution", "context_length", "vocab_size")
_ACCESSORIES = re.compile(rf"{'|'.join(_ARCHIVED)}|(.*\.)?attn_mask")
"""What OpenAI's archive keeps beside the weights: three numbers and the causal mask."""

_ONLY_OPEN_CLIP = (".ls_1", ".ls_2", "visual.patch_dropout")
"""Modules without weights that open_clip has and OpenAI's CLIP has not."""


def read(path: Path) -> CLIP:
    """The CLIP in the file `path`, or in the folder `path` with such a file.

    Raises CheckpointError if the weights or the config beside them are missing, broken, or not
    exactly a CLIP with a vision transformer and OpenAI's text transformer.
    """
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"{path} holds none of {', '.join(_FILES)}.")
        path = found[0]
    state, maker = _state_of(path)
    if huggingface_clip.is_layout(state):
        config = huggingface_clip.config_of(state, path)
        config = clip_config.complete(config, path, clip_config.TRANSFORMERS)
        return huggingface_clip.build(state, config, path)
    config = openai_clip.config_of(state, path)
    beside = clip_config.find(path, clip_config.OPEN_CLIP)
    if maker == "open_clip" or (maker == "" and beside is not None):
        config = clip_config.complete(config, path, clip_config.OPEN_CLIP)
    elif maker == "":
        warnings.warn(
            f"{path} does not say its activation, and no config lies beside it: it is read as "
            "OpenAI's CLIP (QuickGELU, heads of 64 channels); if open_clip made it, put its "
            f"{clip_config.OPEN_CLIP} beside it.",
            stacklevel=4,
        )
    return openai_clip.build(state, config, path)


def _state_of(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """The tensors in `path`, and who made them: "openai", "open_clip", or "" if nothing tells."""
    if is_torchscript(path):
        state = _weights(state_dict(read_tensors(path), path))
        return state, "open_clip" if made_by(path, "open_clip") else "openai"
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:9] == b"{":
        return read_safetensors(path), "open_clip"
    content = read_torch_file(path)
    wrapped = [key for key in _WRAPPED if isinstance(content, Mapping) and key in content]
    if wrapped:
        content = content[wrapped[0]]  # type: ignore[index]
    whole = state_dict(content, path)
    maker = "openai" if all(key in whole for key in _ARCHIVED) else ""
    metadata = content.attributes.get("_metadata") if isinstance(content, OrderedDict) else None
    if isinstance(metadata, Mapping) and any(
        str(module).endswith(_ONLY_OPEN_CLIP) for module in metadata
    ):
        maker = "open_clip"
    return _weights(whole), maker


def _weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not _ACCESSORIES.fullmatch(key)}
