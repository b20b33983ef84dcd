"""Latents in files: ours, and those that other programs leave.

Ours are safetensors with one tensor ``latent``, whose metadata says the ``space`` and the
``generator`` (its fingerprint). Read too: NumPy's ``.npy`` and ``.npz`` (NVIDIA's
``projected_w.npz``), and what ``torch.save`` makes of a tensor, a list of styles, or a dict of them
(e4e's ``latents.pt``, rosinality's projections). Nothing in a file is executed.

Needs torch for PyTorch's files only.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from styleclip_rt.checkpoints.header import check_size, in_order, reason_of
from styleclip_rt.errors import CheckpointError
from styleclip_rt.files import replacing

SPACES = ("w", "w+", "s")

_NAME = "latent"
_NAMES = (_NAME, "latents", "w_plus", "wp", "ws", "w", "w_pivot", "latent_code", "styles")
"""What programs call a latent among other things, the likeliest first."""

_WIDEST_W = 1024
"""No StyleGAN2 has wider latents in w; its styles together are far wider."""

_ROWS = {*range(4, 20, 2), *range(5, 24, 3)}
"""How many rows w+ can have: StyleGAN2 from 8 to 1024 px, MobileStyleGAN."""

_MOST_LATENTS = 1_000_000
_INFLATED = 64 << 20
"""Bytes to which compressed arrays may grow: a thousand latents of the largest generator."""


@dataclass(frozen=True)
class LatentFile:
    """The latents of N faces.

    Attributes:
        latents: float32, finite: [N, latent_dim] in w, [N, n_latent, latent_dim] in w+,
            [N, channels of all styles] in s.
        space: "w", "w+" or "s".
        generator: the `fingerprint` of the generator whose they are, "" where the file does not
            say.
    """

    latents: NDArray[np.float32]
    space: str
    generator: str = ""


def save_latents(
    path: str | os.PathLike[str],
    latents: NDArray[np.float32],
    space: str,
    generator: str,
    **more: str,
) -> None:
    """Write latents to `path`, atomically; the same latents give the same bytes.

    Args:
        path: of the safetensors file.
        latents: as in `LatentFile`.
        space: "w", "w+" or "s".
        generator: the fingerprint of the generator whose they are.
        more: what else the metadata should say, such as the prompt.

    Raises CheckpointError if the latents are not of that space, are not finite, or cannot be
    written.
    """
    path = Path(path)
    metadata = {**more, "space": space, "generator": generator}
    checked = _checked(np.asarray(latents), metadata, str(path))
    content = save({_NAME: np.ascontiguousarray(checked.latents)}, metadata)
    with replacing(path, CheckpointError) as temporary:
        temporary.write_bytes(in_order(content))


def read_latents(source: str | os.PathLike[str] | bytes) -> LatentFile:
    """The latents in a file, or in the bytes of a safetensors file.

    Floats of any width come back as float32. Where a file does not say its space the shape does:
    three dimensions are w+; of two, [n, latent_dim] is one latent in w+ where a generator can have
    n rows, and n latents in w otherwise.

    Raises CheckpointError if the source is missing, broken or hostile, holds no latents or several
    different ones, or holds numbers that are not finite floats.
    """
    if isinstance(source, bytes):
        return _read_safetensors(source, "The latent that was sent")
    path, what = Path(source), str(source)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            kind = _kind(head)
            content = b"" if kind == "torch" else head + file.read()
    except OSError as error:
        raise CheckpointError(
            f"{what} cannot be read ({error.strerror}); give the file of a latent."
        ) from None
    if kind == "safetensors":
        return _read_safetensors(content, what)
    if kind == "npy":
        return _checked(_read_npy(content, what), {}, what)
    if kind == "npz":
        return _checked(_chosen(_read_npz(content, what), what), {}, what)
    if kind == "torch":
        return _checked(_read_torch(path), {}, what)
    raise CheckpointError(
        f"{what} is no latent: give a .safetensors that an edit saved, a .npy, .npz or .pt."
    )


def _kind(head: bytes) -> str:
    """Which format a file is in, by its first bytes, never by its name."""
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK"):
        # The name of the archive's first member follows the 30 bytes that say how long it is.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return "npz" if name.endswith(b".npy") else "torch"
    if head[8:9] == b"{":
        return "safetensors"
    return "torch" if head.startswith(b"\x80\x02") else ""


def _read_safetensors(content: bytes, what: str) -> LatentFile:
    check_size(content, what)
    try:
        tensors = dict(deserialize(content))  # type: ignore[no-untyped-call]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{what} is no readable safetensors file ({reason_of(error)})."
        ) from None
    metadata = header.get("__metadata__") or {}
    if "architecture" in metadata:
        raise CheckpointError(
            f"{what} holds a model ({metadata['architecture']:.40}) and no latent; give the "
            "latent.safetensors that an edit saved."
        )
    arrays = {name: _decoded(tensor, name, what) for name, tensor in tensors.items()}
    return _checked(_chosen(arrays, what), metadata, what)


def _decoded(tensor: Mapping[str, Any], name: str, what: str) -> NDArray[Any]:
    kind, data = tensor["dtype"], tensor["data"]
    if kind in ("F64", "F32", "F16"):
        values = np.frombuffer(data, f"<f{int(kind[1:]) // 8}")
    elif kind == "BF16":
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind == "F8_E5M2":
        values = (np.frombuffer(data, "u1").astype(np.uint16) << 8).view(np.float16)
    elif kind == "F8_E4M3":
        values = _e4m3()[np.frombuffer(data, "u1")]
    else:
        raise _no_floats(what, kind, name)
    return values.reshape(tensor["shape"])


def _e4m3() -> NDArray[np.float32]:
    """The values of the 256 codes of float8_e4m3fn."""
    codes = np.arange(256)
    exponent, fraction = codes >> 3 & 15, codes & 7
    subnormal = exponent == 0
    values = np.ldexp(fraction + 8.0 * ~subnormal, np.where(subnormal, 1, exponent) - 10)
    values[(codes & 127) == 127] = np.nan
    signed: NDArray[np.float32] = np.where(codes < 128, values, -values).astype(np.float32)
    return signed


def _read_npy(content: bytes, what: str) -> NDArray[Any]:
    """As `numpy.load`, which allocates what a header claims before it looks for the numbers."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = header(file)
        if dtype.kind != "f":
            raise _no_floats(what, str(dtype))
        if math.prod(shape) * dtype.itemsize > len(content) - file.tell():
            raise CheckpointError(f"{what} ends before its last number; save or fetch it again.")
        values = np.frombuffer(content, dtype, math.prod(shape), file.tell())
        return values.reshape(shape, order="F" if by_columns else "C")
    except CheckpointError:
        raise
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(f"{what} is no readable NumPy array; save it again.") from error


