"""StyleGAN2 and StyleCLIP's step in their textbook form: the formulation that published code runs.

Equal to our models in what it computes (tests/benchmarks checks values and gradients in float64),
different in how: every sample gets a modulated and demodulated weight of its own, applied by a
grouped convolution; blur, noise, bias and activation are separate passes over images in
PyTorch's default layout; CLIP's input goes through a sevenfold enlargement.

Written from Karras et al. 2020 (equations 1 to 3, figures 2 and 7) and from what StyleCLIP's
paper and repository say their loop computes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP, CLIPConfig
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, ToRGB
from styleclip_rt.ops import resample_kernel


def upfirdn2d(x: Tensor, kernel: Tensor, up: int, padding: tuple[int, int]) -> Tensor:
    """Insert zeros, pad both axes by (before, after), convolve; one pass each.

    x: [N, C, H, W]; kernel: [kh, kw]. Channels are laid out as images of one channel, as the
    published operator does where its CUDA extension is missing.
    """
    n, channels, height, width = x.shape
    x = x.reshape(n * channels, 1, height, 1, width, 1)
    x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n * channels, 1, height * up, width * up)
    x = F.pad(x, (*padding, *padding))
    x = F.conv2d(x, kernel.flip(0, 1)[None, None].to(x.dtype))
    return x.reshape(n, channels, *x.shape[2:])


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up_kernel: Tensor | None = None
) -> Tensor:
    """Build [N, O, I, k, k] weights, then convolve all samples as groups of one image.

    x: [N, I, H, W]; weight: [O, I, k, k]; style: [N, I]. With ``up_kernel`` [4, 4] of sum 4 the
    result is upsampled by two: a transposed convolution, then the filter.
    """
    n, inputs, height, width = x.shape
    outputs, _, size, _ = weight.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * torch.rsqrt(own.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, n * inputs, height, width)
    if up_kernel is None:
        x = F.conv2d(x, own.reshape(-1, inputs, size, size), padding=size // 2, groups=n)
        return x.reshape(n, outputs, height, width)
    own = own.transpose(1, 2).reshape(n * inputs, outputs, size, size)
    x = F.conv_transpose2d(x, own, stride=2, groups=n)
    return upfirdn2d(x.reshape(n, outputs, *x.shape[2:]), up_kernel, up=1, padding=(1, 1))


class TextbookStyleGAN2(nn.Module):
    """The synthesis network of a `StyleGAN2`, sharing its frozen parameters."""

    def __init__(self, model: StyleGAN2) -> None:
        super().__init__()
        self.model = model
        self.kernel = nn.Buffer(4 * resample_kernel().to(model.constant), persistent=False)

    def synthesis(self, w_plus: Tensor) -> Tensor:
        """w+ [N, L, D] -> the image [N, 3, R, R], with the model's constant noise."""
        x = self.model.constant.contiguous().expand(len(w_plus), -1, -1, -1)
        image: Tensor | None = None
        for row, conv in enumerate(self.model.convs):
            assert isinstance(conv, StyledConv)
            kernel = self.kernel if row % 2 else None
            x = modulated_conv2d(x, conv.weight, conv.affine(w_plus[:, row]), True, kernel)
            x = x + conv.noise_strength * conv.noise
            x = F.leaky_relu(x + conv.bias[:, None, None], 0.2) * 2**0.5
            if row % 2 == 0:
                layer = self.model.to_rgbs[row // 2]
                assert isinstance(layer, ToRGB)
                rgb = modulated_conv2d(x, layer.weight, layer.affine(w_plus[:, row + 1]), False)
                rgb = rgb + layer.bias[:, None, None]
                if image is not None:
                    rgb = rgb + upfirdn2d(image, self.kernel, up=2, padding=(2, 1))
                image = rgb
        assert image is not None
        return image


def clip_pixels(image: Tensor, config: CLIPConfig) -> Tensor:
    """Image [N, 3, R, R] in [0, 1] -> CLIP's input [N, 3, 224, 224], normalised.

    Seven times larger (nearest neighbour), then averaged over squares of R / 32 pixels: 7168
    pixels a side on the way for an image of 1024.
    """
    shared = math.gcd(image.shape[-1], config.image_resolution)
    large = F.interpolate(image, scale_factor=config.image_resolution // shared, mode="nearest")
    pixels = F.avg_pool2d(large, image.shape[-1] // shared)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (config.mean, config.std))
    return (pixels - mean) / std


def identity_embedding(image: Tensor, identity: ArcFace) -> Tensor:
    """Image [N, 3, R, R] in [0, 1] -> unit [N, 512]: to 256 px, the crop, to the input size."""
    config = identity.config
    size = min(256, image.shape[-1])
    if image.shape[-1] != size:
        image = F.adaptive_avg_pool2d(image, size)
    top, left, bottom, right = (round(side * size) for side in config.crop)
    face = F.adaptive_avg_pool2d(image[:, :, top:bottom, left:right], config.input_size)
    return F.normalize(identity((face - 0.5) / 0.5), dim=1)


class TextbookStep:
    """One step of StyleCLIP's latent optimisation as its repository computes it.

    CLIP's text tower and the original's identity features are computed anew in every step, as
    there; the networks are frozen, which there they are not.
    """

    def __init__(
        self,
        generator: TextbookStyleGAN2,
        clip: CLIP,
        identity: ArcFace,
        tokens: Tensor,
        start: Tensor,
        l2: float = 0.001,
        id: float = 0.008,
        learning_rate: float = 0.1,
    ) -> None:
        """tokens: [1, T], the prompt; start: w+ [N, L, D]."""
        self.generator, self.clip, self.identity = generator, clip, identity
        self.tokens, self.start = tokens, start
        self.l2, self.id = l2, id
        self.latent = start.clone().requires_grad_()
        self.optimiser = torch.optim.Adam([self.latent], lr=learning_rate)
        with torch.no_grad():
            self.original = self.generator.synthesis(start) * 0.5 + 0.5

    def loss(self) -> Tensor:
        """The total over the batch, a scalar."""
        image = self.generator.synthesis(self.latent) * 0.5 + 0.5
        seen = F.normalize(self.clip.vision(clip_pixels(image, self.clip.config)), dim=1)
        told = self.clip.encode_text(self.tokens)
        same = identity_embedding(image, self.identity)
        same = (same * identity_embedding(self.original, self.identity).detach()).sum(1)
        l2 = (self.latent - self.start).square().sum()
        return (1 - seen @ told.T).sum() + self.id * (1 - same).sum() + self.l2 * l2

    def step(self) -> None:
        """Forward, backward, Adam."""
        loss = self.loss()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
