"""StyleGAN2's layer as one operator: modulated convolution to activation, and its RGB share.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", eq. 1 and 3,
with the modulation moved from the weight to the activations.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.ops import _library
from styleclip_rt.ops.bias_act import bias_act_reference
from styleclip_rt.ops.upfirdn2d import upfirdn2d_reference

_KERNELS = _library.devices("modulated_conv2d")


def demodulation(style: Tensor, energy: Tensor, eps: float = 1e-8) -> Tensor:
    """What each output channel is divided by so that its expected variance is one.

    style: [N, I]; energy: [O, I], the convolution weight's squares summed over its taps.
    Returns d [N, O] with d[n, o] = 1 / sqrt(sum_i style[n, i]^2 * energy[o, i] + eps).
    Source: Karras et al. 2020, eq. 2 and 3, with the sum over taps taken once.
    """
    # So small a product costs less than autocast's copies of its operands.
    with torch.autocast(style.device.type, enabled=False):
        return torch.rsqrt(style.square() @ energy.t() + eps)


def compiled(x: Tensor) -> bool:
    """Whether `modulated_conv2d` runs its kernels on activations like ``x``."""
    return _library.serves(_KERNELS, x)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    factor: Tensor | None = None,
    noise: Tensor | None = None,
    noise_strength: Tensor | None = None,
    bias: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_style: Tensor | None = None,
    up_kernel: Tensor | None = None,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> tuple[Tensor, Tensor | None]:
    """``clamp(gain * leaky_relu(factor * conv(x * style, weight) + noise + bias))`` and its image.

    Args:
        x: ``[N, I, H, W]``; fastest in channels-last layout.
        weight: ``[O, I, k, k]``, k 1 or 3, correlated as by conv2d with "same" padding.
        style: ``[N, I]``, scale of each input channel.
        factor: ``[N, O]``, scale of each output channel, see `demodulation`.
        noise, noise_strength: ``[N or 1, 1, H', W']`` times ``[]``, added to every channel.
        bias: ``[O]``.
        rgb_weight, rgb_style: ``[3, O]`` and ``[N, O]``: also draw
            ``rgb_weight @ (rgb_style * result)``.
        up_kernel: `resample_kernel`, to upsample by two: a transposed convolution of stride 2 and
            the FIR filter with gain 4, see `modulated_conv2d_reference`; needs k = 3.
        slope: of the leaky ReLU for negative values; 1 leaves it out.
        gain, clamp: scale and limit of the result.

    Returns:
        The result ``[N, O, H', W']`` in the dtype of ``x`` and the image ``[N, 3, H', W']`` in
        float32 (None without ``rgb_weight``); H' is H, or 2 H with ``up_kernel``. Differentiable
        twice in every tensor; the compiled kernels serve all but gradients of weights, biases and
        noise maps, which come from torch's own operators.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that do not fit (compiled op).
    """
    if compiled(x):
        result: Tensor
        image: Tensor
        result, image = torch.ops.styleclip_rt.modulated_conv2d(
            x, weight, style, factor, noise, noise_strength, bias, rgb_weight, rgb_style,
            up_kernel is not None, slope, gain, clamp,
        )  # fmt: skip
        return result, None if rgb_weight is None else image
    return modulated_conv2d_reference(
        x, weight, style, factor, noise, noise_strength, bias, rgb_weight, rgb_style,
        up_kernel, slope, gain, clamp,
    )  # fmt: skip


def modulated_conv2d_reference(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    factor: Tensor | None = None,
    noise: Tensor | None = None,
    noise_strength: Tensor | None = None,
    bias: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_style: Tensor | None = None,
    up_kernel: Tensor | None = None,
    slope: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Do what `modulated_conv2d` does with torch's own operators, in any dtype on any device.

    The convolution is equal to one with the weight
    ``w'[n, o, i, k] = factor[n, o] * style[n, i] * w[o, i, k]`` of each sample (Karras et al. 2020,
    eq. 1 and 3), but the weight is shared, so that no weight per sample is built and the style's
    gradient is a sum over space. To upsample, it becomes a transposed one of stride 2, which
    scatters the unflipped weight and makes 2 H + k - 2 rows, and the FIR filter, with gain 4,
    brings them to 2 H.
    """
    x = x * style[:, :, None, None]
    size = weight.shape[-1]
    if up_kernel is None:
        x = F.conv2d(x, weight, padding=size // 2)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        margin = up_kernel.shape[-1] + 1 - size
        before, after = (margin + 1) // 2, margin // 2
        x = upfirdn2d_reference(x, up_kernel, padding=(before, after, before, after), gain=4.0)
    if factor is not None:
        x = x * factor[:, :, None, None]
    if noise is not None and noise_strength is not None:
        x = x + noise * noise_strength
    x = bias_act_reference(x, bias, slope, gain, clamp)
    if rgb_weight is None or rgb_style is None:
        return x, None
    image = F.conv2d(x * rgb_style[:, :, None, None], rgb_weight[:, :, None, None])
    # Half precision would add up the rounding of every resolution.
    return x, image.to(torch.promote_types(image.dtype, torch.float32))
