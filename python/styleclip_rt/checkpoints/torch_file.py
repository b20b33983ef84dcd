"""What `torch.save` and `torch.jit.save` write, read without PyTorch's unpickler.

Two forms hold the same pickle: a zip archive with `data.pkl` and each storage as a file beside it
(PyTorch's `caffe2/serialize` format, in which TorchScript keeps its module tree too), and the
older one, where pickles and storages follow each other. `torch.load` and `torch.jit.load` trust
what a file says of its sizes, and the latter compiles what code it carries; here sizes are counted
against the file, and nothing is compiled or executed.
"""

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from styleclip_rt.checkpoints.archive import Archive, BrokenArchive
from styleclip_rt.checkpoints.pickled import BrokenPickle, Make, Name, Record, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_UNTYPED = "torch.storage.UntypedStorage"
_MOST_DIMS = 16
_OVERHEAD = 4 << 20
"""Bytes by which a file's tensors may overlap: small ones, such as masks, are shared."""

_UNUSABLE = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without numbers (device meta)",
    "torch._utils._rebuild_wrapper_subclass": "a wrapped tensor",
    "torch._tensor._rebuild_from_type_v2": "a tensor of a class of its own",
    "torch._utils._rebuild_device_tensor_from_numpy": "a tensor of another device",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
}
_PLAIN = {
    *("torch.device", "torch.serialization._get_layout", "torch.per_tensor_affine"),
    *("torch.per_channel_affine", "torch.Tensor", "torch.nn.parameter.Parameter"),
    *("argparse.Namespace", "pathlib.PosixPath", "pathlib.Path", "pathlib.WindowsPath"),
    *("numpy.ndarray", "builtins.slice"),
}
"""Names that a checkpoint may hold beside its tensors: no more than records come of them."""


