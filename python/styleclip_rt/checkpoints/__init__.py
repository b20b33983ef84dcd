"""Weights files people have, read into our models.

One reader a format; the format is found by what is in the file, never by its name. No reader
executes anything that a file contains.
"""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from styleclip_rt.checkpoints.archive import Archive, BrokenArchive
from styleclip_rt.checkpoints.header import FORMAT, read_metadata
from styleclip_rt.errors import CheckpointError

# Latents are read where there is no torch.
if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_clip", "load_generator", "load_identity", "load_mapper"]

# A legacy torch.save starts with this pickled number, which tells it from any other pickle.
_TORCH_LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def load_generator(path: str | os.PathLike[str]) -> "nn.Module":
    """A StyleGAN2 or MobileStyleGAN from ``path``.

    Reads our own safetensors, rosinality's ``.pt`` (also inside e4e and pSp checkpoints),
    NVIDIA's ``.pkl``, and the folder with random-face's OpenVINO IR.

    Raises CheckpointError if the file is missing, broken, hostile or holds something else.
    """
    path = Path(path)
    readers = {"torch": "rosinality", "pickle": "nvidia", "openvino": "openvino_ir"}
    return _load(path, "generator", ("stylegan2", "mobile_stylegan"), readers)


def load_clip(path: str | os.PathLike[str]) -> "nn.Module":
    """A CLIP from ``path``.

    Reads our own safetensors, OpenAI's TorchScript archive or its state dict, and the weights
    (safetensors or PyTorch's, or the folder with them) of open_clip and transformers, with the
    config beside them. A state dict that could be OpenAI's or open_clip's, without a config, is
    read as OpenAI's with a warning that says so.

    Raises CheckpointError if the file is missing, broken, hostile or holds something else, or its
    config asks for what this package's CLIP does not do.
    """
    path = Path(path)
    kinds = ("torchscript", "torch", "safetensors", "folder")
    return _load(path, "CLIP", ("clip",), dict.fromkeys(kinds, "clip_file"))


def load_identity(path: str | os.PathLike[str]) -> "nn.Module":
    """An ArcFace or InceptionResnetV1 from ``path``.

    Reads our own safetensors, ``model_ir_se50.pth``, and facenet-pytorch's state dict.

    Raises CheckpointError if the file is missing, broken, hostile or holds something else.
    """
    path = Path(path)
    readers = {"torch": "arcface"}
    if _kind(path) == "torch":
        from styleclip_rt.checkpoints.state import read_torch_file

        state = read_torch_file(path)
        if isinstance(state, Mapping) and any("conv2d_1a" in str(key) for key in state):
            readers = {"torch": "facenet"}
    return _load(path, "identity network", ("arcface", "facenet"), readers)


def load_mapper(path: str | os.PathLike[str]) -> "nn.Module":
    """A LevelsMapper, StyleSpaceMapper, PromptMapper or StyleDirections from ``path``.

    Reads our own safetensors and the checkpoints that StyleCLIP's mapper training saves.

    Raises CheckpointError if the file is missing, broken, hostile or holds something else.
    """
    path = Path(path)
    architectures = ("levels_mapper", "style_space_mapper", "prompt_mapper", "style_directions")
    return _load(path, "mapper", architectures, {"torch": "styleclip_mapper"})


def _load(
    path: Path, role: str, architectures: tuple[str, ...], readers: Mapping[str, str]
) -> "nn.Module":
    kind = _kind(path)
    if kind == "native":
        from styleclip_rt.checkpoints import native

        architecture = read_metadata(path).get("architecture", "")
        if architecture not in architectures:
            raise CheckpointError(
                f"{path} holds a {architecture!r} model where a {role} is needed; "
                f"give a file with {' or '.join(architectures)}."
            )
        return native.load(path)
    if kind not in readers:
        raise CheckpointError(
            f"{path} is in no format that a {role} comes in ({_DESCRIPTIONS[kind]}); "
            "docs/GUIDE.md lists the formats."
        )
    reader = importlib.import_module(f"{__name__}.{readers[kind]}")
    model: nn.Module = reader.read(path)
    return model


_DESCRIPTIONS = {
    "openvino": "it is a folder with an OpenVINO IR",
    "folder": "it is a folder",
    "safetensors": "it is a safetensors file that this package did not write",
    "torchscript": "it is a TorchScript archive",
    "torch": "it is a PyTorch file",
    "pickle": "it is a Python pickle",
    "unknown": "its first bytes are of no known format",
}


def _kind(path: Path) -> str:
    """``native`` or one of ``_DESCRIPTIONS``, from the content of ``path``."""
    if path.is_dir():
        return "openvino" if any(path.glob("*.xml")) else "folder"
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; give the path of a weights file.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    if not head:
        raise CheckpointError(f"{path} is empty; fetch it again.")
    if head.startswith(b"PK"):
        try:
            with Archive(path) as archive:
                scripted = any(member.split("/")[1:2] == ["code"] for member in archive.members)
        except (BrokenArchive, OSError):
            # Let the reader of PyTorch's files say what is wrong with it.
            return "torch"
        return "torchscript" if scripted else "torch"
    # Before pickle, whose mark 0x80 may also be the low byte of a header's length.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        metadata = read_metadata(path)
        return "native" if metadata.get("format") == FORMAT else "safetensors"
    if head[0] == 0x80:
        return "torch" if _TORCH_LEGACY_MAGIC in head else "pickle"
    return "unknown"
