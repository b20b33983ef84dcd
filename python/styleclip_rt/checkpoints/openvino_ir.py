"""Read MobileStyleGAN from the OpenVINO IR (v10) that PyPI's `random-face` ships.

An IR is an XML graph beside a file of raw constants. Only names, offsets and edges are read;
nothing is executed. The constants are float32, so nothing is lost to half precision.
"""

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from styleclip_rt.checkpoints.state import fill
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN, MobileStyleGANConfig

MEAN_LATENT_SAMPLES = 16384
_LARGEST_XML, _MOST_DIMS = 1 << 20, 8
_DTYPES = {"f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32}


class _Graph:
    """Constants of an IR by layer name, and who feeds whom."""

    def __init__(self, xml: Path) -> None:
        self.path = xml
        layers, edges = self._parts()
        blob = self._blob()
        self.kind: dict[int, str] = {}
        self.name: dict[int, str] = {}
        self.constants: dict[int, Tensor] = {}
        for node in layers:
            key = self._number(node, "id")
            self.kind[key], self.name[key] = node.get("type", ""), node.get("name", "")
            data = node.find("data")
            if self.kind[key] == "Const" and data is not None:
                self.constants[key] = self._constant(data, blob)
        self.inputs: dict[int, list[int]] = {}
        for edge in sorted(edges, key=lambda edge: self._number(edge, "to-port", 0)):
            target = self._number(edge, "to-layer")
            self.inputs.setdefault(target, []).append(self._number(edge, "from-layer"))
        self.size = blob.size

    def _parts(self) -> tuple[ElementTree.Element, ElementTree.Element]:
        """The layers and the edges of the graph."""
        try:
            if self.path.stat().st_size > _LARGEST_XML:
                raise CheckpointError(f"{self.path} is larger than the graph of any network.")
            # As text, so that no encoding can hide what is looked for.
            text = self.path.read_bytes().decode("utf-8")
        except OSError as error:
            raise CheckpointError(f"Cannot read {error.filename}: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path} is not an OpenVINO IR: {error.reason}.") from None
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise CheckpointError(
                f"{self.path} declares XML entities, which an OpenVINO IR never does."
            )
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError, RecursionError, LookupError) as error:
            raise CheckpointError(f"{self.path} is not an OpenVINO IR: {error}.") from None
        layers, edges = root.find("layers"), root.find("edges")
        if root.tag != "net" or layers is None or edges is None:
            raise CheckpointError(f"{self.path} is not an OpenVINO IR: it has no layers or edges.")
        return layers, edges

    def _blob(self) -> NDArray[np.uint8]:
        file = self.path.with_suffix(".bin")
        try:
            return np.fromfile(file, np.uint8)
        except OSError as error:
            raise CheckpointError(f"Cannot read {file}: {error.strerror}.") from None

    def _number(self, node: ElementTree.Element, name: str, default: int | None = None) -> int:
        """A whole number in an attribute of a node."""
        text = node.get(name, "" if default is None else str(default)).strip()
        if not text.isascii() or not text.isdecimal() or len(text) > 15:
            raise CheckpointError(
                f"{self.path} is not an OpenVINO IR: a {ascii(node.tag[:40])[1:-1]} has no number "
                f"{name!r}."
            )
        return int(text)

    def _constant(self, data: ElementTree.Element, blob: NDArray[np.uint8]) -> Tensor:
        start, size = self._number(data, "offset"), self._number(data, "size")
        dtype = np.dtype(_DTYPES.get(data.get("element_type", ""), np.uint8))
        sizes = [text.strip() for text in data.get("shape", "").split(",") if text.strip()]
        shape = [int(text) for text in sizes if text.isascii() and text.isdecimal()]
        fits = len(shape) == len(sizes) <= _MOST_DIMS and max(map(len, sizes), default=0) <= 9
        if not fits or start + size > blob.size or dtype.itemsize * math.prod(shape) != size:
            raise CheckpointError(
                f"{self.path.with_suffix('.bin')} is truncated or does not belong to "
                f"{self.path.name}; fetch both again."
            )
        values = blob[start : start + size]
        if start % dtype.itemsize:
            values = values.copy()
        return torch.from_numpy(values.view(dtype).reshape(shape))

    def constant(self, name: str, dims: int | None = None) -> Tensor:
        """The constant of that name, with that many dimensions."""
        for key, value in self.constants.items():
            if self.name[key] == name:
                if dims is None or (value.dim() == dims and value.numel()):
                    return value
                raise CheckpointError(
                    f"{self.path} has {name} of shape {tuple(value.shape)}: not MobileStyleGAN."
                )
        raise CheckpointError(f"{self.path} has no constant {name}: not MobileStyleGAN.")

    def constants_of(self, kind: str) -> list[Tensor]:
        """The constant operand of each layer of `kind`, in file order (which, within the
        convolutional trunk, is depth order)."""
        return [
            self.constants[operand]
            for key in sorted(self.inputs)
            if self.kind.get(key) == kind
            for operand in self.inputs[key]
            if operand in self.constants
        ]


