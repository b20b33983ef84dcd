"""FaceNet's Inception-ResNet-v1, as trained by facenet-pytorch.

Szegedy et al. 2016 (arXiv:1602.07261) give the network, Schroff et al. 2015 (arXiv:1503.03832)
its use for faces; widths and residual scales are those of David Sandberg's facenet.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from styleclip_rt.models.face_crop import FFHQ_FACE, FaceCrop, check_crop, crop_face
from styleclip_rt.models.linear import Linear, unit_vectors

_Size = int | tuple[int, int]


@dataclass(frozen=True)
class InceptionResnetV1Config:
    """Preprocessing of an Inception-ResNet-v1; its shape is fixed.

    crop: top, left, bottom, right of the face as fractions of an FFHQ-aligned image.
    """

    embed_dim: int = 512
    input_size: int = 160
    crop: FaceCrop = FFHQ_FACE

    def __post_init__(self) -> None:
        if self.embed_dim < 1 or not 75 <= self.input_size <= 1024:
            raise ValueError("Inception-ResNet-v1 needs faces of 75 to 1024 px")
        check_crop(self.crop)


class ConvNormReLU(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, inputs: int, width: int, kernel: _Size, stride: int = 1, padding: _Size = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Branches(nn.Module):
    """Several paths over the same input, their outputs stacked as channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for branch in self.branches:
            outputs.append(branch(x))
        return torch.cat(outputs, dim=1)


class InceptionResidual(nn.Module):
    """x + scale * (branches, mixed back to x's width), then ReLU unless it is the last."""

    def __init__(
        self, branches: Branches, mixed: int, width: int, scale: float, relu: bool = True
    ) -> None:
        super().__init__()
        self.branches = branches
        self.mix = nn.Conv2d(mixed, width, 1)
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale * self.mix(self.branches(x))
        return torch.relu(x) if self.relu else x


def _block35() -> InceptionResidual:
    branches = Branches(
        ConvNormReLU(256, 32, 1),
        nn.Sequential(ConvNormReLU(256, 32, 1), ConvNormReLU(32, 32, 3, padding=1)),
        nn.Sequential(
            ConvNormReLU(256, 32, 1),
            ConvNormReLU(32, 32, 3, padding=1),
            ConvNormReLU(32, 32, 3, padding=1),
        ),
    )
    return InceptionResidual(branches, 96, 256, scale=0.17)


def _separable_block(
    width: int, inner: int, length: int, scale: float, relu: bool
) -> InceptionResidual:
    """A pointwise path beside a 1 x length and length x 1 path."""
    branches = Branches(
        ConvNormReLU(width, inner, 1),
        nn.Sequential(
            ConvNormReLU(width, inner, 1),
            ConvNormReLU(inner, inner, (1, length), padding=(0, length // 2)),
            ConvNormReLU(inner, inner, (length, 1), padding=(length // 2, 0)),
        ),
    )
    return InceptionResidual(branches, 2 * inner, width, scale, relu)


def _reduction_a() -> Branches:
    return Branches(
        ConvNormReLU(256, 384, 3, stride=2),
        nn.Sequential(
            ConvNormReLU(256, 192, 1),
            ConvNormReLU(192, 192, 3, padding=1),
            ConvNormReLU(192, 256, 3, stride=2),
        ),
        nn.MaxPool2d(3, stride=2),
    )


def _reduction_b() -> Branches:
    return Branches(
        nn.Sequential(ConvNormReLU(896, 256, 1), ConvNormReLU(256, 384, 3, stride=2)),
        nn.Sequential(ConvNormReLU(896, 256, 1), ConvNormReLU(256, 256, 3, stride=2)),
        nn.Sequential(
            ConvNormReLU(896, 256, 1),
            ConvNormReLU(256, 256, 3, padding=1),
            ConvNormReLU(256, 256, 3, stride=2),
        ),
        nn.MaxPool2d(3, stride=2),
    )


class InceptionResnetV1(nn.Module):
    """Faces as unit vectors whose cosine says how likely two show the same person."""

    def __init__(self, config: InceptionResnetV1Config) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            ConvNormReLU(3, 32, 3, stride=2),
            ConvNormReLU(32, 32, 3),
            ConvNormReLU(32, 64, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            ConvNormReLU(64, 80, 1),
            ConvNormReLU(80, 192, 3),
            ConvNormReLU(192, 256, 3, stride=2),
        )
        self.stage_a = nn.Sequential(*(_block35() for _ in range(5)))
        self.reduction_a = _reduction_a()
        self.stage_b = nn.Sequential(
            *(_separable_block(896, 128, 7, scale=0.1, relu=True) for _ in range(10))
        )
        self.reduction_b = _reduction_b()
        self.stage_c = nn.Sequential(
            *(_separable_block(1792, 192, 3, scale=0.2, relu=True) for _ in range(5)),
            _separable_block(1792, 192, 3, scale=1.0, relu=False),
        )
        self.head = Linear(1792, config.embed_dim, bias=False)
        self.embedding_norm = nn.BatchNorm1d(config.embed_dim, eps=1e-3)

    def forward(self, faces: Tensor) -> Tensor:
        """Faces [N, 3, S, S] in about [-1, 1] (S >= 75) -> [N, embed_dim], not unit norm."""
        x = self.reduction_a(self.stage_a(self.stem(faces)))
        x = self.stage_c(self.reduction_b(self.stage_b(x)))
        embedding: Tensor = self.embedding_norm(self.head(x.mean(dim=(2, 3))))
        return embedding

    def encode(self, image: Tensor) -> Tensor:
        """Aligned images [N, 3, H, W] in [0, 1], any size -> [N, embed_dim], unit norm.

        The face is cropped and averaged down to `input_size` by area, and its bytes mapped by
        (x - 127.5) / 128, as facenet-pytorch does; upstream finds the crop with MTCNN instead.
        """
        config = self.config
        faces = crop_face(image, config.crop, config.input_size, mean=0.5, std=128 / 255)
        return unit_vectors(self(faces))
