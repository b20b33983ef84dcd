"""Run exported files: one engine a kind of file, all called alike."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from styleclip_rt.engines import metadata
from styleclip_rt.engines.export_info import ExportInfo
from styleclip_rt.errors import ExportError
from styleclip_rt.threads import chosen

Array = NDArray[Any]


class Engine(Protocol):
    """An exported network, loaded.

    Attributes:
        info: what the file says of itself.
    """

    info: ExportInfo

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once: arrays by the names of `info.inputs` -> arrays by those of `info.outputs`."""


class Kind(NamedTuple):
    """A kind of file, which ``styleclip export COMMAND`` makes, and what runs it: the class
    `engine` of `module`, which needs `package`; some may not run even with it, as `why_missing` of
    their module then says."""

    command: str
    suffix: str
    module: str
    engine: str
    package: str
    extra: str
    may_refuse: bool = False


KINDS = {
    "onnxruntime": Kind("onnx", ".onnx", "onnxruntime", "OnnxRuntimeEngine", "onnxruntime", "onnx"),
    "torchscript": Kind("torchscript", ".ts", "torchscript", "TorchScriptEngine", "torch", ""),
    "aotinductor": Kind("aotinductor", ".pt2", "aotinductor", "AotInductorEngine", "torch", ""),
    "tensorrt": Kind(
        "tensorrt", ".engine", "tensorrt", "TensorRTEngine", "tensorrt", "tensorrt", True
    ),
}


def read_info(path: str | os.PathLike[str]) -> ExportInfo:
    """What an exported file says of itself. Nothing of it is run, nor is its engine needed.

    Raises:
        ExportError: no such file, a broken one, or none of this package's.
    """
    _kind_of(Path(path))
    return metadata.read_info(Path(path))


def load(path: str | os.PathLike[str], device: str = "cpu") -> Engine:
    """Load an exported file with the engine that its suffix names, if it says that it is this
    package's. Loading runs what the file holds (docs/EXPORT.md says what that trusts).

    Args:
        path: made by ``styleclip export``.
        device: "cpu" or "cuda".

    Raises:
        ExportError: no such file, a broken one, or its engine is not installed here.
    """
    path = Path(path)
    name = _kind_of(path)
    missing = why_missing(name)
    if missing:
        raise ExportError(f"{path.name} needs the engine {name}: {missing}.")
    module = importlib.import_module(f"{__name__}.{KINDS[name].module}")
    engine: Callable[..., Engine] = getattr(module, KINDS[name].engine)
    return engine(path, device)


def _kind_of(path: Path) -> str:
    if not path.is_file():
        raise ExportError(f"{path} is not a file: make it with 'styleclip export'.")
    for name, kind in KINDS.items():
        if kind.suffix == path.suffix:
            return name
    known = ", ".join(kind.suffix for kind in KINDS.values())
    raise ExportError(f"{path} has no suffix of an exported file: choose one of {known}.")


def find(folder: Path, network: str, engine: str) -> Path:
    """The file of a network for an engine; of the flavours portable and fused the latter.

    Args:
        folder: where ``styleclip export`` put it.
        network: e.g. "synthesis", or "smiling.mapper" for one of the mapper "smiling".
        engine: one of KINDS.

    Raises:
        ExportError: there is none, or no such engine here.
    """
    if engine not in KINDS:
        known = ", ".join(("torch", *KINDS))
        raise ExportError(f"unknown engine {engine!r}: choose from {known}.")
    missing = why_missing(engine)
    if missing:
        raise ExportError(f"the engine {engine} cannot run here: {missing}.")
    kind = KINDS[engine]
    for flavour in (".fused", ""):
        path = folder / f"{network}{flavour}{kind.suffix}"
        if path.is_file():
            return path
    mapper = network.rpartition(".")[0]
    options = f"--mapper {mapper} --out {folder}" if mapper else f"--out {folder}"
    raise ExportError(
        f"{path} is missing: make it with 'styleclip export {kind.command} {options}'."
    )


def why_missing(name: str) -> str:
    """Why the engine `name` cannot run here, in a few words; empty if it can."""
    kind = KINDS[name]
    if importlib.util.find_spec(kind.package) is None:
        return f"install it with pip install 'styleclip-rt[{kind.extra}]'"
    if not kind.may_refuse:
        return ""
    module: Any = importlib.import_module(f"{__name__}.{kind.module}")
    reason: str = module.why_missing()
    return reason


def threads() -> int:
    """How many threads an engine should take, see `styleclip_rt.threads.chosen`."""
    return chosen().number


def checked(info: ExportInfo, inputs: Mapping[str, Array]) -> list[Array]:
    """The inputs in the order of the file.

    Raises:
        ExportError: a missing or surplus input, or one of a wrong dtype or shape or too long.
    """
    names = [port.name for port in info.inputs]
    if sorted(names) != sorted(inputs):
        raise ExportError(f"{info.network} takes {', '.join(names)}; got {', '.join(inputs)}.")
    free: dict[str, int] = {}
    for port in info.inputs:
        array = inputs[port.name]
        fits = array.dtype == port.dtype and array.ndim == len(port.shape)
        for expected, length in zip(port.shape, array.shape, strict=False):
            if isinstance(expected, str):
                expected = free.setdefault(expected, length)
            fits = fits and expected == length
        if not fits:
            shape = ", ".join(str(length) for length in port.shape)
            raise ExportError(
                f"{info.network} takes {port.name} as {port.dtype} [{shape}]; "
                f"got {array.dtype} {list(array.shape)}."
            )
    for name, limit in info.longest.items():
        if free.get(name, 0) > limit:
            raise ExportError(
                f"this file of {info.network} takes a {name} of at most {limit}: give less at a "
                "time, or export it with a larger one."
            )
    return [inputs[name] for name in names]
