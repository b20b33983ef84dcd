"""Crop, exact area average and normalisation in one differentiable step.

Source: the pixel-area relation of classic image resizing. Enlarging by a whole factor and then
average pooling by a whole factor, as StyleCLIP's ``Upsample(7)`` and ``AvgPool(32)`` do before
CLIP, is the same map without the large image between.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from styleclip_rt.errors import StyleClipError
from styleclip_rt.ops import _library

_KERNELS = _library.devices("area_resample")

Crop = tuple[int, int, int, int]


def area_resample(
    image: Tensor,
    size: int | tuple[int, int],
    crop: Crop | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Tensor:
    """Average ``image`` over the rectangle that each output pixel covers, then normalise.

    Output pixel ``(y, x)`` covers rows ``[y, y + 1) * height / size[0]`` and columns
    ``[x, x + 1) * width / size[1]`` of the crop; pixels on the border count by the part that is
    covered. Any ratio goes, up or down. The result is ``(average - mean) / std``.

    Args:
        image: ``[N, C, H, W]``, any floating dtype and range.
        size: output height and width, or one number for both.
        crop: ``(top, left, height, width)`` inside the image; the whole image without it.
        mean: one number a channel to subtract; zeros without it.
        std: one number a channel to divide by; ones without it.

    Returns:
        ``[N, C, size[0], size[1]]`` in the dtype of ``image``; differentiable twice.

    Raises:
        StyleClipError: the shapes do not fit together.
    """
    out_size, window = _checked(image, size, crop, mean, std)
    if _library.serves(_KERNELS, image):
        op = torch.ops.styleclip_rt.area_resample
        resampled: Tensor = op(image, window, out_size, list(mean or ()), list(std or ()))
        return resampled
    return area_resample_reference(image, out_size, window, mean, std)


def area_resample_reference(
    image: Tensor,
    size: int | tuple[int, int],
    crop: Crop | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Tensor:
    """Do what `area_resample` does with two plain matrix products, in any dtype on any device.

    Half precision is averaged in float32 and rounded once at the end.
    """
    (height, width), (top, left, rows, columns) = _checked(image, size, crop, mean, std)
    wide = torch.float64 if image.dtype == torch.float64 else torch.float32
    cropped = image[:, :, top : top + rows, left : left + columns].to(wide)
    vertical = _area_matrix(rows, height, cropped)
    horizontal = _area_matrix(columns, width, cropped)
    averaged = vertical @ cropped @ horizontal.T
    if mean is not None:
        averaged = averaged - _each_channel(mean, averaged)
    if std is not None:
        averaged = averaged / _each_channel(std, averaged)
    return averaged.to(image.dtype)


def _each_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """``[C, 1, 1]``, made on the device: a CUDA graph may not copy from the host."""
    return torch.stack([like.new_full((1, 1), value) for value in values])


def _area_matrix(length: int, outputs: int, like: Tensor) -> Tensor:
    """Shares of ``length`` pixels in ``outputs`` averages: ``[outputs, length]``, rows sum to 1."""
    # In units of 1/outputs of a pixel all borders are integers, so the shares are exact.
    pixel = torch.arange(length, device=like.device) * outputs
    begin = torch.arange(outputs, device=like.device)[:, None] * length
    covered = torch.minimum(pixel + outputs, begin + length) - torch.maximum(pixel, begin)
    return (covered.clamp(min=0).double() / length).to(like.dtype)


def _checked(
    image: Tensor,
    size: int | tuple[int, int],
    crop: Crop | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[tuple[int, int], Crop]:
    if image.dim() != 4 or not image.is_floating_point():
        raise StyleClipError(
            "area_resample needs a floating-point image of shape [N, C, H, W], "
            f"got {image.dtype} of shape {list(image.shape)}."
        )
    # Plain numbers even while torch.jit traces, which makes tensors of a shape.
    height, width = (int(length) for length in image.shape[2:])
    out_size = (size, size) if isinstance(size, int) else (size[0], size[1])
    window = (0, 0, height, width) if crop is None else crop
    top, left, rows, columns = window
    if min(out_size) < 1:
        raise StyleClipError(f"area_resample needs a positive output size, got {out_size}.")
    inside = top >= 0 and left >= 0 and top + rows <= height and left + columns <= width
    if rows < 1 or columns < 1 or not inside:
        raise StyleClipError(
            "area_resample needs a crop (top, left, height, width) inside the image of "
            f"{height}x{width}, got {tuple(window)}."
        )
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != image.shape[1]:
            raise StyleClipError(
                f"area_resample needs one {name} for each of the {image.shape[1]} channels, "
                f"got {len(values)}."
            )
    return out_size, window