def _read_npz(content: bytes, what: str) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _INFLATED + len(content):
                raise CheckpointError(f"{what} grows to more than latents take; it was not read.")
            files = {member.filename: archive.read(member) for member in members}
    except CheckpointError:
        raise
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(f"{what} is no readable archive of NumPy arrays.") from error
    return {
        name.removesuffix(".npy"): _read_npy(file, f"{name} in {what}")
        for name, file in files.items()
    }


def _read_torch(path: Path) -> NDArray[Any]:
    from styleclip_rt.checkpoints.state import read_torch_file

    content = read_torch_file(path)
    return _FromTorch(str(path), path.stat().st_size).array(content, depth=0)


class _FromTorch:
    """Arrays of PyTorch's tensors in containers, not larger together than their file lets expect.

    Args:
        what: the file, for sentences.
        size: bytes of it.
    """

    def __init__(self, what: str, size: int) -> None:
        self.what = what
        self.bytes = 2 * size + _INFLATED
        self.parts = _MOST_LATENTS

    def array(self, content: object, depth: int) -> NDArray[Any]:
        """The latent that `content` is or holds."""
        import torch

        from styleclip_rt.checkpoints.state import floats

        self.parts -= 1
        if isinstance(content, torch.Tensor) and self.parts >= 0:
            self.bytes -= 4 * content.numel()
            if self.bytes >= 0:
                return np.asarray(floats(content, "a latent", self.what).numpy())
        elif depth < 3 and isinstance(content, Mapping) and self.parts >= 0:
            latents = {
                str(name): self.array(value, depth + 1)
                for name, value in _latents_among(content).items()
            }
            return _chosen(latents, self.what)
        elif depth < 3 and isinstance(content, list) and content and self.parts >= 0:
            parts = [self.array(value, depth + 1) for value in content]
            same = len({part.shape for part in parts}) == 1
            return _faces(parts) if same else _styles(parts, self.what)
        raise CheckpointError(
            f"{self.what} holds no latent but {type(content).__name__!r}; give a tensor of "
            "[latents, rows, 512] or a dict of them."
        )


