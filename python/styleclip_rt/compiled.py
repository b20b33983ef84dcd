"""What of the package was compiled, and what of that this processor uses. Needs no torch."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

OP_LIBRARY = Path(__file__).parent / (
    "libstyleclip_ops.dylib" if sys.platform == "darwin" else "libstyleclip_ops.so"
)
"""The operators for torch, where the package was installed with them."""
INSTRUCTION_SETS = {
    "avx512_bf16": ("avx512f", "avx512bw", "avx2", "fma", "avx512bf16"),
    "avx512": ("avx512f", "avx512bw", "avx2", "fma"),
    "avx2": ("avx2", "fma"),
    "baseline": (),
}
"""The sets that kernels are compiled for, best first, and the features that each needs."""


class InstructionSet(NamedTuple):
    """The set of instructions that the compiled kernels use, of INSTRUCTION_SETS, and why it."""

    name: str
    why: str


class Precision(NamedTuple):
    """A precision, and what decided it in a few words."""

    name: str
    why: str


def built_for_torch() -> str | None:
    """The version of torch that the compiled part was built with; None where none was built."""
    try:
        from styleclip_rt import _native
    except ImportError:
        return None
    return str(_native.build_info()["torch"])


def instruction_set() -> InstructionSet:
    """What the compiled kernels use: the best that this processor has, or less where the
    environment variable STYLECLIP_RT_ISA says so (csrc/kernels/cpu/isa.cpp).

    That reads the variable when the first kernel runs, once a process.
    """
    try:
        from styleclip_rt import _native
    except ImportError:
        return InstructionSet("none", "the kernels were not compiled")
    has = _native.cpu_features()
    best = next(name for name, needs in INSTRUCTION_SETS.items() if all(map(has.get, needs)))
    wanted = os.environ.get("STYLECLIP_RT_ISA")
    names = list(INSTRUCTION_SETS)
    if wanted is None:
        return InstructionSet(best, "the best of this processor")
    # The best set cannot be asked for by name: it is what is taken anyway.
    if wanted in names[1:] and names.index(wanted) > names.index(best):
        return InstructionSet(wanted, f"STYLECLIP_RT_ISA={wanted}")
    return InstructionSet(best, f"STYLECLIP_RT_ISA={wanted} asks for none below it")


def cpu_precision() -> Precision:
    """What the precision "auto" is on this processor, and why."""
    here = instruction_set()
    if here.name == "avx512_bf16":
        return Precision("bf16", "the kernels multiply bfloat16 here")
    return Precision("fp32", f"with {here.name} the kernels multiply no bfloat16")
