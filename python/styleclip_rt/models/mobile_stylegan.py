"""MobileStyleGAN: StyleGAN2's mapping network with a wavelet synthesis network.

Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image
Synthesis", 2021. Differences from StyleGAN2: convolutions are depthwise-separable, upsampling is an
inverse Haar wavelet, demodulation depends on the weights alone and is folded into them, noise is a
stored constant, and a single head predicts the wavelet coefficients of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt import ops
from styleclip_rt.errors import StyleClipError

LEAK = 0.2


@dataclass(frozen=True)
class MobileStyleGANConfig:
    """Shape of the network.

    Attributes:
        channels: feature channels at 4, 8, 16, ... px; the image has twice the last resolution.
        latent_dim: width of z and w.
        mapping_layers: fully connected layers of the mapping network.
        draft_resolutions: resolutions of the small heads that draw a draft image, descending; each
            must be one of the feature resolutions from 8 px up to a quarter of the image.
        draft_channels: hidden width of a draft head.
    """

    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64)
    latent_dim: int = 512
    mapping_layers: int = 8
    draft_resolutions: tuple[int, ...] = ()
    draft_channels: int = 64

    def __post_init__(self) -> None:
        if not 2 <= len(self.channels) <= 8 or any(c < 1 or c % 4 for c in self.channels[:-1]):
            raise ValueError("MobileStyleGAN needs 2 to 8 channel counts, whole multiples of 4")
        if min(self.channels[-1], self.latent_dim, self.mapping_layers, self.draft_channels) < 1:
            raise ValueError("MobileStyleGAN's widths and layers must be positive")
        if self.latent_dim > 1024 or self.mapping_layers > 64:
            raise ValueError(
                "MobileStyleGAN's latents have up to 1024 numbers, mapped by 64 layers"
            )
        sizes = [8 * 2**i for i in range(len(self.channels) - 2)]
        drawn = self.draft_resolutions
        if not set(drawn) <= set(sizes) or list(drawn) != sorted(set(drawn), reverse=True):
            raise ValueError(f"draft resolutions must be some of {sizes}, the largest first")


def _scale(x: Tensor, style: Tensor) -> Tensor:
    return x * style[:, :, None, None]


def _with(x: Tensor, residue: Tensor | None) -> Tensor:
    """The features, and a residue of their size."""
    if residue is None or residue.shape[-1] != x.shape[-1]:
        return x
    return x + residue.to(x.dtype)


class SeparableConv(nn.Module):
    """Modulation, depthwise 3x3, pointwise, noise, bias, leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.noise = nn.Buffer(torch.zeros(1, 1, resolution, resolution))

    def forward(self, x: Tensor, style: Tensor, up_style: Tensor | None = None) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H, W]; with `up_style` through an inverse wavelet."""
        return ops.separable_conv2d(
            x,
            style,
            up_style,
            self.depthwise.weight,
            self.pointwise.weight,
            self.pointwise.bias,
            self.noise,
            LEAK,
        )


class WaveletBlock(nn.Module):
    """Doubles the resolution: modulate, inverse wavelet, two modulated separable convolutions."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, latent_dim: int):
        super().__init__()
        self.up_affine = nn.Linear(latent_dim, in_channels)
        self.conv1_affine = nn.Linear(latent_dim, in_channels // 4)
        self.conv2_affine = nn.Linear(latent_dim, out_channels)
        self.conv1 = SeparableConv(in_channels // 4, out_channels, resolution)
        self.conv2 = SeparableConv(out_channels, out_channels, resolution)

    def forward(self, x: Tensor, up: Tensor, style1: Tensor, style2: Tensor) -> Tensor:
        """[N, C_in, H, W] and three styles -> [N, C_out, 2H, 2W]."""
        x = self.conv1(x, style1, up)
        features: Tensor = self.conv2(x, style2)
        return features


class DraftHead(nn.Module):
    """Draws an RGB draft from the features of one resolution.

    The distilled network has no image below its full size, so these are fitted to its own reduced
    images (`python -m recipes draft-heads`). They reuse the styles of the layers that they stand in
    for, so that an edit on the draft also moves those rows of w+.
    """

    def __init__(self, in_channels: int, hidden: int, up_channels: int, image_channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(up_channels, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.mix = nn.Conv2d(hidden, image_channels, 1)
        self.to_rgb = nn.Conv2d(image_channels, 3, 1)

    def forward(self, x: Tensor, up: Tensor, image_style: Tensor) -> Tensor:
        """[N, C, H, W], the next block's up style and the image style -> [N, 3, H, W]."""
        x, _ = ops.modulated_conv2d(x, self.squeeze.weight, up, bias=self.squeeze.bias, slope=LEAK)
        # What is added to the depthwise convolution is its own input: a one more in the middle tap.
        # Its bias passes through the pointwise one's weight, after the padding, and so joins that
        # one's bias.
        # Padded, since an assigned number would be copied from the host.
        middle = F.pad(x.new_ones(1, 1, dtype=self.depthwise.weight.dtype), (1, 1, 1, 1))
        weight, hidden_bias = self.mix.weight, self.depthwise.bias
        assert hidden_bias is not None and self.mix.bias is not None
        x = ops.separable_conv2d(
            x,
            x.new_ones(x.shape[:2], dtype=weight.dtype),
            None,
            self.depthwise.weight + middle,
            weight,
            self.mix.bias + weight[:, :, 0, 0] @ hidden_bias,
            slope=LEAK,
        )
        image, _ = ops.modulated_conv2d(x, self.to_rgb.weight, image_style, bias=self.to_rgb.bias)
        return image


class MobileStyleGAN(nn.Module):
    """Mapping and synthesis networks; latents in z, w, w+ and StyleSpace.

    Weights are frozen: only latents receive a gradient.

    Rows of w+ (and tensors of StyleSpace), in order of depth: the 4 px convolution, then `up`,
    `conv1`, `conv2` of each block, then the image head: 23 rows for the FFHQ network at 1024 px.
    """

    def __init__(self, config: MobileStyleGANConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_dim = config.latent_dim
        self.resolution = 2 ** (len(config.channels) + 2)
        self.n_latent = 3 * (len(config.channels) - 1) + 2
        self.style_rows = tuple(range(self.n_latent))
        first = config.channels[0]
        self.mapping_layers = nn.ModuleList(
            nn.Linear(config.latent_dim, config.latent_dim) for _ in range(config.mapping_layers)
        )
        self.mean_latent = nn.Buffer(torch.zeros(config.latent_dim))
        self.constant = nn.Buffer(torch.zeros(1, first, 4, 4))
        self.first_affine = nn.Linear(config.latent_dim, first)
        self.first_conv = nn.Conv2d(first, first, 3, padding=1)
        self.first_noise = nn.Buffer(torch.zeros(1, 1, 4, 4))
        self.blocks = nn.ModuleList(
            WaveletBlock(config.channels[i], config.channels[i + 1], 8 * 2**i, config.latent_dim)
            for i in range(len(config.channels) - 1)
        )
        self.image_affine = nn.Linear(config.latent_dim, config.channels[-1])
        self.to_wavelets = nn.Conv2d(config.channels[-1], 12, 1)
        self.draft_heads = nn.ModuleDict(
            {str(size): self._draft_head(config, size) for size in config.draft_resolutions}
        )
        self.requires_grad_(False)

    @staticmethod
    def _draft_head(config: MobileStyleGANConfig, size: int) -> DraftHead:
        channels = config.channels[size.bit_length() - 3]
        return DraftHead(channels, config.draft_channels, channels, config.channels[-1])

    @property
    def layer_groups(self) -> dict[str, range]:
        """Rows of w+ by what they draw. At 1024 px: `coarse` up to 16 px (pose, face shape),
        `middle` up to 64 px (features), `fine` above (colour, texture); smaller networks are
        parted in the same proportion."""
        middle, fine = round(self.n_latent * 7 / 23), round(self.n_latent * 13 / 23)
        return {
            "coarse": range(0, middle),
            "middle": range(middle, fine),
            "fine": range(fine, self.n_latent),
        }

    def mapping(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """z [N, latent_dim], standard normal -> w [N, latent_dim].

        `truncation_psi` scales the distance from `mean_latent` (Karras et al. 2019, appendix B).
        """
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.mapping_layers:
            x = F.leaky_relu(layer(x), LEAK) * 2**0.5
        return self.mean_latent + truncation_psi * (x - self.mean_latent)

    @property
    def draft_sizes(self) -> tuple[int, ...]:
        """Those of the draft heads, half the full size, and the full size."""
        return tuple(
            sorted({*self.config.draft_resolutions, self.resolution // 2, self.resolution})
        )

    def affines(self) -> list[nn.Linear]:
        """The affine layer of every row of w+, in order."""
        layers: list[nn.Linear] = [self.first_affine]
        for block in self.blocks:
            assert isinstance(block, WaveletBlock)
            layers += [block.up_affine, block.conv1_affine, block.conv2_affine]
        return [*layers, self.image_affine]

    def styles(self, w_plus: Tensor) -> list[Tensor]:
        """w+ [N, n_latent, latent_dim] -> StyleSpace: one tensor [N, channels] a row."""
        # One gradient for all rows, where indexing would make and add up one of full size for each.
        rows = w_plus.unbind(1)
        # Products of a row cost less than autocast's copies of the weights.
        with torch.autocast(w_plus.device.type, enabled=False):
            return [layer(row) for layer, row in zip(self.affines(), rows, strict=True)]

    def synthesis(
        self,
        latent: Tensor | Sequence[Tensor],
        resolution: int | None = None,
        *,
        residue: Tensor | None = None,
    ) -> Tensor:
        """Draw the image (noise is a stored constant, so the same latent gives the same image).

        Args:
            latent: w [N, latent_dim], w+ [N, n_latent, latent_dim], or the list from `styles`.
            resolution: full size (default); half of it (exact: the low-pass wavelet band); or
                smaller, drawn by the nearest draft head (approximate) and area-averaged.
            residue: [N, C, R, R], added to the features of R px, 4 or a power of two above.

        Returns:
            [N, 3, resolution, resolution], about [-1, 1] (not clamped).

        Raises:
            StyleClipError: no draft head can draw that resolution.
        """
        resolution = self.resolution if resolution is None else resolution
        if isinstance(latent, Tensor):
            if latent.dim() == 2:
                latent = latent[:, None].expand(-1, self.n_latent, -1)
            latent = self.styles(latent)
        draft = self._draft_for(resolution)
        if draft is not None:
            image = self.draft(self.features(latent, draft, residue), latent)
            return image if draft == resolution else F.avg_pool2d(image, draft // resolution)
        features = self.features(latent, residue=residue)
        wavelets: Tensor = self.to_wavelets(_scale(features, latent[-1]))
        if resolution == self.resolution // 2:
            return 0.5 * wavelets[:, :3]
        return ops.haar_idwt2d(wavelets)

    def features(
        self,
        styles: Sequence[Tensor],
        resolution: int | None = None,
        residue: Tensor | None = None,
    ) -> Tensor:
        """StyleSpace -> the features [N, C, resolution, resolution] of one block (the last); a
        residue as in `synthesis`."""
        constant = self.constant.expand(styles[0].shape[0], -1, -1, -1)
        x: Tensor = self.first_conv(_scale(constant, styles[0])) + self.first_noise
        x = _with(F.leaky_relu(x, LEAK), residue)
        for i, block in enumerate(self.blocks):
            if x.shape[-1] == resolution:
                break
            x = _with(block(x, *styles[1 + 3 * i : 4 + 3 * i]), residue)
        return x

    def draft(self, features: Tensor, styles: Sequence[Tensor]) -> Tensor:
        """The draft [N, 3, H, W] that the head of that resolution draws of `features`."""
        size = int(features.shape[-1])
        up = styles[3 * (size.bit_length() - 3) + 1]
        image: Tensor = self.draft_heads[str(size)](features, up, styles[-1])
        return image

    def _draft_for(self, resolution: int) -> int | None:
        """Which draft head draws `resolution`; None for the exact sizes."""
        if resolution in (self.resolution, self.resolution // 2):
            return None
        fitting = [size for size in self.config.draft_resolutions if size >= resolution]
        if not fitting or min(fitting) % resolution:
            raise StyleClipError(
                f"no image at {resolution} px: this generator draws {list(self.draft_sizes)}."
            )
        return min(fitting)

    def forward(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """z [N, latent_dim] -> image [N, 3, resolution, resolution]."""
        return self.synthesis(self.mapping(z, truncation_psi))
