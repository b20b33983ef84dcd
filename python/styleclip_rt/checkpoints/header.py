"""The header of safetensors files. Needs no torch."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from styleclip_rt.errors import CheckpointError

FORMAT = "styleclip-rt/1"
"""What the metadata of this package's own weights says under "format"."""

_LARGEST = 4 << 20
"""Bytes of a header; that of a thousand tensors takes a hundred thousand."""


def reason_of(error: Exception) -> str:
    """What a parser says of a file, in so many words as fit into a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def in_order(content: bytes) -> bytes:
    """The safetensors file `content` with its metadata in alphabetical order.

    The library writes it in another order every time, and the same weights would be another file.
    """
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The format aligns the tensors to 8 bytes with spaces.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[length:]


def check_size(source: Path | bytes, what: str) -> None:
    """Raise CheckpointError if the header of a safetensors file is larger than any model needs:
    each of its tensors takes several times as much memory as the header spends on it."""
    if isinstance(source, bytes):
        start = source[:8]
    else:
        try:
            with source.open("rb") as file:
                start = file.read(8)
        except OSError as error:
            raise CheckpointError(f"{what} cannot be read ({error.strerror}).") from error
    if int.from_bytes(start, "little") > _LARGEST:
        raise CheckpointError(
            f"{what} is not a readable safetensors file (its header is larger than any model "
            "needs); fetch or convert it again."
        )


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the safetensors file ``path``; empty if it has none.

    Raises CheckpointError if the file is missing or is no safetensors file.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a weights file.")
    check_size(path, str(path))
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({reason_of(error)}); "
            "fetch or convert it again."
        ) from error