def read(folder: Path) -> MobileStyleGAN:
    """Build the generator from a folder with `MappingNetwork` and `SynthesisNetwork` `.xml`/`.bin`.

    Raises:
        CheckpointError: a file is missing, broken, or describes another network.
    """
    folder = Path(folder)
    mapping = _Graph(folder / "MappingNetwork.xml")
    synthesis = _Graph(folder / "SynthesisNetwork.xml")
    state = {**_mapping_state(mapping), **_synthesis_state(synthesis)}
    # Constants may overlap in the file, in which small files could be large networks.
    if sum(value.numel() for value in state.values()) > mapping.size + synthesis.size:
        raise CheckpointError(f"{folder} has constants that overlap; fetch it again.")
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    channels = [state["constant"].shape[1]]
    channels += [state[f"blocks.{i}.conv2.pointwise.weight"].shape[0] for i in range(blocks)]
    layers = sum(k.startswith("mapping_layers.") and k.endswith("weight") for k in state)
    try:
        config = MobileStyleGANConfig(
            channels=tuple(channels),
            latent_dim=state["mapping_layers.0.weight"].shape[1],
            mapping_layers=layers,
        )
    except ValueError as error:
        raise CheckpointError(f"{folder} is not a MobileStyleGAN IR: {error}.") from None
    state["mean_latent"] = torch.zeros(config.latent_dim)
    model = fill(lambda: MobileStyleGAN(config), state, folder)
    model.mean_latent.copy_(_mean_latent(model))
    return model


def _mean_latent(model: MobileStyleGAN) -> Tensor:
    """The IR does not carry the mean of w, so it is estimated once from a fixed seed."""
    z = torch.randn(
        MEAN_LATENT_SAMPLES, model.latent_dim, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        return model.mapping(z).mean(dim=0)


def _mapping_state(graph: _Graph) -> dict[str, Tensor]:
    weights = [value for value in graph.constants_of("MatMul") if value.dim() == 2]
    biases = [value for value in graph.constants_of("Reshape") if value.dtype == torch.float32]
    if not weights or len(weights) != len(biases):
        raise CheckpointError(f"{graph.path} is not a StyleGAN mapping network.")
    state: dict[str, Tensor] = {}
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        state[f"mapping_layers.{i}.weight"] = weight
        state[f"mapping_layers.{i}.bias"] = bias
    return state


def _synthesis_state(graph: _Graph) -> dict[str, Tensor]:
    """The pointwise weights and noises have generated names, so they are found by following the
    trunk in depth order; everything else by name."""
    kernels = [w for w in graph.constants_of("Convolution") if w.dim() == 4 and w.numel()]
    pointwise = [w for w in kernels if w.shape[-1] == 1]
    full = [w for w in kernels if w.shape[-1] == 3]
    noises = [c for c in graph.constants_of("Add") if c.dim() == 4 and c.shape[1] == 1]
    blocks = len({n.split(".")[2] for n in graph.name.values() if n.startswith("m.layers.")})
    if (
        not blocks
        or len(full) != 1
        or len(pointwise) != 2 * blocks + 1
        or len(noises) != 2 * blocks + 1
    ):
        raise CheckpointError(f"{graph.path} is not a MobileStyleGAN synthesis network.")

    def affine(ours: str, theirs: str, kernel_area: int | None = 9) -> dict[str, Tensor]:
        # The graph multiplies the style by the equalised-learning-rate constant 1/sqrt(fan in).
        weight = graph.constant(f"{theirs}.modulation.weight", 2)
        bias = graph.constant(f"{theirs}.modulation.bias").flatten()
        scale = 1.0 if kernel_area is None else (kernel_area * weight.shape[0]) ** -0.5
        return {f"{ours}.weight": weight * scale, f"{ours}.bias": bias * scale}

    state = {
        "constant": graph.constant("m.input.input", 4),
        "first_conv.weight": full[0],
        "first_conv.bias": graph.constant("m.conv1.bias").flatten(),
        "first_noise": noises[0],
        "to_wavelets.weight": pointwise[-1],
        "to_wavelets.bias": graph.constant(f"m.layers.{blocks - 1}.to_img.bias").flatten(),
        **affine("first_affine", "m.conv1.conv"),
        **affine("image_affine", f"m.layers.{blocks - 1}.to_img.conv", kernel_area=1),
    }
    for i in range(blocks):
        theirs, ours = f"m.layers.{i}", f"blocks.{i}"
        state |= affine(f"{ours}.up_affine", f"{theirs}.up", kernel_area=None)
        for j in (1, 2):
            conv = f"{theirs}.conv{j}.conv"
            state |= affine(f"{ours}.conv{j}_affine", conv)
            k = 2 * i + j - 1
            depthwise = graph.constant(f"{conv}.weight_dw", 5)
            state[f"{ours}.conv{j}.depthwise.weight"] = depthwise.squeeze(2)
            state[f"{ours}.conv{j}.pointwise.weight"] = pointwise[k]
            state[f"{ours}.conv{j}.pointwise.bias"] = graph.constant(
                f"{theirs}.conv{j}.bias"
            ).flatten()
            state[f"{ours}.conv{j}.noise"] = noises[k + 1]
    return state
