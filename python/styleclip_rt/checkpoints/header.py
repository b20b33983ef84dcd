"""The header of safetensors files. Needs no torch."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from styleclip_rt.errors import CheckpointError

FORMAT = "styleclip-rt/1"
"""What the metadata of this package's own weights says under "format"."""


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


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the safetensors file ``path``; empty if it has none.

    Raises CheckpointError if the file is missing or is no safetensors file.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a weights file.")
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); fetch or convert it again."
        ) from error
