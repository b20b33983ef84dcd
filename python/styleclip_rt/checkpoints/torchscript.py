"""The tensors of a TorchScript archive, read without TorchScript.

`torch.jit.load` compiles whatever code an archive carries. The weights need none of it: they are
the attributes of the pickled module tree in `data.pkl`.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from styleclip_rt.checkpoints.archive import Archive, BrokenArchive
from styleclip_rt.checkpoints.pickled import BrokenPickle, Make, Record
from styleclip_rt.checkpoints.torch_file import read_zip
from styleclip_rt.errors import CheckpointError

_DEEPEST, _MOST_ATTRIBUTES, _LONGEST_NAME = 32, 100_000, 500


def is_torchscript(path: Path) -> bool:
    """Whether `path` is a zip archive with TorchScript code in it."""
    try:
        with Archive(path) as archive:
            return any("/code/" in f"/{name}" for name in archive.members)
    except (BrokenArchive, OSError):
        return False


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor attribute of the module tree in `path` by its dotted name, on the CPU.

    Nothing in the archive is compiled or executed: modules become inert records, and names that no
    archive of weights has are refused.

    Raises CheckpointError if the archive is broken or holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    try:
        _collect(read_zip(path, _names), tensors)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; give the path of a weights file.") from None
    except (BrokenPickle, BrokenArchive, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable TorchScript archive of weights ({error}); "
            "nothing in it was run: fetch it again from its official source."
        ) from error
    return tensors


def _names(full: str) -> Make | bool:
    if full.startswith("__torch__."):
        return True
    module, _, name = full.rpartition(".")
    if module == "torch.jit._pickle" and (name.startswith("build_") or name == "restore_type_tag"):
        return lambda value, *_: value
    return False


def _collect(root: object, tensors: dict[str, Tensor]) -> None:
    """Name the tensors of a tree. Modules that are shared count once for each of their names."""
    waiting: list[tuple[Any, str, int]] = [(root, "", 0)]
    left = _MOST_ATTRIBUTES
    while waiting:
        value, name, depth = waiting.pop()
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Record):
            if not isinstance(value.state, dict):
                raise BrokenPickle("a module has no attributes")
            left -= len(value.state)
            if depth == _DEEPEST or left < 0:
                raise BrokenPickle("it has more modules than a network can need")
            for key, item in value.state.items():
                inner = f"{name}.{key}" if name else str(key)
                if len(inner) > _LONGEST_NAME:
                    raise BrokenPickle("it has longer names than a network can need")
                waiting.append((item, inner, depth + 1))


def made_by(path: Path, package: str) -> bool:
    """Whether the archive `path` carries code of the Python package `package`."""
    try:
        with Archive(path) as archive:
            return any(f"/code/__torch__/{package}/" in f"/{name}" for name in archive.members)
    except (BrokenArchive, OSError):
        return False
