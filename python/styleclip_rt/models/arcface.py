"""ArcFace's improved residual network with squeeze and excitation: IR-SE50 and smaller ones.

Deng et al. 2019 (arXiv:1801.07698) give the residual unit (BN-conv-PReLU-conv-BN) and the head
(BN-linear-BN), Hu et al. 2018 (arXiv:1709.01507) the channel gate; the crop is StyleCLIP's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from styleclip_rt import ops
from styleclip_rt.models.face_crop import FFHQ_FACE, FaceCrop, check_crop, crop_face
from styleclip_rt.models.linear import unit_vectors


@dataclass(frozen=True)
class ArcFaceConfig:
    """Shape and preprocessing of an ArcFace network; the default is IR-SE50.

    widths, units:  channels and residual units of each stage; every stage halves the resolution.
    crop:           top, left, bottom, right of the face as fractions of an FFHQ-aligned image.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    units: tuple[int, ...] = (3, 4, 14, 3)
    squeeze_excite: bool = True
    reduction: int = 16
    embed_dim: int = 512
    input_size: int = 112
    crop: FaceCrop = FFHQ_FACE

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.units):
            raise ValueError("widths and units need one entry for each stage")
        if min(*self.widths, *self.units, self.reduction, self.embed_dim, self.input_size) < 1:
            raise ValueError("ArcFace's sizes must be positive")
        check_crop(self.crop)
        if self.input_size % 2 ** len(self.widths):
            raise ValueError(f"{self.input_size} px cannot be halved {len(self.widths)} times")
        if self.squeeze_excite and min(self.widths) < self.reduction:
            raise ValueError(f"a width of {min(self.widths)} is below the reduction")


class PReLU(nn.PReLU):
    """`torch.nn.PReLU` by `ops.prelu`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.prelu(x, self.weight)


class SqueezeExcite(nn.Module):
    """Gates each channel by what the whole image shows, and adds the shortcut."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, width // reduction, bias=False)
        self.excite = nn.Linear(width // reduction, width, bias=False)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return ops.squeeze_excite(x, shortcut, self.squeeze.weight, self.excite.weight)


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` that keeps what it applies once it is trained: x * factor + shift.

    Both are brought up to date by `load_state_dict` and by `eval`; whoever writes to the parameters
    of a trained norm otherwise calls `fold`.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.factor = nn.Buffer(torch.empty(width), persistent=False)
        self.shift = nn.Buffer(torch.empty(width), persistent=False)
        self.fold()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, _: module.fold()
        )

    @torch.no_grad()
    def fold(self) -> None:
        """Bring ``factor`` and ``shift`` [C] up to date with parameters and running moments."""
        assert self.running_mean is not None and self.running_var is not None
        if self.weight.is_meta:  # arithmetic of that device takes a second to import
            return
        self.factor.copy_(self.weight * torch.rsqrt(self.running_var + self.eps))
        self.shift.copy_(self.bias - self.running_mean * self.factor)

    def train(self, mode: bool = True) -> "BatchNorm2d":
        if self.training and not mode:
            self.fold()
        return super().train(mode)


class ResidualUnit(nn.Module):
    """BN, 3x3 convolution, PReLU, strided 3x3 convolution, BN, gate; plus the shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, config: ArcFaceConfig) -> None:
        super().__init__()
        self.stride = stride
        self.norm1 = BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.prelu = PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.norm2 = BatchNorm2d(width)
        self.gate = SqueezeExcite(width, config.reduction) if config.squeeze_excite else None
        self.shortcut = (
            nn.Identity()
            if inputs == width
            else nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y = self.norm2(self.conv2(self.prelu(self.conv1(self.norm1(x)))))
        else:
            norm1, norm2 = self.norm1, self.norm2
            y = ops.conv2d(x, self.conv1.weight, scale=norm1.factor, shift=norm1.shift)
            if self.stride == 1:
                y = ops.conv2d(
                    y, self.conv2.weight, norm2.factor, norm2.shift, slope=self.prelu.weight
                )
            else:
                y = norm2(self.conv2(self.prelu(y)))
        shortcut = self.shortcut(x[:, :, :: self.stride, :: self.stride])
        out: Tensor = y + shortcut if self.gate is None else self.gate(y, shortcut)
        return out


class ArcFace(nn.Module):
    """Faces as unit vectors whose cosine says how likely two show the same person."""

    def __init__(self, config: ArcFaceConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(config.widths[0]),
            PReLU(config.widths[0]),
        )
        units: list[nn.Module] = []
        inputs = config.widths[0]
        for width, count in zip(config.widths, config.units, strict=True):
            for index in range(count):
                units.append(ResidualUnit(inputs, width, 2 if index == 0 else 1, config))
                inputs = width
        self.units = nn.Sequential(*units)
        side = config.input_size // 2 ** len(config.widths)
        self.head_norm = nn.BatchNorm2d(inputs)
        self.head = nn.Linear(inputs * side * side, config.embed_dim)
        self.embedding_norm = nn.BatchNorm1d(config.embed_dim)

    def forward(self, faces: Tensor) -> Tensor:
        """Faces [N, 3, input_size, input_size] in [-1, 1] -> [N, embed_dim], not unit norm."""
        if faces.is_cuda:
            # cuDNN's fast kernels read this layout, and would turn every image round for itself.
            faces = faces.contiguous(memory_format=torch.channels_last)
        x = self.head_norm(self.units(self.stem(faces)))
        # A product of one row is bound by reading the weight, which packing would only double.
        with torch.autocast(x.device.type, enabled=False):
            codes = self.head(x.flatten(1).to(self.head.weight.dtype))
        embedding: Tensor = self.embedding_norm(codes)
        return embedding

    def encode(self, image: Tensor) -> Tensor:
        """Aligned images [N, 3, H, W] in [0, 1], any size -> [N, embed_dim], unit norm.

        The face is cropped and averaged down to `input_size` by area.
        """
        config = self.config
        faces = crop_face(image, config.crop, config.input_size, mean=0.5, std=0.5)
        return unit_vectors(self(faces))
