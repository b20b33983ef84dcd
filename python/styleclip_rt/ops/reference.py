"""The operators in plain PyTorch: what the compiled ones are measured against and fall back to.

All tensors are [N, C, H, W] unless said otherwise; every function works in any floating dtype,
keeps the memory format, and is differentiable in every tensor argument.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def resample_kernel(dtype: torch.dtype = torch.float32) -> Tensor:
    """StyleGAN2's FIR low-pass filter: the outer product of [1, 3, 3, 1] / 8 with itself.

    Returns [4, 4], with sum 1; every entry is exact in float16 and wider.
    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", app. B.
    """
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype) / 8
    return taps[:, None] * taps[None, :]


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Upsample, pad, filter and downsample, each channel for itself.

    1. Insert ``up - 1`` zeros after every sample, along both axes (also after the last).
    2. Pad with zeros by ``padding`` = (left, right, top, bottom), counted in samples of the
       upsampled image; a negative number crops.
    3. *Convolve* with ``gain * kernel`` [kh, kw], valid positions only. This is a true
       convolution: the kernel is flipped against PyTorch's conv2d, which correlates.
       Upsampling with unit brightness takes ``gain = up ** 2`` for a kernel of sum 1.
    4. Keep every ``down``-th sample, the first included.

    Returns [N, C, H', W'] with H' = (H * up + top + bottom - kh) // down + 1, W' alike.

    Raises ValueError if the padded image is smaller than the kernel.
    Source: the operator that StyleGAN2's official code calls upfirdn_2d; Karras et al. 2020.
    """
    n, channels, height, width = x.shape
    left, right, top, bottom = padding
    if height * up + top + bottom < kernel.shape[0] or width * up + left + right < kernel.shape[1]:
        raise ValueError("upfirdn2d: the padded image is smaller than the kernel")
    if up > 1:
        spread = x.new_zeros(n, channels, height * up, width * up)
        spread[:, :, ::up, ::up] = x
        x = spread
    if left == right >= 0 and top == bottom >= 0:
        # The convolution pads for free; F.pad would copy the image.
        border = (top, left)
    else:
        x, border = F.pad(x, (left, right, top, bottom)), (0, 0)
    taps = (kernel.to(x.dtype) * gain).flip(0, 1)
    weight = taps.expand(channels, 1, *taps.shape)
    return F.conv2d(x, weight, stride=down, padding=border, groups=channels)


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    slope: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """``clamp(gain * leaky_relu(x + bias))``.

    x: [N, C, ...]; bias: [C], along dimension 1. ``slope`` is the leaky ReLU's for negative
    values; ``slope=1`` leaves only the bias. ``gain`` sqrt(2) keeps a unit variance about
    constant. ``clamp`` limits the result to [-clamp, clamp] and comes last, after the gain.
    Source: Karras et al. 2020 (He initialisation's gain moved to run time).
    """
    if bias is not None:
        x = x + bias.view(-1, *[1] * (x.ndim - 2))
    if slope != 1:
        x = F.leaky_relu(x, slope)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def demodulation(style: Tensor, energy: Tensor, eps: float = 1e-8) -> Tensor:
    """What each output channel is divided by so that its expected variance is one.

    style: [N, I]; energy: [O, I], the convolution weight's squares summed over its taps.
    Returns d [N, O] with d[n, o] = 1 / sqrt(sum_i style[n, i]^2 * energy[o, i] + eps).
    Source: Karras et al. 2020, eq. 2 and 3, with the sum over taps taken once.
    """
    # So small a product costs less than autocast's copies of its operands.
    with torch.autocast(style.device.type, enabled=False):
        return torch.rsqrt(style.square() @ energy.t() + eps)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    factor: Tensor | None = None,
    up_kernel: Tensor | None = None,
) -> Tensor:
    """``factor * conv(x * style, weight)``: a convolution whose input channels are scaled.

    Equal to a convolution with the weight w'[n,o,i,k] = factor[n,o] * style[n,i] * w[o,i,k] of
    each sample (Karras et al. 2020, eq. 1 and 3), but the weight is shared, so that no weight
    per sample is built and the style's gradient is a sum over space.

    x: [N, I, H, W]; weight: [O, I, k, k] with odd k, correlated as by conv2d ("same" padding);
    style: [N, I]; factor: [N, O], see ``demodulation``; None leaves the outputs as they are.

    With ``up_kernel`` [4, 4] (see ``resample_kernel``) the image is also upsampled by two: the
    convolution becomes a transposed one of stride 2, which scatters the unflipped weight and
    makes 2H + k - 2 rows, and the FIR filter, with gain 4, brings them to 2H.

    Returns [N, O, H, W], or [N, O, 2H, 2W] with ``up_kernel``.
    """
    x = x * style[:, :, None, None]
    size = weight.shape[-1]
    if up_kernel is None:
        x = F.conv2d(x, weight, padding=size // 2)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        margin = up_kernel.shape[-1] + 1 - size
        before, after = (margin + 1) // 2, margin // 2
        x = upfirdn2d(x, up_kernel, padding=(before, after, before, after), gain=4.0)
    return x if factor is None else x * factor[:, :, None, None]
