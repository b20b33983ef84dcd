"""The face inside an FFHQ-aligned image, which is what identity networks look at."""

from torch import Tensor

from styleclip_rt.ops.area_resample import area_resample

FaceCrop = tuple[float, float, float, float]
"""Top, left, bottom and right as fractions of the image's height and width."""

FFHQ_FACE: FaceCrop = (35 / 256, 32 / 256, 223 / 256, 220 / 256)
"""StyleCLIP's crop of 188 of 256 px."""


def check_crop(crop: FaceCrop) -> None:
    """Raise ValueError for a crop that is empty in images of 64 px, or leaves the image."""
    top, left, bottom, right = crop
    if not (top >= 0 and left >= 0 and bottom <= 1 and right <= 1):
        raise ValueError(f"the crop {crop} leaves the image")
    if not (bottom - top > 1 / 32 and right - left > 1 / 32):
        raise ValueError(f"the crop {crop} is empty")


def crop_face(image: Tensor, crop: FaceCrop, size: int, mean: float, std: float) -> Tensor:
    """Image [N, 3, H, W], any size -> the face [N, 3, size, size] as (x - mean) / std.

    The crop is rounded to whole pixels of the image, then averaged by area.
    """
    height, width = (int(length) for length in image.shape[2:])
    top, left, bottom, right = crop
    top, bottom = round(top * height), round(bottom * height)
    left, right = round(left * width), round(right * width)
    window = (top, left, bottom - top, right - left)
    return area_resample(image, size, crop=window, mean=[mean] * 3, std=[std] * 3)
