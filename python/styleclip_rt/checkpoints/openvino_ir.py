"""Read MobileStyleGAN from the OpenVINO IR (v10) that PyPI's `random-face` ships.

An IR is an XML graph beside a file of raw constants. Only names, offsets and edges are read;
nothing is executed. The constants are float32, so nothing is lost to half precision.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN, MobileStyleGANConfig

MEAN_LATENT_SAMPLES = 16384
_DTYPES = {"f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32}


class _Graph:
    """Constants of an IR by layer name, and who feeds whom."""

    def __init__(self, xml: Path) -> None:
        try:
            text = xml.read_bytes()
            blob = xml.with_suffix(".bin").read_bytes()
        except OSError as error:
            raise CheckpointError(f"Cannot read {error.filename}: {error.strerror}.") from None
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise CheckpointError(f"{xml} declares XML entities, which an OpenVINO IR never does.")
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            raise CheckpointError(f"{xml} is not an OpenVINO IR: {error}.") from None
        layers, edges = root.find("layers"), root.find("edges")
        if root.tag != "net" or layers is None or edges is None:
            raise CheckpointError(f"{xml} is not an OpenVINO IR: it has no layers or edges.")
        self.path = xml
        self.kind = {str(node.get("id")): str(node.get("type")) for node in layers}
        self.name = {str(node.get("id")): str(node.get("name")) for node in layers}
        self.inputs: dict[str, list[str]] = {}
        for edge in sorted(edges, key=lambda e: int(e.get("to-port", "0"))):
            self.inputs.setdefault(str(edge.get("to-layer")), []).append(
                str(edge.get("from-layer"))
            )
        self.constants: dict[str, Tensor] = {}
        for node in layers:
            data = node.find("data")
            if node.get("type") == "Const" and data is not None:
                self.constants[str(node.get("id"))] = self._constant(data.attrib, blob)

    def _constant(self, data: dict[str, str], blob: bytes) -> Tensor:
        start, size = int(data["offset"]), int(data["size"])
        dtype = np.dtype(_DTYPES.get(data["element_type"], np.uint8))
        shape = [int(d) for d in data["shape"].split(",") if d.strip()]
        if start + size > len(blob) or dtype.itemsize * int(np.prod(shape)) != size:
            raise CheckpointError(
                f"{self.path.with_suffix('.bin')} is truncated or does not belong to "
                f"{self.path.name}; fetch both again."
            )
        values = np.frombuffer(blob, dtype, size // dtype.itemsize, start)
        return torch.from_numpy(values.reshape(shape).copy())

    def constant(self, name: str) -> Tensor:
        for key, value in self.constants.items():
            if self.name[key] == name:
                return value
        raise CheckpointError(f"{self.path} has no constant {name}: not MobileStyleGAN.")

    def constants_of(self, kind: str) -> list[Tensor]:
        """The constant operand of each layer of `kind`, in file order (which, within the
        convolutional trunk, is depth order)."""
        found = []
        for key, inputs in self.inputs.items():
            if self.kind.get(key) == kind:
                found += [(int(key), self.constants[i]) for i in inputs if i in self.constants]
        return [value for _, value in sorted(found, key=lambda pair: pair[0])]


def read(folder: Path) -> MobileStyleGAN:
    """Build the generator from a folder with `MappingNetwork` and `SynthesisNetwork` `.xml`/`.bin`.

    Raises:
        CheckpointError: a file is missing, broken, or describes another network.
    """
    folder = Path(folder)
    state = {
        **_mapping_state(_Graph(folder / "MappingNetwork.xml")),
        **_synthesis_state(_Graph(folder / "SynthesisNetwork.xml")),
    }
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    channels = [state["constant"].shape[1]]
    channels += [state[f"blocks.{i}.conv2.pointwise.weight"].shape[0] for i in range(blocks)]
    config = MobileStyleGANConfig(
        channels=tuple(channels),
        latent_dim=state["mapping_layers.0.weight"].shape[1],
        mapping_layers=sum(k.startswith("mapping_layers.") and k.endswith("weight") for k in state),
    )
    model = MobileStyleGAN(config)
    state["mean_latent"] = torch.zeros(config.latent_dim)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder} is not a MobileStyleGAN IR: {detail}") from None
    model.mean_latent.copy_(_mean_latent(model))
    return model.eval()


def _mean_latent(model: MobileStyleGAN) -> Tensor:
    """The IR does not carry the mean of w, so it is estimated once from a fixed seed."""
    z = torch.randn(
        MEAN_LATENT_SAMPLES, model.latent_dim, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        return model.mapping(z).mean(dim=0)


def _mapping_state(graph: _Graph) -> dict[str, Tensor]:
    weights = graph.constants_of("MatMul")
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
    pointwise = [w for w in graph.constants_of("Convolution") if w.shape[-1] == 1]
    full = [w for w in graph.constants_of("Convolution") if w.shape[-1] == 3]
    noises = [c for c in graph.constants_of("Add") if c.dim() == 4 and c.shape[1] == 1]
    blocks = len({n.split(".")[2] for n in graph.name.values() if n.startswith("m.layers.")})
    if len(full) != 1 or len(pointwise) != 2 * blocks + 1 or len(noises) != 2 * blocks + 1:
        raise CheckpointError(f"{graph.path} is not a MobileStyleGAN synthesis network.")

    def affine(ours: str, theirs: str, kernel_area: int | None = 9) -> dict[str, Tensor]:
        # The graph multiplies the style by the equalised-learning-rate constant 1/sqrt(fan in).
        weight = graph.constant(f"{theirs}.modulation.weight")
        bias = graph.constant(f"{theirs}.modulation.bias").flatten()
        scale = 1.0 if kernel_area is None else (kernel_area * weight.shape[0]) ** -0.5
        return {f"{ours}.weight": weight * scale, f"{ours}.bias": bias * scale}

    state = {
        "constant": graph.constant("m.input.input"),
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
            depthwise = graph.constant(f"{conv}.weight_dw")
            state[f"{ours}.conv{j}.depthwise.weight"] = depthwise.squeeze(2)
            state[f"{ours}.conv{j}.pointwise.weight"] = pointwise[k]
            state[f"{ours}.conv{j}.pointwise.bias"] = graph.constant(
                f"{theirs}.conv{j}.bias"
            ).flatten()
            state[f"{ours}.conv{j}.noise"] = noises[k + 1]
    return state
