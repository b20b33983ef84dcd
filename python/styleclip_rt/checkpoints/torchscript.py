"""The tensors of a TorchScript archive, read without TorchScript.

`torch.jit.load` compiles whatever code an archive carries. The weights need none of it: they are
the attributes of the pickled module tree in `data.pkl`, and each storage is a plain file beside
it (PyTorch's `caffe2/serialize` format).
"""

import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from styleclip_rt.errors import CheckpointError

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_torchscript(path: Path) -> bool:
    """Whether `path` is a zip archive with TorchScript code in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in f"/{name}" for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor attribute of the module tree in `path` by its dotted name, on the CPU.

    Nothing in the archive is compiled or executed: the unpickler builds tensors, plain
    containers and inert stand-ins for modules, and refuses the rest.

    Raises CheckpointError if the archive is broken or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = [name for name in archive.namelist() if name.count("/") == 1]
            pickled = [name for name in pickled if name.endswith("/data.pkl")]
            if len(pickled) != 1:
                raise pickle.UnpicklingError("it has no single data.pkl")
            with archive.open(pickled[0]) as file:
                root = _Unpickler(file, archive, pickled[0].removesuffix("data.pkl")).load()
        tensors: dict[str, Tensor] = {}
        _collect(root, "", tensors, depth=0)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; give the path of a weights file.") from None
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(
            f"{path} is not a readable TorchScript archive of weights ({error}); "
            "nothing in it was run: fetch it again from its official source."
        ) from error
    return tensors


class _Module:
    """Stands in for every class of the archive and only keeps its attributes."""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a module has no attributes")
        self.attributes = state


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive = archive
        self.folder = folder
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> object:
        # Made anew at each call, so that a pickle that alters one alters nothing that lasts.
        if module == "__torch__" or module.startswith("__torch__."):
            return type("Module", (_Module,), {})
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return lambda *arguments: _rebuild(*arguments[:4])
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.jit._pickle" and name in (
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
            "restore_type_tag",
        ):
            return lambda value, *_: value
        if module == "collections" and name == "OrderedDict":
            return dict
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")

    def persistent_load(self, pid: object) -> Tensor:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("it has a broken storage")
        _, dtype, key, _, numel = pid
        if key not in self.storages:
            record = self.archive.getinfo(f"{self.folder}data/{key}")
            # PyTorch stores without compression; a compressed one could be a zip bomb.
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != (
                numel * dtype.itemsize
            ):
                raise pickle.UnpicklingError(f"its storage {key} has the wrong size")
            storage = torch.empty(numel, dtype=dtype)
            storage.view(torch.uint8).numpy()[:] = memoryview(self.archive.read(record))
            self.storages[key] = storage
        return self.storages[key]


def _rebuild(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    # A stride of zero could make a small file claim any amount of memory.
    if math.prod(size) > storage.numel():
        raise pickle.UnpicklingError("it has a tensor larger than its storage")
    return storage.as_strided(size, stride, offset)


def _collect(value: object, name: str, tensors: dict[str, Tensor], depth: int) -> None:
    if depth > 32:
        raise pickle.UnpicklingError("its modules are nested too deeply")
    if isinstance(value, Tensor):
        tensors[name] = value
    elif isinstance(value, _Module):
        for key, item in value.attributes.items():
            _collect(item, f"{name}.{key}" if name else str(key), tensors, depth + 1)
