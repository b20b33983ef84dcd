"""Did an edit do what its prompt says, to the same person, and to nothing else?"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styleclip_rt.probes import colour
from styleclip_rt.probes.face import Face, likeness
from styleclip_rt.probes.filters import Mask, blur, grow
from styleclip_rt.probes.measures import ALIASES, MEASURES
from styleclip_rt.probes.regions import Regions

Picture = Image.Image | NDArray[np.uint8] | Face | Regions


@dataclass(frozen=True)
class Collateral:
    """What changed that should not have.

    colour: mean L*a*b* difference (dE 1976) outside the regions that the prompt is about.
    background: the same over the background alone.
    structure: 1 - correlation of the luminance gradient's magnitude outside those regions;
    0 is untouched, 1 another picture.
    """

    colour: float
    background: float
    structure: float


@dataclass(frozen=True)
class Judgement:
    """One edit, judged.

    measure: what was measured, "" for a prompt that no measure knows. before, after: the
    measure of the two pictures, NaN where its region is missing. success: None for an
    unknown prompt; False where no face is left. already: the original had it to begin with.
    identity_cosine, identity_distance, same_person: dlib's embedding; strangers among
    generated faces have cosine 0.88 and distance 0.76 (medians), one person is below 0.6.
    """

    prompt: str
    measure: str
    before: float
    after: float
    success: bool | None
    already: bool
    identity_cosine: float
    identity_distance: float
    same_person: bool
    face_found: bool
    collateral: Collateral


def canonical(prompt: str) -> str | None:
    """The name in MEASURES that a prompt stands for, or None.

    Case, punctuation, articles and lead-ins ("a photo of a face with ...") do not matter.
    """
    words = re.sub(r"[^a-z\- ]", " ", prompt.lower()).split()
    lead_ins = {"a", "an", "the", "photo", "picture", "portrait", "image", "of", "face",
                "person", "someone", "with", "who", "is", "has", "wearing"}  # fmt: skip
    name = " ".join(w for w in words if w not in lead_ins)
    name = ALIASES.get(name, name)
    return name if name in MEASURES else None


def has_look(prompt: str, regions: Regions) -> bool:
    """Whether a face has what a prompt asks for; False for a prompt that no measure knows."""
    name = canonical(prompt)
    if name is None:
        return False
    measure = MEASURES[name]
    return bool(measure.score(regions) >= measure.level)


def judge(prompt: str, original: Picture, edited: Picture) -> Judgement:
    """Judge one edit. Pictures are square aligned faces of any size from 128 px, or what was read.

    Pass the original as Regions to read it once for many edits. Raises StyleClipError where
    dlib is not installed or a picture is not square.
    """
    before, after = _regions(original), _regions(edited)
    shared = before.hair & after.hair
    if shared.mean() > 0.02:
        # Where both pictures have hair: what differs then is colour, not the outline.
        before, after = before.with_hair(shared), after.with_hair(shared)
    name = canonical(prompt)
    measure = MEASURES[name] if name else None
    found = after.face.detected
    score_before = score_after = float("nan")
    success = None
    if measure:
        score_before, score_after, success = measure.succeeds(before, after)
        success = success and found
    alike = likeness(before.face, after.face)
    return Judgement(
        prompt=prompt,
        measure=measure.what if measure else "",
        before=score_before,
        after=score_after,
        success=success,
        already=bool(measure and score_before >= measure.level),
        identity_cosine=alike.cosine,
        identity_distance=alike.distance,
        same_person=alike.same_person,
        face_found=found,
        collateral=collateral(before, after, measure.changes if measure else ()),
    )


def _regions(picture: Picture) -> Regions:
    if isinstance(picture, Regions):
        return picture
    return Regions(picture if isinstance(picture, Face) else Face.read(picture))


def collateral(before: Regions, after: Regions, changes: tuple[str, ...]) -> Collateral:
    """What changed outside the named regions of either face."""
    elsewhere: Mask = np.ones(before.face.pixels.shape[:2], dtype=bool)
    for regions in (before, after):
        for name in changes:
            elsewhere &= ~grow(getattr(regions, name), 8)
    one, other = (_smooth(r.face.lab) for r in (before, after))
    difference = np.linalg.norm(one - other, axis=-1)
    background = before.background & after.background & elsewhere
    gradients = [np.hypot(*np.gradient(image[..., 0]))[elsewhere] for image in (one, other)]
    spread = float(np.std(gradients[0]) * np.std(gradients[1]))
    correlation = float(np.corrcoef(*gradients)[0, 1]) if spread > 0 else 0.0
    return Collateral(
        colour=float(difference[elsewhere].mean()) if elsewhere.any() else float("nan"),
        background=float(difference[background].mean()) if background.any() else float("nan"),
        structure=1 - correlation,
    )


def _smooth(lab: colour.Array) -> colour.Array:
    return np.stack([blur(lab[..., channel], 1.5) for channel in range(3)], axis=-1)
