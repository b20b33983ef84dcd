"""Age, gender and smile by two small networks that training never sees.

Weights: npm `@vladmandic/face-api` 1.7.15 (MIT), `model/age_gender_model.*` and
`model/face_expression_model.*`, byte for byte in `weights/`. Architectures: a two-block
Xception (Chollet 2017) with an age and a gender head; four densely connected blocks of
separable convolutions with seven expressions.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

_WEIGHTS = Path(__file__).parent / "weights"
_SIZE = 112
_MEAN_RGB = (122.782, 117.001, 104.298)
_HAPPY = 1
# Two crops and their mirror images: the age read from one crop moves by years when the box
# moves by pixels. In units of `size`; chosen on 60 generated faces, flat around these.
_CROPS = (2.35, 2.7)


@dataclass(frozen=True)
class Attributes:
    """What the networks say: years, P(man) and P(happy) in [0, 1]."""

    age: float
    man: float
    happy: float


@lru_cache(maxsize=2)
def _weights(name: str) -> dict[str, Tensor]:
    """tfjs weight shards: uint8 (affine) or float32, convolutions as HWIO."""
    manifest = json.loads((_WEIGHTS / f"{name}-weights_manifest.json").read_text())
    data = (_WEIGHTS / f"{name}.bin").read_bytes()
    weights: dict[str, Tensor] = {}
    at = 0
    for entry in manifest[0]["weights"]:
        count = int(np.prod(entry["shape"]))
        quantization = entry.get("quantization")
        dtype = np.dtype(np.uint8 if quantization else "<f4")
        values = np.frombuffer(data, dtype, count, at).astype(np.float32)
        at += count * dtype.itemsize
        if quantization:
            values = values * quantization["scale"] + quantization["min"]
        tensor = torch.from_numpy(values.reshape(entry["shape"]).astype(np.float32))
        if entry["name"].endswith("depthwise_filter"):
            tensor = tensor.permute(2, 3, 0, 1)
        elif tensor.dim() == 4:
            tensor = tensor.permute(3, 2, 0, 1)
        weights[entry["name"]] = tensor.contiguous()
    return weights


def _same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's SAME padding: the odd pixel goes right and below."""
    size = x.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after), value=value)


class _Net:
    def __init__(self, name: str) -> None:
        self.weights = _weights(name)

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.weights[f"{name}/filters"]
        x = _same(x, weight.shape[-1], stride)
        return F.conv2d(x, weight, self.weights[f"{name}/bias"], stride)

    def separable(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        depthwise = self.weights[f"{name}/depthwise_filter"]
        x = F.conv2d(_same(x, 3, stride), depthwise, None, stride, groups=x.shape[1])
        return F.conv2d(x, self.weights[f"{name}/pointwise_filter"], self.weights[f"{name}/bias"])

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[f"{name}/weights"] + self.weights[f"{name}/bias"]


def _age_gender(x: Tensor) -> tuple[Tensor, Tensor]:
    net = _Net("age_gender_model")

    def reduction(x: Tensor, name: str) -> Tensor:
        y = x
        for i in range(2):
            # The first block's input is already rectified, so the rule below is uniform.
            y = net.separable(y.relu(), f"{name}/separable_conv{i}")
        y = F.max_pool2d(_same(y, 3, 2, float("-inf")), 3, 2)
        return y + net.conv(x, f"{name}/expansion_conv", 2)

    x = net.conv(x, "entry_flow/conv_in", 2).relu()
    for i in range(2):
        x = reduction(x, f"entry_flow/reduction_block_{i}")
    for i in range(2):
        y = x
        for j in range(3):
            y = net.separable(y.relu(), f"middle_flow/main_block_{i}/separable_conv{j}")
        x = x + y
    x = reduction(x, "exit_flow/reduction_block")
    x = net.separable(x, "exit_flow/separable_conv").relu()
    pooled = F.avg_pool2d(x, 7, 2).flatten(1)
    return net.linear(pooled, "fc/age")[:, 0], net.linear(pooled, "fc/gender").softmax(1)[:, 0]


def _expressions(x: Tensor) -> Tensor:
    net = _Net("face_expression_model")
    for i in range(4):
        first = net.conv if i == 0 else net.separable
        total = first(x, f"dense{i}/conv0", 2).relu()
        x = total
        for j in range(1, 4):
            total = total + net.separable(x, f"dense{i}/conv{j}")
            x = total.relu()
    return net.linear(F.avg_pool2d(x, 7, 2).flatten(1), "fc").softmax(1)


def read_attributes(
    image: NDArray[np.uint8], centre: tuple[float, float], size: float
) -> Attributes:
    """Attributes of the face around `centre` (x, y), `size` pixels from eyes to mouth.

    image: [H, W, 3] uint8. The crop may reach over the border.
    """
    picture = Image.fromarray(image)
    crops = []
    for scale in _CROPS:
        half = size * scale / 2
        box = (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)
        # Reduce by an area filter first: a bilinear transform alone would alias.
        crop = picture.transform(
            (_SIZE * 4, _SIZE * 4), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
        )
        crop = crop.resize((_SIZE, _SIZE), Image.Resampling.BOX)
        crops += [np.asarray(crop), np.asarray(crop)[:, ::-1]]
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
    x = (x - torch.tensor(_MEAN_RGB).view(1, 3, 1, 1)) / 255
    with torch.inference_mode():
        age, man = _age_gender(x)
        happy = _expressions(x)[:, _HAPPY]
    return Attributes(age.mean().item(), man.mean().item(), happy.mean().item())
