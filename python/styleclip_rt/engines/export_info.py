"""What an exported file says of itself. Needs no torch.

Every file carries one `ExportInfo` as JSON: ONNX in its metadata properties, TorchScript and
AOTInductor archives as an extra file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.folders import is_file_name, is_name
from styleclip_rt.settings import EditSettings

FORMAT = "styleclip-rt-export/1"
KEY = "styleclip_rt"
"""Under which the JSON is stored."""


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: of the tensor in the file.
        shape: lengths; a dimension that is free at run time has a name instead.
        dtype: "float32", "float64" or "int64".
        kind: what it is and how its error is measured: "image", "embedding", "gradient" (what a
            gradient decides), or "values".
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    kind: str = "values"


@dataclass(frozen=True)
class ExportInfo:
    """What a file holds.

    Attributes:
        network: its name in the table of `styleclip_rt.export.networks`.
        bundle: whose network.
        weights: SHA-256 of the weights that the network was built with.
        precision: "fp32" or "fp16": of the arithmetic; inputs and outputs are float32 always.
        flavour: "portable" (standard operators only) or "fused" (needs this package's ops).
        version: of this package.
        preprocessing: what the graph does to its inputs before the network proper.
        inputs, outputs: in order.
        opset: of ONNX; 0 elsewhere.
        longest: of the dimensions that are free at run time, where the file sets limits.
        settings: of the edit that a step was built for; empty elsewhere.
        mapper: name of the mapper inside; empty elsewhere.
        prompts: of that mapper, in the order of the input "prompt".
    """

    network: str
    bundle: str
    weights: str
    precision: str
    flavour: str
    version: str
    preprocessing: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int = 0
    longest: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str | float | bool] = field(default_factory=dict)
    mapper: str = ""
    prompts: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text that a file carries."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | None, path: object) -> "ExportInfo":
        """Read what `to_json` wrote; `path` is for the message.

        Raises:
            ExportError: the text is missing or of another format.
        """
        try:
            content = json.loads(text or "")
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            for side in ("inputs", "outputs"):
                content[side] = tuple(
                    Port(**(port | {"shape": tuple(port["shape"])})) for port in content[side]
                )
            content["prompts"] = tuple(content["prompts"])
            info = cls(**content)
            _check(info)
            return info
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StyleClipError):
            raise ExportError(
                f"{path} does not say that it is a {FORMAT} file: give one that 'styleclip export' "
                "of this version made."
            ) from None


def _check(info: ExportInfo) -> None:
    """Be sure that what a file says is of the kind that `styleclip export` writes: names become
    names of files and folders."""
    texts = (info.version, info.preprocessing, *info.prompts, *info.longest)
    fits = (
        is_name(info.network)
        and is_name(info.bundle)
        and (info.mapper == "" or is_file_name(info.mapper))
        and re.fullmatch(r"([0-9a-f]{64})?", info.weights) is not None
        and info.precision in ("fp32", "fp16")
        and info.flavour in ("portable", "fused")
        and all(isinstance(text, str) for text in texts)
        and all(_fits(port) for port in (*info.inputs, *info.outputs))
        and all(_is_length(length) for length in (info.opset, *info.longest.values()))
    )
    if not fits:
        raise ValueError("another kind of content")
    if info.settings:
        EditSettings.of(info.settings)


def _fits(port: Port) -> bool:
    lengths = all(isinstance(length, str) or _is_length(length) for length in port.shape)
    texts = all(isinstance(text, str) for text in (port.name, port.dtype, port.kind))
    return lengths and texts and port.dtype in ("float32", "float64", "int64")


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
