"""What a face looks like, in numbers that have gradients: shape, colours, light, likenesses."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.labels.captions import PHRASES
from recipes.labels.regions import CHIN, TOP, find_regions, to_oklab
from recipes.labels.teachers import EMOTIONS, Teachers, crop, face_boxes
from styleclip_rt.bundle import Bundle
from styleclip_rt.photos.mesh import fit_mesh
from styleclip_rt.photos.networks import FaceMesh, face_mesh, person_segmenter

SIZE = 256
"""Pixels a side at which faces are measured."""

# An aligned face: centre and side of the square that the mesh is first looked for in.
_GUESS = (0.5, 0.57), 0.55
_GREY = torch.tensor([0.2989, 0.587, 0.114])


@dataclass(frozen=True)
class Frame:
    """Where things are in one picture; held while gradients are taken.

    crop: centre and side, in units of the picture, of what the mesh's network is shown.
    points: [478, 3], the mesh in units of the picture.
    masks: region -> [SIZE, SIZE] in [0, 1].
    person: [SIZE, SIZE], probability of a person.
    """

    crop: tuple[float, float, float]
    points: Tensor
    masks: dict[str, Tensor]
    person: Tensor


class Measurer:
    """Measures pictures [1, 3, S, S] of aligned faces in [0, 1].

    Args:
        bundle: whose CLIP and identity network read them.
        teachers: label models: age, sex, expression.
    """

    def __init__(self, bundle: Bundle, teachers: Teachers) -> None:
        assert bundle.identity is not None
        self.clip, self.identity, self.teachers = bundle.clip, bundle.identity, teachers
        self.mesh = face_mesh()
        phrases = [phrases[0] for phrases in PHRASES.values()]
        with torch.no_grad():
            self.texts = self.clip.encode_text(self.clip.tokenize(phrases))

    @torch.no_grad()
    def frame(self, image: Tensor) -> Frame:
        """Find the face and its regions."""
        small = _reduced(image)
        pixels = (small[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).to(torch.uint8).numpy()
        (x, y), side = _GUESS
        points, _ = fit_mesh(pixels, (x * SIZE, y * SIZE), side * SIZE, 0.0)
        units = torch.from_numpy(points / np.float32(SIZE))
        low, high = units[:468, :2].amin(0), units[:468, :2].amax(0)
        middle = (low + high) / 2
        square = (float(middle[0]), float(middle[1]), 1.5 * float((high - low).max()))
        person = torch.sigmoid(person_segmenter()(small))
        landmarks = units[None, :468, :2].contiguous()
        masks = {name: mask[0] for name, mask in find_regions(small, landmarks, person).items()}
        masks |= _small_regions(units)
        return Frame(square, units, masks, person[0])

    def points(self, image: Tensor, frame: Frame) -> Tensor:
        """The mesh [478, 3] in units of the picture, with gradients."""
        x, y, side = frame.crop
        box = torch.tensor([[x, y, side]])
        pixels = crop(image, box, FaceMesh.SIZE).clamp(0, 1)
        found, _ = self.mesh(pixels)
        points: Tensor = found[0] / FaceMesh.SIZE * side
        return points + torch.tensor([x - side / 2, y - side / 2, 0.0])

    def shape(self, image: Tensor, frame: Frame) -> dict[str, Tensor]:
        """Lengths in spans of the eyes, angles in radians; the head's turn taken out."""
        return shape_of(self.points(image, frame))

    def colours(self, image: Tensor, frame: Frame) -> dict[str, Tensor]:
        """Oklab means of regions, and what follows from them."""
        return colours_of(to_oklab(_reduced(image)), frame)

    def likeness(self, image: Tensor, frame: Frame) -> dict[str, Tensor]:
        """Age, sex and expressions by the label models."""
        landmarks = frame.points[None, :468, :2]
        boxes = face_boxes(landmarks)
        models = self.teachers._models
        pixels = crop(image, boxes, 224) * 255
        outputs = ["age_pred/Softmax", "gender_pred/Sigmoid", "global_pooling/Mean"]
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        ages, male, descriptor = models["faceres"](pixels, outputs)
        grey = torch.einsum("nchw,c->nhw", crop(image, boxes, 64), _GREY)[:, None]
        (scores,) = models["emotion"](grey * 2 - 1, ["Identity"])
        logits = scores[0].clamp(1e-4, 1 - 1e-4).logit()
        return {
            "age": (ages[0] * torch.arange(100, dtype=ages.dtype)).sum(),
            "male": male[0, 0].clamp(1e-4, 1 - 1e-4).logit(),
            **{f"emotion_{name}": value for name, value in zip(EMOTIONS, logits, strict=True)},
            "descriptor": F.normalize(descriptor[0], dim=0),
        }

    def seen(self, image: Tensor) -> dict[str, Tensor]:
        """What FaceCLIP says of its looks, its embedding and FaceID's."""
        embedding = self.clip.encode_image(image)[0]
        scores = self.texts @ embedding
        return {
            **{f"clip_{name}": score for name, score in zip(PHRASES, scores, strict=True)},
            "embedding": embedding,
            "identity": self.identity.encode(image)[0],
        }


