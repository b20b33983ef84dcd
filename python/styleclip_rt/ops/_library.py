"""The compiled op library, where the package was installed with one."""

import contextlib
import functools
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from styleclip_rt.compiled import OP_LIBRARY
from styleclip_rt.errors import ExportError


@functools.cache
def load() -> bool:
    """Register the compiled ops with torch, once a process.

    Returns whether they are there; where they are not, one warning says so.
    """
    try:
        torch.ops.load_library(str(OP_LIBRARY))  # type: ignore[no-untyped-call]
    except OSError as error:
        reason = "were not built" if not OP_LIBRARY.exists() else f"do not fit this torch ({error})"
        warnings.warn(
            f"styleclip_rt's compiled ops {reason}: it runs slower, on its reference ops; for the "
            "compiled ones install a C++20 compiler, then run "
            "'pip install --no-build-isolation --force-reinstall --no-deps styleclip-rt' "
            "with cmake, pybind11 and setuptools installed.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def check_version(made_for: str, path: object) -> None:
    """Be sure that a file with compiled ops, made by version `made_for`, means these ones.

    Raises:
        ExportError: the op library is of another version, or is not here.
    """
    # The first libraries did not tell.
    tell = getattr(torch.ops.styleclip_rt, "version", None) if load() else None
    version = "no version" if tell is None else tell()
    if version != made_for:
        raise ExportError(
            f"{path} was made for the compiled ops of version {made_for}, but here are those of "
            f"{version}: export it again with this installation, or install it again."
        )


_standard_only = False
HALVES = {"cpu": torch.bfloat16, "cuda": torch.float16}


def available() -> bool:
    """Whether to call compiled ops: they are there, and nobody asked for standard ones."""
    return load() and not _standard_only


@contextlib.contextmanager
def standard_ops() -> Iterator[None]:
    """Inside, all models run on PyTorch's own operators, as a graph for another runtime must.

    For the whole process: not for use while other threads run models.
    """
    global _standard_only
    before, _standard_only = _standard_only, True
    try:
        yield
    finally:
        _standard_only = before


def devices(op: str) -> frozenset[str]:
    """The device types that the compiled operator has a kernel for; asked once, at import."""
    name = f"styleclip_rt::{op}"
    if not load() or not torch._C._dispatch_has_kernel(name):
        return frozenset()
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    keys = {"cpu": "CPU", "cuda": "CUDA", "meta": "Meta"}
    return frozenset(device for device, key in keys.items() if has_kernel(name, key))


def serves(kernels: frozenset[str], x: Tensor) -> bool:
    """Whether activations like ``x`` go through the operator with those `devices`."""
    if _standard_only or x.device.type not in kernels:
        return False
    return x.dtype in (torch.float32, torch.bfloat16, HALVES.get(x.device.type))
