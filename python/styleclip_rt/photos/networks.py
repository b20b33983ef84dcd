"""MediaPipe's networks for photographs, in plain torch: face detector, face mesh, person mask.

Bazarevsky et al. 2019 (BlazeFace, arXiv:1907.05047), Grishchenko et al. 2020 (Attention Mesh,
arXiv:2006.10962), and the model card "MediaPipe Selfie Segmentation", 2021. Batch norms are folded
into the convolutions. The weights are MediaPipe's own (Apache-2.0), see ``weights/photos``.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from styleclip_rt.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)

_WEIGHTS = Path(__file__).parents[1] / "weights" / "photos"


def _pad_for_stride(x: Tensor, kernel: int) -> Tensor:
    """TensorFlow's "SAME" padding of even sizes for a stride of 2: one more below and right."""
    before = (kernel - 2) // 2
    after = kernel - 2 - before
    return F.pad(x, (before, after, before, after))


class _Residual(nn.Module):
    """Depthwise 3x3 and pointwise convolution, added to what came in.

    Where the block halves the size or widens, what came in is max-pooled, and empty channels are
    put behind it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        padding = 1 if stride == 1 else 0
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = activation
        self.stride, self.widened = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        added = self.pointwise(self.depthwise(x if self.stride == 1 else _pad_for_stride(x, 3)))
        if self.stride == 2:
            x = F.max_pool2d(x, 2)
        if self.widened:
            x = F.pad(x, (0, 0, 0, 0, 0, self.widened))
        out: Tensor = self.activation(x + added)
        return out


class FaceDetector(nn.Module):
    """BlazeFace for the back camera: faces of about 20 to 250 px, wherever they are.

    Trained on 256 x 256 px, but nothing in it depends on the size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2)
        widths = [24] * 7 + [-24] + [24] * 7 + [-48] + [48] * 7 + [-96] + [96] * 7
        blocks, inputs = [], 24
        for width in widths:  # negative: halves the size
            stride = 2 if width < 0 else 1
            blocks.append(_Residual(inputs, abs(width), stride, nn.ReLU(inplace=True)))
            inputs = abs(width)
        self.blocks = nn.Sequential(*blocks)
        self.halve = nn.Conv2d(96, 96, 3, 2, groups=96, bias=False)
        self.widen = nn.Conv2d(96, 96, 1)
        self.fine_scores, self.fine_boxes = nn.Conv2d(96, 2, 1), nn.Conv2d(96, 32, 1)
        self.coarse_scores, self.coarse_boxes = nn.Conv2d(96, 6, 1), nn.Conv2d(96, 96, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """RGB [N, 3, H, W] in [-1, 1], H and W multiples of 32 -> scores [N, A], boxes [N, A, 16].

        A is H W / 128 + 6 H W / 1024, the anchors row by row: first 2 in each cell of 16 px, then 6
        in each of 32. Scores are logits. A box is centre x, y, width, height, then x, y of the
        right and left eye, nose tip, mouth, right and left ear as the person has them; pixels, from
        the middle of the anchor's cell on.
        """
        x = torch.relu(self.stem(_pad_for_stride(images, 5)))
        x = self.blocks(x)
        y = torch.relu(self.widen(self.halve(_pad_for_stride(x, 3))))
        scores = [self.fine_scores(x), self.coarse_scores(y)]
        boxes = [self.fine_boxes(x), self.coarse_boxes(y)]
        return (
            torch.cat([s.permute(0, 2, 3, 1).flatten(1) for s in scores], 1),
            torch.cat([b.permute(0, 2, 3, 1).reshape(b.shape[0], -1, 16) for b in boxes], 1),
        )


def _residuals(*widths: int) -> nn.Sequential:
    """Blocks with PReLU from the first width on; a negative width halves the size."""
    blocks = [
        _Residual(abs(a), abs(b), 2 if b < 0 else 1, nn.PReLU(abs(b))) for a, b in pairwise(widths)
    ]
    return nn.Sequential(*blocks)


class _PointsHead(nn.Module):
    """[N, 128, 4, 4] -> 2 numbers for each point, in 64ths of the looked-at square."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.before = _residuals(128, 128, 128, -128, 128, 128)
        self.narrow, self.narrow_activation = nn.Conv2d(128, 32, 1), nn.PReLU(32)
        self.after = _residuals(32, 32)
        self.points = nn.Conv2d(32, 2 * points, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.narrow_activation(self.narrow(self.before(x))))
        points: Tensor = self.points(x)
        return points.reshape(points.shape[0], -1, 2)


class FaceMesh(nn.Module):
    """Attention Mesh: 468 points of a face and 10 of the irises in a crop of 192 x 192 px.

    A coarse mesh of the whole face first; then lips and both eyes are looked at again, each in a
    square of features around its coarse points.
    """

    SIZE = 192
    # Corners of the mouth and of the eyes as they are seen in the picture, left one first.
    _CORNERS = ((61, 291), (33, 133), (362, 263))

    lips: Tensor
    left_eye: Tensor
    right_eye: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_activation = nn.Conv2d(3, 16, 3, 2), nn.PReLU(16)
        self.shared = _residuals(16, 16, 16, -32)
        self.trunk = _residuals(
            *(32, 32, 32, -64, 64, 64, -128, 128, 128), *(-128, 128, 128), *(-128, 128, 128)
        )
        self.narrow, self.narrow_activation = nn.Conv2d(128, 32, 1), nn.PReLU(32)
        self.last = _residuals(32, 32)
        self.presence = nn.Conv2d(32, 1, 3)
        self.points = nn.Conv2d(32, 3 * 468, 3)
        self.mouth = nn.Sequential(_residuals(32, 32, 32, -64, 64, 64, -128), _PointsHead(80))
        for side in ("left", "right"):
            setattr(self, f"{side}_features", _residuals(32, 32, 32, -64, 64, 64, -128))
            setattr(self, f"{side}_contour", _PointsHead(71))
            setattr(self, f"{side}_iris", _PointsHead(5))
        # Which of the 468 points the second look refines.
        self.register_buffer("lips", torch.zeros(80, dtype=torch.int64))
        self.register_buffer("left_eye", torch.zeros(71, dtype=torch.int64))
        self.register_buffer("right_eye", torch.zeros(71, dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """RGB [N, 3, 192, 192] in [0, 1] -> points [N, 478, 3], logits of a face's presence [N].

        Points are x, y and depth in pixels of the crop, in the order of MediaPipe's mesh; the last
        ten are the irises: centre, right, top, left, bottom, of the eye on the left of the picture
        first. Depth grows away from the camera; that of the irises is their eye's mean.
        """
        shared = self.shared(self.stem_activation(self.stem(_pad_for_stride(images, 3))))
        x = self.last(self.narrow_activation(self.narrow(self.trunk(shared))))
        presence = self.presence(x).flatten()
        mesh = self.points(x).reshape(x.shape[0], 468, 3)
        coarse = mesh[:, :, :2]

        features, to_picture = _look_at(shared, coarse, self.lips, *self._CORNERS[0])
        refined = [_transform(to_picture, self.mouth(features))]
        irises = []
        for side, indices, corners in (
            ("left", self.left_eye, self._CORNERS[1]),
            ("right", self.right_eye, self._CORNERS[2]),
        ):
            features, to_picture = _look_at(shared, coarse, indices, *corners)
            features = getattr(self, f"{side}_features")(features)
            refined.append(_transform(to_picture, getattr(self, f"{side}_contour")(features)))
            iris = _transform(to_picture, getattr(self, f"{side}_iris")(features))
            depth = mesh[:, indices, 2:].mean(1, keepdim=True).expand(-1, 5, -1)
            irises.append(torch.cat([iris, depth], 2))

        where = torch.cat([self.lips, self.left_eye, self.right_eye])
        flat = torch.cat(refined, 1)
        plane = coarse.scatter(1, where[None, :, None].expand_as(flat), flat)
        return torch.cat([torch.cat([plane, mesh[:, :, 2:]], 2), *irises], 1), presence


def _look_at(
    features: Tensor, points: Tensor, indices: Tensor, first: int, second: int
) -> tuple[Tensor, Tensor]:
    """Features [N, C, 16, 16] in the box of some points, 1.5 times as large and upright from one
    corner to the other, and the affine map [N, 2, 3] from 64ths of that box to the crop's pixels.
    """
    points = points / 4  # in pixels of the features
    across = points[:, second] - points[:, first]
    angle = torch.atan2(across[:, 1], across[:, 0])
    cos, sin = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    upright = points[:, indices] @ rotation
    low, high = upright.amin(1), upright.amax(1)
    centre = (rotation @ ((low + high) / 2)[:, :, None])[:, :, 0]
    matrix = rotation * ((high - low) * (1.5 / 16))[:, None]
    offset = centre - matrix.sum(2) * 8

    cells = torch.arange(16, dtype=points.dtype, device=points.device) + 0.5
    grid = torch.stack([cells[None, :].expand(16, 16), cells[:, None].expand(16, 16)], 2).reshape(
        -1, 2
    )
    at = grid @ matrix.transpose(1, 2) + offset[:, None]
    at = (at * (2 / features.shape[-1]) - 1).reshape(-1, 16, 16, 2)
    sampled = F.grid_sample(features, at, mode="bilinear", align_corners=False)
    return sampled, torch.cat([matrix, 4 * offset[:, :, None]], 2)


def _transform(affine: Tensor, points: Tensor) -> Tensor:
    return points @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]


class _HardSwish(nn.Module):
    """Swish of straight lines, with the stored model's sixth, which is of half precision."""

    def forward(self, x: Tensor) -> Tensor:
        return x * F.relu6(x + 3) * 0.1666259765625


class _Gate(nn.Module):
    """Squeeze and excitation: how much of each channel, by what the whole picture shows."""

    def __init__(self, inputs: int, middle: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, middle, 1)
        self.excite = nn.Conv2d(middle, inputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        gate: Tensor = self.excite(torch.relu(self.squeeze(mean)))
        return torch.sigmoid(gate)


class _Bottleneck(nn.Module):
    """MobileNetV3's block: widen, depthwise, gate, narrow (arXiv:1905.02244)."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, kernel: int, stride: int, gate: int,
        swish: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.widen = nn.Conv2d(inputs, middle, 1)
        padding = kernel // 2 if stride == 1 else 0
        self.depthwise = nn.Conv2d(middle, middle, kernel, stride, padding, groups=middle)
        self.gate = _Gate(middle, gate) if gate else None
        self.narrow = nn.Conv2d(middle, outputs, 1)
        self.activation = _HardSwish() if swish else nn.ReLU()
        self.kernel, self.stride = kernel, stride
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.widen(x))
        y = y if self.stride == 1 else _pad_for_stride(y, self.kernel)
        y = self.activation(self.depthwise(y))
        if self.gate is not None:
            y = y * self.gate(y)
        narrow: Tensor = self.narrow(y)
        return x + narrow if self.adds else narrow


class _Merge(nn.Module):
    """One step up of the decoder: coarse features, enlarged, with the finer ones they choose."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(inputs, outputs, 1)
        self.gate = _Gate(outputs, outputs)
        self.pointwise = nn.Conv2d(outputs, outputs, 1)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        up = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        up = self.coarse(up)
        x = torch.relu(self.pointwise(fine * self.gate(fine + up) + up))
        out: Tensor = x + torch.relu(self.depthwise(x))
        return out


class PersonSegmenter(nn.Module):
    """MediaPipe's selfie segmentation: where in a picture of 256 x 256 px people are."""

    SIZE = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)
        self.activation = _HardSwish()
        self.first = _Bottleneck(16, 16, 16, 3, 2, 8, swish=False)
        self.second = nn.Sequential(
            _Bottleneck(16, 72, 24, 3, 2, 0, swish=False),
            _Bottleneck(24, 88, 24, 3, 1, 0, swish=False),
        )
        self.third = nn.Sequential(
            _Bottleneck(24, 96, 32, 5, 2, 24, swish=True),
            _Bottleneck(32, 128, 32, 5, 1, 32, swish=True),
            _Bottleneck(32, 128, 32, 5, 1, 32, swish=True),
            _Bottleneck(32, 96, 32, 5, 1, 24, swish=True),
            _Bottleneck(32, 96, 32, 5, 1, 24, swish=True),
        )
        self.pooled, self.pooled_gate = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.merge_second, self.merge_first = _Merge(128, 24), _Merge(24, 16)
        self.merge_stem = _Merge(16, 16)
        self.last = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        """RGB [N, 3, 256, 256] in [0, 1] -> logits of person [N, 256, 256]."""
        stem = self.activation(self.stem(_pad_for_stride(images, 3)))
        first = self.first(stem)
        second = self.second(first)
        x = self.third(second)
        gate = torch.sigmoid(self.pooled_gate(x.mean((2, 3), keepdim=True)))
        x = self.merge_second(torch.relu(self.pooled(x)) * gate, second)
        logits: Tensor = self.last(self.merge_stem(self.merge_first(x, first), stem))
        return logits[:, 0]


def _loaded(network: Network, name: str) -> Network:
    path = _WEIGHTS / f"{name}.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({type(error).__name__}); install the package again."
        ) from error
    return network.eval().requires_grad_(False)


@cache
def face_detector() -> FaceDetector:
    """The detector with its weights, on the CPU; loaded once.

    Raises:
        CheckpointError: the package's weights are missing or damaged.
    """
    return _loaded(FaceDetector(), "face_detector")


@cache
def face_mesh() -> FaceMesh:
    """The mesh with its weights, on the CPU; loaded once.

    Raises:
        CheckpointError: the package's weights are missing or damaged.
    """
    return _loaded(FaceMesh(), "face_mesh")


@cache
def person_segmenter() -> PersonSegmenter:
    """The person mask's network with its weights, on the CPU; loaded once.

    Raises:
        CheckpointError: the package's weights are missing or damaged.
    """
    return _loaded(PersonSegmenter(), "person_segmenter")
