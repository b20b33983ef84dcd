"""How an edit is made, as a bundle's manifest, an export and a user say it. Needs no torch."""

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from styleclip_rt.errors import StyleClipError, shown


@dataclass(frozen=True)
class EditSettings:
    """How an edit is made; a bundle's manifest carries the values tuned for it.

    Attributes:
        space: what moves: "z", "w", "w+" or "s" (StyleSpace).
        layers: which layer groups of w+ may move, comma-separated.
        steps: optimiser steps, at least 1.
        learning_rate: Adam's peak rate; ramps up over the first 5 % of the steps and down, as a
            cosine, over the last 25 % (StyleGAN2's projector schedule, as in StyleCLIP).
        clip: "absolute" (cosine of image and prompt) or "directional" (cosine of the change of the
            image embedding and the change of text from "a face" to the prompt).
        clip_target: the cosine to reach; the CLIP loss is what is missing to it, so that a look
            that comes easily is not overdone. 1 is StyleCLIP's 1 - cosine.
        l2: weight of |latent - start|^2.
        id: weight of 1 - cosine of the identity embeddings.
        preserve: weight of the change of pixels and structure where the prompt says nothing.
        across: weight of the embedding's change that is not along the text's direction.
        lead: start where the bundle's measured direction of the look says that the face has it (1),
            or at the face itself, as StyleCLIP does (0); l2 counts from the face in either case.
            Needs `whiten` and space w or w+.
        whiten: measure latent offsets in standard deviations of the generator's own latents.
        truncation_psi: of the face drawn from a seed.
        views: augmented views that the CLIP loss averages over.
        view_strength: how far the views vary, 0 to 1.
        draft: resolution in px that the loop draws at; 0 for the full one.
        mode: "edit", or "generate": no tie to the start (no l2, identity or preservation).
        patience: stop when the total has not improved for so many steps; 0 never.

    Raises:
        StyleClipError: a value of another type, NaN, infinite, or beyond what can make sense.
    """

    space: str = "w+"
    layers: str = "coarse,middle,fine"
    steps: int = 100
    learning_rate: float = 0.1
    clip: str = "absolute"
    clip_target: float = 1.0
    l2: float = 0.001
    id: float = 0.008
    preserve: float = 0.0
    across: float = 0.0
    lead: float = 0.0
    whiten: bool = False
    truncation_psi: float = 0.7
    views: int = 1
    view_strength: float = 0.1
    draft: int = 0
    mode: str = "edit"
    patience: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # NumPy's numbers become Python's, which JSON knows.
            object.__setattr__(self, name, _checked(name, value))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "EditSettings":
        """Settings by name, as JSON has them; the others are as they are here.

        Raises:
            StyleClipError: a name is unknown, or a value of another type or out of range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise StyleClipError(
                    f"unknown setting {shown(name)}: choose from {', '.join(known)}."
                )
        return cls(**values)


class _Range(NamedTuple):
    """What a number may be, and the words for one that is too small."""

    least: float
    most: float
    too_small: str


_NOT_NEGATIVE = "must not be negative"
_WEIGHT = _Range(0, 1e9, _NOT_NEGATIVE)
_RANGES = {
    "steps": _Range(1, 100_000, "must be a whole number of at least 1"),
    "learning_rate": _Range(math.nextafter(0, 1), 1e3, "must be positive"),
    "clip_target": _Range(-10, 10, "must be at least -10"),
    "l2": _WEIGHT,
    "id": _WEIGHT,
    "preserve": _WEIGHT,
    "across": _WEIGHT,
    "lead": _Range(0, 100, _NOT_NEGATIVE),
    "truncation_psi": _Range(-10, 10, "must be at least -10"),
    "views": _Range(1, 256, "must be at least 1"),
    "view_strength": _Range(0, 1, _NOT_NEGATIVE),
    "draft": _Range(0, 16384, _NOT_NEGATIVE),
    "patience": _Range(0, 100_000, _NOT_NEGATIVE),
}
_CHOICES = {
    "space": ("z", "w", "w+", "s"),
    "clip": ("absolute", "directional"),
    "mode": ("edit", "generate"),
}


def _checked(name: str, value: object) -> str | int | float | bool:
    kind = EditSettings.__dataclass_fields__[name].type
    if kind is str:
        if not isinstance(value, str):
            raise StyleClipError(f"{name} must be text, not {shown(value)}.")
        if value not in _CHOICES.get(name, (value,)):
            known = " or ".join(_CHOICES[name])
            raise StyleClipError(f"unknown {name} {shown(value)}: choose {known}.")
        return value
    if kind is bool:
        if not isinstance(value, bool | np.bool_):
            raise StyleClipError(f"{name} must be true or false, not {shown(value)}.")
        return bool(value)
    number = _number(name, value, whole=kind is int)
    least, most, too_small = _RANGES[name]
    if number < least:
        raise StyleClipError(f"{name} {too_small}, but is {shown(number)}.")
    if number > most:
        raise StyleClipError(f"{name} must be at most {most:g}, but is {shown(number)}.")
    return number


def _number(name: str, value: object, whole: bool) -> int | float:
    if isinstance(value, bool | np.bool_):
        pass
    elif whole and isinstance(value, Integral):
        return int(value)
    elif not whole and isinstance(value, Real):
        with contextlib.suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    what = "whole number" if whole else "finite number"
    raise StyleClipError(f"{name} must be a {what}, not {shown(value)}.")