def _reduced(image: Tensor) -> Tensor:
    factor = image.shape[-1] // SIZE
    return F.avg_pool2d(image, factor) if factor > 1 else image


def _small_regions(points: Tensor) -> dict[str, Tensor]:
    """Irises without pupils, under the eyes, halves of the face, forehead: what regions lack."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    iris = torch.zeros(SIZE, SIZE)
    for centre, rim, upper, lower in (
        (468, (469, 471), (160, 159, 158), (144, 145, 153)),
        (473, (474, 476), (385, 386, 387), (380, 374, 373)),
    ):
        radius = (points[rim[0], :2] - points[rim[1], :2]).norm() / 2
        away = ((x - points[centre, 0]) ** 2 + (y - points[centre, 1]) ** 2).sqrt() / radius
        ring = torch.sigmoid((0.9 - away) * 12) * torch.sigmoid((away - 0.45) * 12)
        top, bottom = points[list(upper), 1].mean(), points[list(lower), 1].mean()
        sharp = SIZE * 1.5
        ring = ring * torch.sigmoid((y - top) * sharp - 1.5) * torch.sigmoid((bottom - y) * sharp)
        iris = torch.maximum(iris, ring)
    under = torch.zeros(SIZE, SIZE)
    for a, b, c in ((145, 33, 133), (374, 263, 362)):
        centre = points[a, :2] + 0.22 * (points[b, :2] - points[c, :2]).norm() * torch.tensor(
            [0.0, 1.0]
        )
        wide = 0.4 * (points[b, :2] - points[c, :2]).norm()
        near = ((x - centre[0]) / wide) ** 2 + ((y - centre[1]) / (0.35 * wide)) ** 2
        under = torch.maximum(under, torch.sigmoid((1 - near) * 6))
    return {"iris": iris, "under_eyes": under}


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """[1, C, S, S] over [S, S] -> [C]."""
    return (values[0] * mask).sum((1, 2)) / mask.sum().clamp_min(1e-3)


def shape_of(points: Tensor) -> dict[str, Tensor]:
    """What `Measurer.shape` gives, of the mesh [478, 3]."""
    across = F.normalize(points[454] - points[234], dim=0)
    down = points[CHIN] - points[TOP]
    # Between brows and below the nose, which a mouth does not move.
    upright = points[164] - points[9]
    down = F.normalize(upright - (upright @ across) * across, dim=0)
    forward = torch.linalg.cross(across, down)
    p = points @ torch.stack([across, down, forward]).T
    unit = (p[33] - p[263]).norm()

    def apart(one: int, other: int) -> Tensor:
        length: Tensor = (p[one] - p[other]).norm() / unit
        return length

    def low(*which: int) -> Tensor:
        height: Tensor = p[list(which), 1].mean() / unit
        return height

    eye_low = low(33, 133, 362, 263)
    inner, outer, arch = low(55, 107, 285, 336), low(46, 70, 276, 300), low(52, 105, 282, 334)
    gaze_x, gaze_y = [], []
    for iris, left, right in ((468, 33, 133), (473, 362, 263)):
        middle, width = (p[left] + p[right]) / 2, (p[left] - p[right]).norm()
        gaze_x.append((p[iris, 0] - middle[0]) / width)
        gaze_y.append((p[iris, 1] - middle[1]) / width)
    return {
        "mouth_open": apart(13, 14),
        "mouth_width": apart(61, 291),
        "corner_lift": low(0, 17) - low(61, 291),
        "upper_lip": (apart(0, 13) + apart(37, 82) + apart(267, 312)) / 3,
        "lower_lip": (apart(17, 14) + apart(84, 87) + apart(314, 317)) / 3,
        "eyes_open": (apart(159, 145) + apart(386, 374)) / 2,
        "eye_width": (apart(33, 133) + apart(362, 263)) / 2,
        "eye_spacing": apart(133, 362),
        "eye_tilt": low(133, 362) - low(33, 263),
        "brow_height": eye_low - (inner + outer + arch) / 3,
        "brow_inner": outer - inner,
        "brow_arch": (inner + outer) / 2 - arch,
        "brow_gap": apart(55, 285),
        "nose_width": apart(129, 358),
        "nose_length": apart(168, 2),
        "nose_tip": low(2) - low(1),
        "nose_depth": (p[1, 2] - p[[50, 280], 2].mean()) / unit,
        "cheek_width": apart(234, 454),
        "jaw_width": apart(172, 397),
        "chin_width": apart(176, 400),
        "chin_length": apart(17, 152),
        "face_length": apart(10, 152),
        "lower_cheeks": (apart(58, 288) + apart(136, 365)) / 2,
        "gaze_x": (gaze_x[0] + gaze_x[1]) / 2,
        "gaze_y": (gaze_y[0] + gaze_y[1]) / 2,
        "yaw": torch.atan2(across[2], across[:2].norm()),
        "pitch": torch.atan2(down[2], down[:2].norm()),
        "roll": torch.atan2(across[1], across[0]),
    }


def colours_of(lab: Tensor, frame: Frame) -> dict[str, Tensor]:
    """What `Measurer.colours` gives, of the picture in Oklab [1, 3, SIZE, SIZE]."""
    masks, points = frame.masks, frame.points
    hair = (masks["hair"] - 0.5).clamp_min(0)
    skin, cheeks, lips = (_mean(lab, masks[name]) for name in ("skin", "cheeks", "lips"))
    found: dict[str, Tensor] = {}
    regions = {"hair": hair, "iris": masks["iris"], "lids": masks["eyelids"]}
    regions |= {"brows": masks["brows"], "lashes": masks["lashes"], "moustache": masks["upper_lip"]}
    regions |= {"beard": masks["beard"], "under_eyes": masks["under_eyes"]}
    regions |= {"scene": (1 - frame.person - 0.5).clamp_min(0)}
    means = {name: _mean(lab, mask) for name, mask in regions.items()}
    means |= {"skin": skin, "cheeks": cheeks, "lips": lips, "picture": lab[0].mean((1, 2))}
    for name, (light, red, yellow) in means.items():
        found |= {f"{name}_l": light, f"{name}_a": red, f"{name}_b": yellow}
    for name in ("lips", "lids", "brows", "lashes", "moustache", "beard", "under_eyes"):
        found[f"{name}_dark"] = cheeks[0] - means[name][0]
    found["lips_red"], found["blush"] = lips[1] - cheeks[1], cheeks[1] - skin[1]
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    right = torch.sigmoid((axis - points[4, 0]) * 40)[None]
    low = torch.sigmoid((axis - points[4, 1]) * 40)[:, None]
    face = masks["skin"] * masks["face"]
    found["light_x"] = _mean(lab, face * right)[0] - _mean(lab, face * (1 - right))[0]
    found["light_y"] = _mean(lab, face * (1 - low))[0] - _mean(lab, face * low)[0]
    smooth = (lab[0, 0] - found["skin_l"]) * 12
    found["shine"] = _mean(F.softplus(smooth - 1.2)[None, None], face)[0]
    found["contrast"] = lab[0, 0].std()
    found["skin_contrast"] = _mean(((lab[0, 0] - skin[0]) ** 2)[None, None], face)[0].sqrt()
    return found
