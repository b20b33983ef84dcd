"""Continuous measures of how a face looks, from which captions are made."""

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.labels.regions import CHIN, LEFT_SIDE, RIGHT_SIDE, TOP, blur, to_oklab
from recipes.labels.teachers import EMOTIONS

# From below each eye to the cheek, where the lower rim of glasses crosses.
_UNDER_EYE_FROM = (110, 24, 23, 22, 339, 254, 253, 252)
_UNDER_EYE_TO = (117, 118, 119, 120, 346, 347, 348, 349)


def measure(
    images: Tensor,
    landmarks: Tensor,
    regions: dict[str, Tensor],
    age: Tensor,
    male: Tensor,
    emotion: Tensor,
) -> dict[str, Tensor]:
    """Measures each face.

    Args:
        images: [N,3,S,S], RGB in [0,1].
        landmarks: [N,468,2] in unit image coordinates.
        regions: what `find_regions` returned for them.
        age: [N], years.
        male: [N], probability of a man.
        emotion: [N,7], probabilities in the order of `teachers.EMOTIONS`.

    Returns:
        Name -> [N]. Colours are OKLab (lightness in [0,1], hue in degrees, chroma about 0 to 0.3),
        areas are in units of the face's area, lengths in units of the face's height or width, and
        the rest is as named; only the order of faces along a measure has meaning.
    """
    lab = to_oklab(images)
    light = lab[:, :1]
    cheeks, cheek_weight = _mean(lab, regions["cheeks"])
    measures: dict[str, Tensor] = {"age": age, "male": male}

    hair, hair_pixels = _mean(lab, (regions["hair"] - 0.5).clamp(min=0))
    face_area = regions["face"].mean((1, 2))
    hair_area = regions["hair"].mean((1, 2))
    size = images.shape[-1]
    rows = (torch.arange(size) + 0.5) / size
    low = torch.sigmoid((rows[None] - landmarks[:, CHIN, 1:]) * 40)
    measures["hair_lightness"] = hair[:, 0]
    measures["hair_chroma"] = hair[:, 1:].norm(dim=1)
    measures["hair_hue"] = torch.rad2deg(torch.atan2(hair[:, 2], hair[:, 1]))
    measures["hair_area"] = hair_area / face_area
    measures["hair_below_chin"] = (regions["hair"] * low[:, :, None]).mean((1, 2)) / face_area
    measures["curl"] = _orientation_disorder(light, regions["hair"])

    lips, _ = _mean(lab, regions["lips"])
    measures["lip_redness"] = lips[:, 1] - cheeks[:, 1]
    measures["lip_chroma"] = lips[:, 1:].norm(dim=1) - cheeks[:, 1:].norm(dim=1)
    measures["lip_lightness"] = lips[:, 0] - cheeks[:, 0]
    measures["lip_hue"] = torch.rad2deg(torch.atan2(lips[:, 2], lips[:, 1]))

    skin, _ = _mean(lab, regions["skin"])
    measures["skin_lightness"] = skin[:, 0]
    measures["skin_chroma"] = skin[:, 1:].norm(dim=1)
    measures["skin_ita"] = _individual_typology_angle(images, regions["skin"])

    detail = (light - blur(light, size / 128)).abs()
    cheek_detail, _ = _mean(detail, regions["cheeks"])
    for name, region in (("moustache", "upper_lip"), ("beard", "beard")):
        colour, _ = _mean(lab, regions[region])
        texture, _ = _mean(detail, regions[region])
        measures[f"{name}_darkness"] = cheeks[:, 0] - colour[:, 0]
        measures[f"{name}_texture"] = (texture - cheek_detail)[:, 0]
    brows, _ = _mean(lab, regions["brows"])
    measures["brow_darkness"] = cheeks[:, 0] - brows[:, 0]

    lids, _ = _mean(lab, regions["eyelids"])
    lashes, _ = _mean(lab, regions["lashes"])
    measures["eyelid_darkness"] = cheeks[:, 0] - lids[:, 0]
    measures["eyelid_colour"] = (lids[:, 1:] - cheeks[:, 1:]).norm(dim=1)
    measures["lash_darkness"] = lids[:, 0] - lashes[:, 0]
    measures["blush"] = cheeks[:, 1] - skin[:, 1]

    spots = (blur(light, size / 96) - blur(light, size / 400)).clamp(min=0)
    freckles, _ = _mean(spots, regions["cheeks"])
    measures["freckles"] = freckles[:, 0] / cheeks[:, 0].clamp(min=0.05)

    measures |= _mouth(landmarks)
    happy = emotion[:, EMOTIONS.index("happy")]
    measures["happy"] = happy
    measures["smile"] = happy + 4 * measures["mouth_corner_lift"] + 2 * measures["mouth_width"]
    measures["glasses"] = _glasses(light, landmarks)
    nose = landmarks[:, 4, 0]
    middle = (landmarks[:, LEFT_SIDE, 0] + landmarks[:, RIGHT_SIDE, 0]) / 2
    measures["yaw"] = (nose - middle) / (landmarks[:, RIGHT_SIDE] - landmarks[:, LEFT_SIDE]).norm(
        dim=1
    )
    measures["hair_seen"] = hair_pixels
    measures["cheeks_seen"] = cheek_weight
    return measures


