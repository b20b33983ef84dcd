"""What an exported file says of itself, read without loading it. Needs no torch.

Loading a TorchScript archive runs code that it holds, and loading an archive of AOTInductor runs
machine code. So what a file is must be known before: whoever loads one reads this first.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from styleclip_rt.engines.export_info import KEY, ExportInfo
from styleclip_rt.errors import ExportError

MAX_BYTES = 1 << 20
"""Of a file's metadata."""
MAX_CODE = 64 << 20
"""Of the code of a TorchScript archive, unpacked."""

_FORBIDDEN = re.compile(rb"\b(__setstate__|save|from_file)\b")
"""What runs when an archive is loaded, and the two operators of TorchScript that write files; no
export of this package has either."""


def read_info(path: Path) -> ExportInfo:
    """What an exported file says of itself; nothing of it is run.

    Raises:
        ExportError: it is broken, or not this package's.
    """
    return ExportInfo.from_json(_READERS[path.suffix](path), path)


def aotinductor_metadata(path: Path) -> dict[str, str]:
    """The metadata of an archive of AOTInductor.

    Raises:
        ExportError: it is broken.
    """
    with _archive(path, "archive of AOTInductor") as archive:
        texts = _members(archive, re.compile(r"[^/]+/data/aotinductor/model/[^/]+metadata\.json"))
        known = [json.loads(text) for text in texts]
        # One for each part that was compiled, all alike.
        if not known or any(one != known[0] for one in known) or not isinstance(known[0], dict):
            raise ValueError("its parts do not say what they are")
        return {str(key): value for key, value in known[0].items() if isinstance(value, str)}


def _torchscript(path: Path) -> str | None:
    with _archive(path, "TorchScript archive") as archive:
        left = MAX_CODE
        for entry in archive.infolist():
            # Marks the old form of archives, whose code may lie anywhere in them.
            if entry.filename.endswith("model.json"):
                raise ValueError("it is of a form that no export has")
            if re.search(r"/code/.*\.py$", entry.filename):
                left -= entry.file_size
                if left < 0:
                    raise ValueError("its code is longer than any export's")
                with archive.open(entry) as file:
                    found = _FORBIDDEN.search(file.read(entry.file_size))
                if found:
                    raise ValueError(f"its code has {found[0].decode()}, which no export has")
        texts = list(_members(archive, re.compile(rf"[^/]+/extra/{KEY}\.json")))
        return texts[0] if len(texts) == 1 else None


def _aotinductor(path: Path) -> str | None:
    return aotinductor_metadata(path).get(KEY)


def _onnx(path: Path) -> str | None:
    """The entry of `metadata_props` in a ModelProto."""
    text = None
    try:
        with path.open("rb") as file:
            for number, length in _fields(file, path.stat().st_size):
                if number != _METADATA_PROPS or length > MAX_BYTES:
                    continue
                parts = _fields(file, file.tell() + length)
                entry = {part: file.read(chars) for part, chars in parts}
                if entry.get(1) == KEY.encode():
                    text = entry.get(2, b"").decode()
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{path} cannot be loaded by ONNX Runtime ({error}): export it again."
        ) from None
    return text


_METADATA_PROPS = 14


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Number and length of each length-delimited field of a protobuf message up to `end`; the
    reader takes it, or not. (https://protobuf.dev/programming-guides/encoding)"""
    while file.tell() < end:
        key = _varint(file)
        number, kind = key >> 3, key & 7
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, 1)
        elif kind == 2:
            length = _varint(file)
            after = file.tell() + length
            if after > end:
                raise ValueError("it is cut off")
            yield number, length
            file.seek(after)
        else:
            raise ValueError("it is no model")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it is cut off")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it is no model")


def _tensorrt(path: Path) -> str | None:
    with path.open("rb") as file:
        return file.readline(MAX_BYTES).decode(errors="replace")


_READERS: dict[str, Callable[[Path], str | None]] = {
    ".onnx": _onnx,
    ".ts": _torchscript,
    ".pt2": _aotinductor,
    ".engine": _tensorrt,
}


@contextmanager
def _archive(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """A zip file; what is wrong with it is one sentence."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _ZIP_ERRORS as error:
        raise ExportError(f"{path} is not a readable {kind} ({error}): export it again.") from None


_ZIP_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    RecursionError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


def _members(archive: zipfile.ZipFile, name: re.Pattern[str]) -> Iterator[str]:
    for entry in archive.infolist():
        if name.fullmatch(entry.filename):
            if entry.file_size > MAX_BYTES:
                raise ValueError("its metadata is longer than any export's")
            with archive.open(entry) as file:
                yield file.read(MAX_BYTES + 1).decode()
