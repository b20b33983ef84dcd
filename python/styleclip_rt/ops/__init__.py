"""Differentiable operators, each compiled where it can be and with a plain PyTorch twin.

The twin of an op stands in its module, under its name and ``_reference``.
"""

from styleclip_rt.ops._library import standard_ops
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.ops.attention import attention
from styleclip_rt.ops.bias_act import bias_act
from styleclip_rt.ops.conv2d import conv2d
from styleclip_rt.ops.idwt2d import haar_dwt2d, haar_idwt2d
from styleclip_rt.ops.linear import linear
from styleclip_rt.ops.modulated_conv2d import demodulation, modulated_conv2d
from styleclip_rt.ops.prelu import prelu
from styleclip_rt.ops.separable_conv2d import separable_conv2d
from styleclip_rt.ops.squeeze_excite import squeeze_excite
from styleclip_rt.ops.upfirdn2d import resample_kernel, upfirdn2d

__all__ = [
    "area_resample",
    "attention",
    "bias_act",
    "conv2d",
    "demodulation",
    "haar_dwt2d",
    "haar_idwt2d",
    "linear",
    "modulated_conv2d",
    "prelu",
    "resample_kernel",
    "separable_conv2d",
    "squeeze_excite",
    "standard_ops",
    "upfirdn2d",
]
