"""StyleGAN2's generator (Karras et al. 2020), config-f and smaller, for frozen use.

Latent spaces, from the outside in: z [N, D], w [N, D], w+ [N, L, D] (one w for each
convolution), and StyleSpace (Wu et al. 2021), a list of [N, C_i] channel scales.

Weights are held *effective*: the run-time scales of the equalised learning rate (and the
mapping network's learning-rate multiplier) are folded in by whoever fills the model.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from styleclip_rt import ops
from styleclip_rt.errors import StyleClipError

_FILTER = ops.resample_kernel()

Noise = Literal["const", "random", "none"] | Sequence[Tensor]


@dataclass(frozen=True)
class StyleGAN2Config:
    """The shape of a StyleGAN2; the default is config-f at 1024 pixels.

    channels: feature channels at 4, 8, 16, ... pixels; their number sets the resolution.
    latent_dim: size of z and of w.
    n_mlp: layers of the mapping network.
    clamp: limit on the convolutions' outputs; NVIDIA's mixed-precision models have 256.
    """

    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    latent_dim: int = 512
    n_mlp: int = 8
    clamp: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.channels) <= 9:
            raise ValueError("StyleGAN2 needs a resolution from 8 to 1024: 2 to 9 channel counts")
        if min(*self.channels, self.latent_dim, self.n_mlp) < 1:
            raise ValueError("StyleGAN2's channels, latent_dim and n_mlp must be positive")
        if self.latent_dim > 1024 or self.n_mlp > 64:
            raise ValueError("StyleGAN2's latents have at most 1024 numbers and 64 layers")
        if self.clamp is not None and not self.clamp > 0:
            raise ValueError("StyleGAN2's clamp must be positive")

    @classmethod
    def sized(
        cls, resolution: int, channel_base: int = 32768, channel_max: int = 512, **rest: Any
    ) -> "StyleGAN2Config":
        """The usual channel counts for ``resolution`` (a power of two from 8 to 1024).

        ``channel_base`` 32768 is config-f (rosinality's channel multiplier 2), 16384 half of it.
        """
        levels = [2**i for i in range(2, 11) if 2**i <= resolution]
        if resolution not in levels[1:]:
            raise ValueError("StyleGAN2's resolution must be a power of two from 8 to 1024")
        return cls(tuple(min(channel_base // level, channel_max) for level in levels), **rest)

    @property
    def resolution(self) -> int:
        """Width and height of the image."""
        return int(4 * 2 ** (len(self.channels) - 1))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, optionally upsampling by two, then noise, bias, leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, resolution: int, up: bool, config: StyleGAN2Config
    ) -> None:
        super().__init__()
        self.clamp = config.clamp
        self.affine = _affine(config.latent_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.normal_(self.weight, std=1 / math.sqrt(inputs * 9))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.noise = nn.Buffer(torch.randn(1, 1, resolution, resolution))
        self.up_kernel = nn.Buffer(_FILTER.clone(), persistent=False) if up else None
        # The weight is frozen, so its energy is summed once and not in every forward pass.
        self.energy = nn.Buffer(torch.empty(outputs, inputs), persistent=False)
        self.sum_energy()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda module, _: module.sum_energy()
        )

    @torch.no_grad()
    def sum_energy(self) -> None:
        """Bring ``energy`` [O, I] up to date with the weight."""
        if not self.weight.is_meta:  # arithmetic of that device takes a second to import
            self.energy.copy_(self.weight.square().sum((2, 3)))

    def forward(
        self,
        x: Tensor,
        style: Tensor,
        noise: Tensor | None,
        to_rgb: "ToRGB | None" = None,
        rgb_style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The features, and the image that ``to_rgb`` draws of them in the same pass."""
        x, rgb = ops.modulated_conv2d(
            x,
            self.weight,
            style,
            ops.demodulation(style, self.energy),
            noise,
            None if noise is None else self.noise_strength,
            self.bias,
            None if to_rgb is None else to_rgb.weight.flatten(1),
            rgb_style,
            self.up_kernel,
            slope=0.2,
            gain=math.sqrt(2),
            clamp=self.clamp,
        )
        if to_rgb is not None and rgb is not None:
            rgb = ops.bias_act(rgb, to_rgb.bias, slope=1, gain=1, clamp=to_rgb.clamp)
        return x, rgb


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation or activation.

    The convolution that makes its input also computes it, see `StyledConv`.
    """

    def __init__(self, inputs: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.clamp = config.clamp
        self.affine = _affine(config.latent_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.empty(3, inputs, 1, 1))
        nn.init.normal_(self.weight, std=1 / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(3))


class StyleGAN2(nn.Module):
    """The generator: ``mapping``, ``styles``, ``synthesis``; weights are frozen.

    resolution: width and height of the image.
    n_latent: rows L of w+, 2 * log2(resolution) - 2.
    latent_dim: size D of z and w.
    mean_latent: [D], the mean of w over z.
    layer_groups: "coarse", "middle" and "fine" -> rows of w+.
    style_rows: for each entry of ``styles``, the row of w+ that feeds it.

    Row 0 drives the convolution at 4 px, rows 2k-1 and 2k the two at 4 * 2^k px; the RGB layer
    of each resolution takes the row after its convolutions, as in the official code.
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.resolution = config.resolution
        self.latent_dim = config.latent_dim
        self.n_latent = 2 * len(config.channels)
        self.layer_groups = _layer_groups(self.n_latent)

        channels, dim = config.channels, config.latent_dim
        self.mean_latent = nn.Buffer(torch.zeros(dim))
        self.image_kernel = nn.Buffer(_FILTER.clone(), persistent=False)
        self.mapping_layers = nn.ModuleList(_affine(dim, dim, 0.0) for _ in range(config.n_mlp))
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.convs = nn.ModuleList([StyledConv(channels[0], channels[0], 4, False, config)])
        self.to_rgbs = nn.ModuleList([ToRGB(channels[0], config)])
        for level in range(1, len(channels)):
            inputs, outputs, size = channels[level - 1], channels[level], 4 * 2**level
            self.convs.append(StyledConv(inputs, outputs, size, True, config))
            self.convs.append(StyledConv(outputs, outputs, size, False, config))
            self.to_rgbs.append(ToRGB(outputs, config))

        self.style_rows = tuple(row for row, _ in self._style_layers())
        self.eval().requires_grad_(False)

    def mapping(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """z [N, D] -> w [N, D].

        ``truncation_psi`` below 1 pulls w towards ``mean_latent``: less variety, fewer flaws.
        """
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping_layers:
            x = ops.bias_act(layer(x))
        return x if truncation_psi == 1 else torch.lerp(self.mean_latent, x, truncation_psi)

    def styles(self, w_plus: Tensor) -> list[Tensor]:
        """w+ [N, L, D] -> StyleSpace: one [N, C_i] for each modulated layer, RGB layers included.

        In order of computation: conv, rgb at 4 px, then conv, conv, rgb at each resolution.
        """
        # One gradient for all rows, where indexing would make and add up one of full size for each.
        rows = w_plus.unbind(1)
        # Products of a row cost less than autocast's copies of the weights.
        with torch.autocast(w_plus.device.type, enabled=False):
            return [affine(rows[row]) for row, affine in self._style_layers()]

    def synthesis(
        self,
        latent: Tensor | Sequence[Tensor],
        resolution: int | None = None,
        noise: Noise = "const",
        *,
        residue: Tensor | None = None,
    ) -> Tensor:
        """The image [N, 3, R, R], about [-1, 1], of w [N, D], w+ [N, L, D] or a list of styles.

        resolution: a smaller power of two from 4 gives the skip image of that size; the layers
        above it are not computed, and their rows get no gradient.
        noise: "const" is the checkpoint's own, "random" is drawn anew, "none" leaves it out; or
        one tensor [1 or N, 1, H, W] for each convolution up to ``resolution``.
        residue: [N, C, R, R], added to what the layers above R px are given.

        Raises StyleClipError if a shape or the resolution does not fit the model.
        """
        return self.synthesis_all(latent, resolution, noise, residue)[-1]

    def features(self, styles: Sequence[Tensor], resolution: int) -> Tensor:
        """StyleSpace -> what the layers above ``resolution`` px are given, [N, C, resolution,
        resolution]."""
        count = 2 * self.draft_sizes.index(resolution) + 1
        conv_styles = [style for i, style in enumerate(styles) if i % 3 != 1][:count]
        x = self._constant(len(styles[0]))
        for style, noise, conv in zip(
            conv_styles, self._as_noises("const", count, styles[0]), self.convs, strict=False
        ):
            x, _ = conv(x, style, noise)
        return x

    def synthesis_all(
        self,
        latent: Tensor | Sequence[Tensor],
        resolution: int | None = None,
        noise: Noise = "const",
        residue: Tensor | None = None,
    ) -> list[Tensor]:
        """The skip images at 4, 8, ... up to ``resolution`` pixels; see ``synthesis``."""
        if resolution is None:
            resolution = self.resolution
        if resolution not in self.draft_sizes:
            raise StyleClipError(
                f"There is no image of {resolution} px in this StyleGAN2; "
                f"choose one of {list(self.draft_sizes)}."
            )
        levels = self.draft_sizes.index(resolution) + 1
        styles = self._as_styles(latent)[: 3 * levels - 1]
        rgb_styles = styles[1::3]
        conv_styles = [style for i, style in enumerate(styles) if i % 3 != 1]
        noises = self._as_noises(noise, len(conv_styles), styles[0])

        x = self._constant(styles[0].shape[0])
        images: list[Tensor] = []
        for index, (style, noise_map) in enumerate(zip(conv_styles, noises, strict=True)):
            draws = index % 2 == 0
            to_rgb = cast(ToRGB, self.to_rgbs[index // 2]) if draws else None
            rgb_style = rgb_styles[index // 2] if draws else None
            x, rgb = self.convs[index](x, style, noise_map, to_rgb, rgb_style)
            if rgb is not None:
                if images:
                    rgb = rgb + ops.upfirdn2d(
                        images[-1], self.image_kernel, up=2, padding=(2, 1, 2, 1), gain=4.0
                    )
                images.append(rgb)
            if draws and residue is not None and residue.shape[-1] == x.shape[-1]:
                x = x + residue.to(x.dtype)
        return images

    def _constant(self, count: int) -> Tensor:
        # oneDNN and cuDNN are fastest in this layout, and every layer keeps it.
        x = self.constant.contiguous(memory_format=torch.channels_last)
        return x.expand(count, -1, -1, -1)

    @property
    def draft_sizes(self) -> tuple[int, ...]:
        """Every power of two from 4 px to the full size."""
        return tuple(4 * 2**level for level in range(len(self.to_rgbs)))

    def affines(self) -> list[nn.Linear]:
        """The affine layer of every style, in the order of ``styles``."""
        return [affine for _, affine in self._style_layers()]

    def _style_layers(self) -> Iterator[tuple[int, nn.Linear]]:
        """The style input of every layer in order of computation, and its row of w+."""
        for row, conv in enumerate(self.convs):
            yield row, cast(StyledConv, conv).affine
            if row % 2 == 0:
                yield row + 1, cast(ToRGB, self.to_rgbs[row // 2]).affine

    def _as_styles(self, latent: Tensor | Sequence[Tensor]) -> list[Tensor]:
        if isinstance(latent, Tensor):
            rows, dim = self.n_latent, self.latent_dim
            if latent.shape[1:] == (dim,):
                latent = latent.unsqueeze(1).expand(-1, rows, -1)
            if latent.ndim != 3 or latent.shape[1:] != (rows, dim):
                raise StyleClipError(
                    f"A latent of shape {tuple(latent.shape)} does not fit this StyleGAN2; "
                    f"give w [N, {dim}] or w+ [N, {rows}, {dim}]."
                )
            return self.styles(latent)
        if len(latent) != len(self.style_rows):
            raise StyleClipError(
                f"{len(latent)} styles do not fit this StyleGAN2; "
                f"give {len(self.style_rows)}, as from styles()."
            )
        return list(latent)

    def _as_noises(self, noise: Noise, count: int, like: Tensor) -> Sequence[Tensor | None]:
        maps = [cast(StyledConv, conv).noise for conv in self.convs][:count]
        if noise == "none":
            return [None] * count
        if noise == "const":
            return maps
        if noise == "random":
            return [like.new_empty(like.shape[0], *each.shape[1:]).normal_() for each in maps]
        if len(noise) < count or not all(isinstance(each, Tensor) for each in noise):
            raise StyleClipError(
                f'Unknown noise; give "const", "random", "none" or a list of {count} tensors.'
            )
        return noise[:count]


def _affine(inputs: int, outputs: int, bias: float) -> nn.Linear:
    """A linear layer drawn like StyleGAN2's."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(inputs))
    nn.init.constant_(layer.bias, bias)
    return layer


def _layer_groups(rows: int) -> dict[str, range]:
    """Coarse 0-3, middle 4-7, fine 8-: up to 16 px, up to 64 px, and above.

    A row draws at the same scale whatever the final size, so models with fewer rows lose fine
    ones; the smallest share what they have, and no group is ever empty.
    """
    middle = min(4, math.ceil(rows / 3))
    fine = min(8, math.ceil(rows * 2 / 3))
    return {"coarse": range(middle), "middle": range(middle, fine), "fine": range(fine, rows)}
