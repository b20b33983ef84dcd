"""Where to compute, and how precisely."""

import contextlib
import ctypes
import functools
import sys

import torch

from styleclip_rt.errors import StyleClipError


def choose_device(name: str) -> torch.device:
    """ "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...

    Raises:
        StyleClipError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise StyleClipError(f"unknown device {name!r}: say auto, cpu or cuda.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise StyleClipError("this machine has no CUDA device that torch can use: say device=cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """In what an edit draws and judges its drafts, "fp32" or "bf16": "auto" is bf16 where that is
    native, since there it is faster and drafts need no more; what is finally drawn is float32 in
    any case.

    Raises:
        StyleClipError: an unknown name.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise StyleClipError(f"unknown precision {name!r}: say auto, fp32 or bf16.")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    try:
        from styleclip_rt import _native
    except ImportError:
        return "fp32"
    return "bf16" if _native.cpu_features().get("avx512bf16", False) else "fp32"


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep the memory of freed activations for the next ones.

    It would give each back to the system and get it anew, page by page: a third of the time of
    drawing an image on a CPU. The process stays as large as it once was. Holds for the whole
    process; does nothing where the C library is not glibc.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # of malloc.h
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)
        mallopt(top_pad, 256 << 20)
