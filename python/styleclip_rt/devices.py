"""Where to compute, and how precisely."""

import contextlib
import ctypes
import functools
import re
import sys

import torch

from styleclip_rt import threads
from styleclip_rt.compiled import Precision, cpu_precision
from styleclip_rt.compiled import instruction_set as instruction_set
from styleclip_rt.errors import StyleClipError, shown

_DEVICE = re.compile(r"(?P<kind>auto|cpu|cuda)(?::(?P<number>[0-9]{1,3}))?", re.ASCII)


def choose_device(name: str) -> torch.device:
    """ "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...

    On a CPU, torch is kept to as many threads as `styleclip_rt.threads.chosen` says.

    Raises:
        StyleClipError: there is no such device.
    """
    if not isinstance(name, str):
        raise StyleClipError(f"a device is a name, not {shown(name)}: say auto, cpu or cuda.")
    known = _DEVICE.fullmatch(name.strip().lower())
    if known is None:
        raise StyleClipError(f"unknown device {shown(name)}: say auto, cpu, cuda or cuda:1.")
    kind, number = known["kind"], int(known["number"] or 0)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        torch.set_num_threads(min(torch.get_num_threads(), threads.chosen().number))
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise StyleClipError("this machine has no CUDA device that torch can use: say device=cpu.")
    count = torch.cuda.device_count()
    if number >= count:
        last = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise StyleClipError(f"there is no device {shown(name)}: this machine has {last}.")
    return torch.device("cuda" if known["number"] is None else f"cuda:{number}")


def choose_precision(name: str, device: torch.device) -> str:
    """In what an edit draws and judges its drafts, "fp32" or "bf16": "auto" is bf16 where that is
    native, since there it is faster and drafts need no more; what is finally drawn is float32 in
    any case.

    Raises:
        StyleClipError: an unknown name.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise StyleClipError(f"unknown precision {shown(name)}: say auto, fp32 or bf16.")
    return automatic_precision(device).name if name == "auto" else name


def automatic_precision(device: torch.device) -> Precision:
    """What "auto" is on a device, and why."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", "this GPU multiplies bfloat16")
        return Precision("fp32", "this GPU multiplies no bfloat16")
    return cpu_precision()


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