class Unusable:
    """A tensor that is none of plain numbers.

    Attributes:
        kind: what it is instead.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def set_state(self, state: object) -> None:
        """What the pickle would set on it matters as little."""


class OrderedDict(dict[Any, Any]):
    """A dict with what else the pickle set on it.

    Attributes:
        attributes: by name; a state dict has "_metadata", which lists the modules of its model.
    """

    attributes: Mapping[str, Any] = MappingProxyType({})

    def set_state(self, state: object) -> None:
        """What BUILD does to it."""
        if isinstance(state, dict):
            self.attributes = state


class _Array:
    """A NumPy array; its numbers come after it, by BUILD.

    Args:
        spend: is told how many bytes are copied.
    """

    tensor: Tensor | Unusable

    def __init__(self, spend: Callable[[int], None]) -> None:
        self.spend = spend
        self.tensor = Unusable("an unfinished array")

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 4:
            raise BrokenPickle("it has a broken array")
        shape, dtype, by_columns, data = state[-4:]
        if not isinstance(dtype, _Dtype) or not dtype.usable or not isinstance(data, bytes | str):
            self.tensor = Unusable("a NumPy array of other things than numbers")
            return
        shape = _whole_numbers(shape)
        self.spend(len(data))
        content = data.encode("latin-1") if isinstance(data, str) else data
        values = np.frombuffer(content, dtype.numpy)
        values = values.reshape(shape, order="F" if by_columns else "C")
        self.tensor = torch.from_numpy(values.astype(dtype.numpy.newbyteorder("="), order="C"))


class _Dtype:
    def __init__(self, code: str, *_: object) -> None:
        code = code if isinstance(code, str) else ""
        self.usable = code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "c8", "c16")
        self.numpy = np.dtype(code if self.usable else "u1")

    def set_state(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order in (">", "<"):
            self.numpy = self.numpy.newbyteorder(order)


def _scalar(dtype: object, data: object) -> object:
    """A NumPy scalar."""
    if not isinstance(dtype, _Dtype) or not dtype.usable or not isinstance(data, bytes | str):
        raise BrokenPickle("it has a scalar that is no number")
    content = data[:16].encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(content, dtype.numpy, 1)[0].item()


def _whole_numbers(values: object) -> tuple[int, ...]:
    """A shape or strides, in which nothing can overflow."""
    if not isinstance(values, tuple | list) or len(values) > _MOST_DIMS:
        raise BrokenPickle("it has a tensor of no shape")
    if not all(type(value) is int and 0 <= value < 1 << 48 for value in values):
        raise BrokenPickle("it has a tensor larger than its storage")
    return tuple(values)


class TensorReader:
    """Makes tensors of what a pickle says of them, and counts what they take.

    Args:
        size: bytes of the whole file.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self.views = size + _OVERHEAD
        self.copies = size + _OVERHEAD

    def spend(self, copied: int) -> None:
        """Count bytes that a pickle has copied once more, which it can say in few bytes."""
        self.copies -= copied
        if self.copies < 0:
            raise BrokenPickle("it copies more than it holds")

    def listed(self, items: object = ()) -> list[Any]:
        """The items of what a pickle makes a set of."""
        if not isinstance(items, list | tuple):
            raise BrokenPickle("it has a set of no items")
        self.spend(8 * len(items))
        return list(items)

    def ordered(self, items: object = ()) -> OrderedDict:
        """The dict of what a pickle makes an ordered one of."""
        if isinstance(items, dict):
            self.spend(100 * len(items))
            return OrderedDict(items)
        pairs = self.listed(items)
        self.spend(100 * len(pairs))
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            raise BrokenPickle("it has a dict of no items")
        if not all(isinstance(key, str | int) for key, _ in pairs):
            raise BrokenPickle("it has a dict with keys that are no plain values")
        return OrderedDict(pairs)

    def encoded(self, text: object, *_: object) -> bytes:
        """The bytes that older pickles hold as text."""
        if not isinstance(text, str):
            raise BrokenPickle("it encodes what is no text")
        self.spend(len(text))
        return text.encode("latin-1")

    def storage(self, dtype: torch.dtype, numel: object) -> Tensor:
        """Room for a storage of the file."""
        if type(numel) is not int or not 0 <= numel * dtype.itemsize <= self.left:
            raise BrokenPickle("it claims more numbers than it has bytes")
        self.left -= numel * dtype.itemsize
        return torch.empty(numel, dtype=dtype)

    def rebuild(self, storage: object, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
        """A tensor as a view of its storage."""
        if not isinstance(storage, Tensor):
            raise BrokenPickle("it has a tensor without a storage")
        size, stride = _whole_numbers(size), _whole_numbers(stride)
        (offset,) = _whole_numbers((offset,))
        if len(size) != len(stride):
            raise BrokenPickle("it has a tensor of no shape")
        # A stride of zero could make a small file claim any amount of memory.
        count = math.prod(size)
        span = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count > storage.numel() or (count and span > storage.numel()):
            raise BrokenPickle("it has a tensor larger than its storage")
        self.views -= count * storage.dtype.itemsize
        if self.views < 0:
            raise BrokenPickle("its tensors share storages until they are larger than the file")
        return storage.as_strided(size, stride, offset)

    def rebuild_typed(
        self, storage: object, offset: int, size: Any, stride: Any, grad: object, hooks: object,
        dtype: object, *_: object,
    ) -> Tensor:  # fmt: skip
        """A tensor whose storage says nothing of its numbers."""
        kind = getattr(torch, dtype.full.removeprefix("torch."), None) if (
            isinstance(dtype, Name)
        ) else None  # fmt: skip
        if not isinstance(storage, Tensor) or not isinstance(kind, torch.dtype):
            raise BrokenPickle("it has a tensor of no known numbers")
        whole = storage.numel() // kind.itemsize * kind.itemsize
        return self.rebuild(storage[:whole].view(kind), offset, size, stride)

    def names(self, full: str) -> Make | bool:
        """What a name in a file of tensors stands for."""
        full = full.replace("numpy._core.", "numpy.core.")
        made: dict[str, Make] = {
            "torch._utils._rebuild_tensor": self.rebuild,
            "torch._utils._rebuild_tensor_v2": self.rebuild,
            "torch._utils._rebuild_tensor_v3": self.rebuild_typed,
            "torch._utils._rebuild_parameter": lambda value, *_: value,
            "torch._utils._rebuild_parameter_with_state": lambda value, *_: value,
            "torch.Size": lambda sizes=(): _whole_numbers(sizes),
            "collections.OrderedDict": self.ordered,
            "collections.defaultdict": lambda *_: {},
            "builtins.dict": self.ordered,
            "builtins.set": self.listed,
            "__builtin__.set": self.listed,
            "builtins.frozenset": self.listed,
            "builtins.bytearray": lambda content=b"", *_: content,
            "_codecs.encode": self.encoded,
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(self.spend),
            "numpy.core.multiarray.scalar": _scalar,
            "numpy.dtype": _Dtype,
        }
        if full in made:
            return made[full]
        if full in _UNUSABLE:
            return lambda *_: Unusable(_UNUSABLE[full])
        if full.startswith("numpy.dtypes.") or full.startswith("numpy.dtype["):
            return True
        module, _, name = full.rpartition(".")
        is_torch = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        return is_torch or full in _PLAIN or full == _UNTYPED or (
            module == "torch" and name in _STORAGES
        )  # fmt: skip


def _dtype_of(storage: object) -> torch.dtype:
    """Of a storage's class, as a pickle names it."""
    if isinstance(storage, Name):
        if storage.full == _UNTYPED:
            return torch.uint8
        dtype = _STORAGES.get(storage.full.removeprefix("torch."))
        if dtype is not None:
            return dtype
    raise BrokenPickle("it has a storage of no known numbers")


def _parts_of(pid: object) -> tuple[torch.dtype, str, object]:
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise BrokenPickle("it has a broken storage")
    if not isinstance(pid[2], str) or len(pid[2]) > 100:
        raise BrokenPickle("it has a storage of no name")
    return _dtype_of(pid[1]), pid[2], pid[4]


def read_zip(path: Path, names: Make | None = None) -> object:
    """The object in `data.pkl` of a zip archive, its tensors on the CPU.

    Args:
        path: of the archive.
        names: what names stand for that `TensorReader` has no use for.

    Raises BrokenPickle or BrokenArchive.
    """
    with Archive(path) as archive:
        found = [name for name in archive.members if name.count("/") == 1]
        found = [name for name in found if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise BrokenArchive("it has no single data.pkl")
        folder = found[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.members:
            size = archive.seek(f"{folder}byteorder")
            if size > 6 or archive.file.read(size) != sys.byteorder.encode():
                raise BrokenArchive("its numbers are in the byte order of another processor")
        reader = TensorReader(archive.size)
        storages: dict[str, Tensor] = {}
        pickle_size = archive.seek(found[0])

        def persistent(pid: object) -> Tensor:
            dtype, key, numel = _parts_of(pid)
            if key not in storages:
                here = archive.file.tell()
                stored = archive.seek(f"{folder}data/{key}")
                storage = reader.storage(dtype, numel)
                if stored != storage.numel() * dtype.itemsize:
                    raise BrokenArchive(f"its storage {key!a} has the wrong size")
                _fill(storage, archive.file)
                archive.file.seek(here)
                storages[key] = storage
            if storages[key].dtype != dtype:
                raise BrokenPickle("it has a storage of two kinds of numbers")
            return storages[key]

        return settled(read_pickle(archive.file, pickle_size, _either(reader, names), persistent))


def read_legacy(file: BinaryIO, size: int, names: Make | None = None) -> object:
    """The object in the older form of a file, as `read_zip` gives it.

    Args:
        file: stands at its first byte.
        size: bytes of it.
        names: as in `read_zip`.

    Raises BrokenPickle.
    """
    start, reader = file.tell(), TensorReader(size)
    storages: dict[str, Tensor] = {}

    def left() -> int:
        return size - (file.tell() - start)

    def persistent(pid: object) -> Tensor:
        dtype, key, numel = _parts_of(pid)
        if key not in storages:
            storages[key] = reader.storage(dtype, numel)
        view = pid[5] if len(pid) > 5 else None  # type: ignore[arg-type, index]
        if storages[key].dtype != dtype:
            raise BrokenPickle("it has a storage of two kinds of numbers")
        if view is None:
            return storages[key]
        _, offset, length = view
        offset, length = _whole_numbers((offset, length))
        return storages[key][offset : offset + length]

    plain = _either(None, None)
    if read_pickle(file, left(), plain) != _MAGIC:
        raise BrokenPickle("it is no file of PyTorch's")
    if read_pickle(file, left(), plain) != _PROTOCOL:
        raise BrokenPickle("it is of another version of PyTorch's format")
    system = read_pickle(file, left(), plain)
    if isinstance(system, dict) and system.get("little_endian") != (sys.byteorder == "little"):
        raise BrokenPickle("its numbers are in the byte order of another processor")
    content = read_pickle(file, left(), _either(reader, names), persistent)
    keys = read_pickle(file, left(), plain)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BrokenPickle("its list of storages is none")
    if sorted(keys) != sorted(storages):
        raise BrokenPickle("its list of storages does not fit its tensors")
    for key in keys:
        storage = storages[key]
        if int.from_bytes(file.read(8), "little") != storage.numel():
            raise BrokenPickle("it has a storage of the wrong size")
        _fill(storage, file)
    return settled(content)


def _either(reader: TensorReader | None, names: Make | None) -> Any:
    def find(full: str) -> Make | bool:
        found = reader.names(full) if reader else False
        return names(full) if found is False and names else found  # type: ignore[return-value]

    return find


def _fill(storage: Tensor, file: BinaryIO) -> None:
    if not storage.numel():
        return
    target = storage.view(torch.uint8).numpy()
    if file.readinto(target) != target.size:  # type: ignore[attr-defined]
        raise BrokenPickle("it ends before its last number")


def settled(content: Any) -> object:
    """`content` with a tensor for each NumPy array in its containers."""
    root = [content]
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        container = waiting.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in list(items):
            if isinstance(value, _Array):
                container[key] = value.tensor
            elif isinstance(value, dict | list):
                waiting.append(value)
            elif isinstance(value, Record) and isinstance(value.state, dict | list):
                waiting.append(value.state)
    return root[0]