def _mean(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of [N,C,S,S] over a mask [N,S,S], and the share of the image that the mask covers."""
    total = mask.sum((1, 2))
    mean = torch.einsum("nchw,nhw->nc", values, mask) / total.clamp(min=1e-3)[:, None]
    return mean, total / mask[0].numel()


def _individual_typology_angle(images: Tensor, mask: Tensor) -> Tensor:
    """Skin colour in degrees, above 55 very light, below -30 dark.

    Chardon, Cretois, Hourseau, "Skin colour typology and suntanning pathways", 1991, on CIELAB.
    """
    rgb = images.clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    mean, _ = _mean(linear, mask)
    y = mean @ torch.tensor([0.2126729, 0.7151522, 0.0721750])
    z = mean @ torch.tensor([0.0193339, 0.1191920, 0.9503041]) / 1.08883
    fy, fz = (
        torch.where(t > 216 / 24389, t.clamp(min=1e-6) ** (1 / 3), (24389 / 27 * t + 16) / 116)
        for t in (y, z)
    )
    return torch.rad2deg(torch.atan2(116 * fy - 16 - 50, 200 * (fy - fz)))


def _orientation_disorder(light: Tensor, mask: Tensor) -> Tensor:
    """0 where hair runs in one direction over a lock's width, 1 where it runs in all.

    Cropped hair is disordered too: compare only faces with much hair.
    """
    size = light.shape[-1]
    light = blur(light, size / 256)
    dx = F.pad(light[..., :, 2:] - light[..., :, :-2], (1, 1, 0, 0))
    dy = F.pad(light[..., 2:, :] - light[..., :-2, :], (0, 0, 1, 1))
    inside = (mask[:, None] > 0.7).to(light)
    tensor = torch.cat([dx * dx - dy * dy, 2 * dx * dy, dx * dx + dy * dy], 1) * inside
    local = blur(tensor, size / 128)
    # Every place counts alike, whatever its contrast.
    direction = local[:, :2] / (local[:, 2:] + 1e-4)
    wide = blur(torch.cat([direction * inside, inside], 1), size / 26)
    order = wide[:, :2].square().sum(1).sqrt() / wide[:, 2].clamp(min=1e-3)
    return 1 - _mean(order[:, None], inside[:, 0])[0][:, 0]


def _mouth(landmarks: Tensor) -> dict[str, Tensor]:
    across = landmarks[:, RIGHT_SIDE] - landmarks[:, LEFT_SIDE]
    width = across.norm(dim=1)
    up = landmarks[:, TOP] - landmarks[:, CHIN]
    height = up.norm(dim=1)
    up = up / height[:, None]
    corners = landmarks[:, [61, 291]].mean(1)
    centre = landmarks[:, [0, 17]].mean(1)
    return {
        "mouth_corner_lift": ((corners - centre) * up).sum(1) / height,
        "mouth_width": (landmarks[:, 291] - landmarks[:, 61]).norm(dim=1) / width,
        "mouth_open": (landmarks[:, 13] - landmarks[:, 14]).norm(dim=1) / height,
        "eyes_open": (landmarks[:, [159, 386]] - landmarks[:, [145, 374]]).norm(dim=2).mean(1)
        / height,
    }


def _glasses(light: Tensor, landmarks: Tensor) -> Tensor:
    """How strong an edge crosses between each eye and its cheek, and the bridge of the nose."""
    start = landmarks[:, [*_UNDER_EYE_FROM, 8]]
    end = landmarks[:, [*_UNDER_EYE_TO, 197]]
    t = torch.linspace(0, 1, 32).view(1, 1, -1, 1)
    lines = start[:, :, None] * (1 - t) + end[:, :, None] * t
    profile = F.grid_sample(light, lines * 2 - 1, align_corners=False)[:, 0]
    edge = (profile[..., 2:] - profile[..., :-2]).abs().amax(-1)
    return edge[:, :-1].median(1).values + 0.5 * edge[:, -1]