def _latents_among(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Rosinality's projections keep an image and noise beside each latent."""
    for name in _NAMES:
        if name in content:
            return {name: content[name]}
    return content


def _styles(parts: Sequence[NDArray[Any]], what: str) -> NDArray[Any]:
    """A list of styles, [N, channels] or StyleCLIP's [N, 1, channels, 1, 1], as one array."""
    rows = [part.reshape(len(part) if part.ndim > 1 else 1, -1) for part in parts if part.size]
    if len({len(row) for row in rows}) != 1:
        raise CheckpointError(f"{what} holds a list of arrays that are no styles of one face.")
    return np.concatenate(rows, axis=1)


def _faces(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Latents of one shape as one array, each without its own leading 1."""
    return np.stack([p[0] if p.ndim == 3 and len(p) == 1 else p for p in parts])


def _chosen(arrays: Mapping[str, NDArray[Any]], what: str) -> NDArray[Any]:
    """The latent among named arrays; those of several faces, all of one shape, become one array."""
    for name in _NAMES:
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if not arrays or len({array.shape for array in arrays.values()}) > 1:
        names = ", ".join(repr(name) for name in list(arrays)[:5]) or "nothing"
        raise CheckpointError(f"{what} holds {names}; give one latent, or name it 'latent'.")
    return _faces(list(arrays.values()))


def _checked(values: NDArray[Any], metadata: Mapping[str, str], what: str) -> LatentFile:
    """`values` as float32 in N latents of the space that `metadata`, or else the shape, says."""
    if values.dtype.kind != "f":
        raise _no_floats(what, str(values.dtype))
    shape, said = values.shape, metadata.get("space", "")
    # Edits used to say in which space they moved; what they saved was w+ all the same.
    if said not in ("", "z", *SPACES):
        raise CheckpointError(
            f"{what} says its latents are in {said!r:.40}; w, w+ and s are known."
        )
    if 0 in shape or not 1 <= len(shape) <= 3 or (said == "s" and len(shape) > 2):
        raise CheckpointError(
            f"{what} holds an array of shape {shape}, which is no latent: give "
            "[latents, rows, 512], or one latent of it."
        )
    if len(shape) == 3:
        space = "w+"
    elif said == "s" or shape[-1] > _WIDEST_W:
        space = "s"
    elif said == "w+" or (said != "w" and len(shape) == 2 and shape[0] in _ROWS):
        space = "w+"
    else:
        space = "w"
    with np.errstate(over="ignore"):
        latents = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(latents).all():
        raise CheckpointError(f"{what} has numbers that are not finite; save or fetch it again.")
    each = shape[-2:] if space == "w+" else shape[-1:]
    return LatentFile(latents.reshape(-1, *each), space, metadata.get("generator", ""))


def _no_floats(what: str, kind: str, name: str = "") -> CheckpointError:
    holder = f" in {name!r}" if name else ""
    return CheckpointError(f"{what} holds {kind}{holder} where a latent has floats.")
