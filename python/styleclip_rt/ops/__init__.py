"""Differentiable operators, each compiled where it can be and with a plain PyTorch twin."""

from styleclip_rt.ops._library import standard_ops
from styleclip_rt.ops.modulated_conv2d import modulated_conv2d
from styleclip_rt.ops.reference import bias_act, demodulation, resample_kernel, upfirdn2d
from styleclip_rt.ops.separable_conv2d import separable_conv2d

__all__ = [
    "bias_act",
    "demodulation",
    "modulated_conv2d",
    "resample_kernel",
    "separable_conv2d",
    "standard_ops",
    "upfirdn2d",
]
