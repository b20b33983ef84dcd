"""The probes against pictures painted by hand: coordinates below were read off the faces."""

import sys
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from styleclip_rt.errors import StyleClipError
from styleclip_rt.probes import MEASURES, Face, canonical, dlib_models, judge, likeness
from styleclip_rt.probes.colour import lab
from styleclip_rt.probes.filters import blur, box_mean, grow
from styleclip_rt.probes.judge import collateral
from styleclip_rt.probes.regions import Regions

FACES = Path(__file__).parents[1] / "golden" / "faces"

LIPS = [(200, 384), (228, 378), (246, 374), (256, 376), (268, 374), (285, 379), (320, 384),
        (300, 396), (262, 403), (228, 397)]  # fmt: skip
UPPER_LIP = [(200, 375), (213, 356), (245, 338), (262, 343), (280, 338), (307, 358), (320, 375),
             (285, 373), (262, 370), (240, 372)]  # fmt: skip
JAW = [(88, 350), (130, 400), (205, 405), (262, 412), (318, 405), (350, 380), (372, 350),
       (340, 430), (290, 475), (230, 478), (150, 450), (95, 400)]  # fmt: skip
SKIN = [(88, 200), (115, 130), (140, 92), (250, 72), (330, 72), (355, 110), (372, 190), (372, 350),
        (340, 430), (290, 475), (230, 475), (150, 450), (95, 400), (82, 340)]  # fmt: skip
MAN_HAIR = [(50, 215), (42, 150), (70, 85), (110, 35), (170, 8), (250, 0), (320, 18), (370, 55),
            (398, 110), (398, 180), (380, 190), (370, 140), (345, 85), (310, 62), (230, 66),
            (165, 78), (125, 100), (108, 150), (92, 210), (85, 265), (60, 220)]  # fmt: skip
WOMAN_HAIR = [(0, 350), (0, 190), (30, 120), (80, 58), (150, 15), (200, 8), (260, 18), (310, 52),
              (350, 70), (390, 140), (385, 340), (370, 330), (368, 210), (355, 130), (330, 95),
              (290, 85), (240, 88), (190, 115), (150, 160), (125, 200), (103, 260),
              (98, 350)]  # fmt: skip
EYES = {"woman": [(188, 242), (318, 241)], "man": [(191, 240), (321, 240)]}
MOUTH = {"woman": (258, 376), "man": (260, 385)}


@lru_cache(maxsize=2)
def picture(name: str) -> Image.Image:
    return Image.open(FACES / f"{name}.jpg").convert("RGB")


@lru_cache(maxsize=2)
def face(name: str) -> Face:
    return Face.read(picture(name))


def painted(image: Image.Image, mask: Image.Image, paint: np.ndarray) -> Image.Image:
    """`paint` over `image` through a soft-edged mask."""
    soft = mask.filter(ImageFilter.GaussianBlur(2))
    layer = Image.fromarray(np.uint8(np.clip(paint, 0, 255)))
    return Image.composite(layer, image, soft)


def polygon(points: list[tuple[int, int]]) -> Image.Image:
    mask = Image.new("L", (512, 512))
    ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask


def tinted(
    image: Image.Image, points: list[tuple[int, int]], rgb: tuple[int, int, int], amount: float = 1
) -> Image.Image:
    """A region in another colour, its shading kept."""
    pixels = np.asarray(image, dtype=np.float64)
    mask = polygon(points)
    light = pixels @ (0.299, 0.587, 0.114)
    shading = light / light[np.asarray(mask) > 0].mean()
    paint = shading[..., None] * np.array(rgb)
    return painted(image, mask, pixels + amount * (paint - pixels))


def scaled(
    image: Image.Image, points: list[tuple[int, int]], gain: tuple[float, float, float]
) -> Image.Image:
    return painted(image, polygon(points), np.asarray(image, dtype=np.float64) * gain)


def spotted(image: Image.Image) -> Image.Image:
    image, rng = image.copy(), np.random.default_rng(0)
    draw = ImageDraw.Draw(image)
    for cx, cy, rx, ry in ((150, 315, 45, 35), (335, 310, 30, 35), (258, 290, 25, 30)):
        for _ in range(90):
            angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform())
            x, y = cx + rx * reach * np.cos(angle), cy + ry * reach * np.sin(angle)
            r = rng.uniform(1.0, 1.9)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=(168, 104, 78))
    return image


def lashed(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for lid in (
        [(150, 232), (160, 240), (175, 231), (190, 227), (205, 231), (218, 242)],
        [(290, 244), (303, 232), (318, 227), (335, 231), (350, 240), (360, 231)],
    ):
        draw.line(lid, fill=(12, 8, 8), width=9, joint="curve")
    return image


def framed(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.ellipse((145, 212, 238, 275), outline=(20, 20, 20), width=6)
    draw.ellipse((274, 212, 367, 275), outline=(20, 20, 20), width=6)
    draw.line([(236, 240), (276, 240)], fill=(20, 20, 20), width=6)
    return image


def curled(image: Image.Image) -> Image.Image:
    rng = np.random.default_rng(0)
    layer = Image.new("RGB", image.size, (60, 45, 35))
    draw = ImageDraw.Draw(layer)
    for _ in range(5000):
        x, y = rng.uniform(0, 512, 2)
        r, start = rng.uniform(5, 9), rng.uniform(0, 360)
        shade = rng.uniform(0.4, 2.2)
        colour = tuple(int(c * shade) for c in (60, 45, 35))
        draw.arc((x - r, y - r, x + r, y + r), start, start + 240, fill=colour, width=2)
    return painted(image, polygon(WOMAN_HAIR), np.asarray(layer))


WOMAN, MAN = "woman", "man"
POSITIVES = {
    "red lipstick": (MAN, lambda i: tinted(i, LIPS, (178, 24, 48), 0.8)),
    "red hair": (MAN, lambda i: tinted(i, MAN_HAIR, (165, 75, 35))),
    "blond hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (205, 170, 110))),
    "dark skin": (MAN, lambda i: scaled(i, SKIN, (0.52, 0.48, 0.45))),
    "pale skin": (
        MAN,
        lambda i: painted(i, polygon(SKIN), 0.5 * np.asarray(i, dtype=np.float64) + 125),
    ),
    "thick moustache": (MAN, lambda i: scaled(i, UPPER_LIP, (0.3, 0.28, 0.25))),
    "beard": (MAN, lambda i: scaled(i, JAW, (0.4, 0.38, 0.35))),
    "green hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (30, 120, 50))),
    "blue hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (35, 60, 170))),
    "purple hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (110, 40, 140))),
    "pink hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (225, 110, 160))),
    "black hair": (MAN, lambda i: scaled(i, MAN_HAIR, (0.22, 0.22, 0.22))),
    "brown hair": (MAN, lambda i: tinted(i, MAN_HAIR, (85, 58, 42))),
    "grey hair": (WOMAN, lambda i: tinted(i, WOMAN_HAIR, (140, 140, 142))),
    "freckles": (MAN, spotted),
    "big lashes": (MAN, lashed),
    "heavy makeup": (MAN, lambda i: lashed(tinted(i, LIPS, (178, 24, 48), 0.8))),
    "glasses": (MAN, framed),
    "curly hair": (WOMAN, curled),
}
FROM_THE_OTHER = {
    "old": (WOMAN, MAN),
    "young": (MAN, WOMAN),
    "smiling": (MAN, WOMAN),
    "man": (WOMAN, MAN),
    "woman": (MAN, WOMAN),
}


@cache
def edited(prompt: str) -> Face:
    name, paint = POSITIVES[prompt]
    return Face.read(paint(picture(name)))


def test_every_measure_has_a_positive_here() -> None:
    assert set(POSITIVES) | set(FROM_THE_OTHER) == set(MEASURES)


@pytest.mark.parametrize("prompt", POSITIVES)
def test_a_painted_edit_succeeds(prompt: str) -> None:
    name, _ = POSITIVES[prompt]
    judgement = judge(prompt, face(name), edited(prompt))
    assert judgement.success is True, judgement
    assert judgement.after - judgement.before >= MEASURES[prompt].rise
    assert judgement.face_found and judgement.measure


@pytest.mark.parametrize("prompt", FROM_THE_OTHER)
def test_another_face_that_has_the_look_succeeds_as_another_person(prompt: str) -> None:
    before, after = FROM_THE_OTHER[prompt]
    judgement = judge(prompt, face(before), face(after))
    assert judgement.success is True, judgement
    assert not judgement.same_person and judgement.identity_distance > 0.6
    assert judge(prompt, face(after), face(before)).success is False


def jpeg(image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return Image.open(buffer)


NOTHING = {
    "same": lambda image: image,
    "recompressed": jpeg,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.06),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.94),
    "warmer": lambda image: Image.fromarray(
        np.uint8(np.clip(np.asarray(image) * np.array([1.06, 1.0, 0.94]), 0, 255))
    ),
    "moved": lambda image: image.transform((512, 512), Image.Transform.AFFINE,
                                           (1, 0, 3, 0, 1, -3), Image.Resampling.BILINEAR),
}  # fmt: skip


@pytest.mark.parametrize("name", ["woman", "man"])
@pytest.mark.parametrize("change", NOTHING)
def test_no_measure_succeeds_where_nothing_was_edited(name: str, change: str) -> None:
    before, after = Regions(face(name)), Regions(Face.read(NOTHING[change](picture(name))))
    passed = [prompt for prompt, m in MEASURES.items() if m.succeeds(before, after)[2]]
    assert passed == []
    alike = likeness(before.face, after.face)
    assert alike.same_person and alike.cosine > 0.97


# Looks that rightly come along with a painted one.
COMPANIONS = {
    "red lipstick": {"heavy makeup"},
    "heavy makeup": {"red lipstick", "big lashes"},
    "big lashes": {"heavy makeup"},
    "beard": {"thick moustache"},
    "thick moustache": {"beard"},
    "purple hair": {"pink hair", "blue hair"},
    "blue hair": {"purple hair"},
    "pink hair": {"purple hair"},
}
COLOURS_AND_MARKS = [
    p for p in POSITIVES if p not in ("curly hair", "freckles", "glasses")
]  # fmt: skip


@pytest.mark.parametrize("prompt", COLOURS_AND_MARKS)
def test_one_look_is_not_taken_for_another(prompt: str) -> None:
    before, after = Regions(face(POSITIVES[prompt][0])), Regions(edited(prompt))
    after.hair = before.hair = before.hair & after.hair
    passed = {p for p in COLOURS_AND_MARKS if MEASURES[p].succeeds(before, after)[2]}
    assert passed - COMPANIONS.get(prompt, set()) == {prompt}


@pytest.mark.parametrize("prompt", ["red lipstick", "red hair"])
def test_a_red_scene_is_no_red_lipstick_or_hair(prompt: str) -> None:
    red = np.asarray(picture("man"), dtype=np.float64) * (1.25, 0.85, 0.75)
    assert judge(prompt, face("man"), np.uint8(np.clip(red, 0, 255))).success is False


def test_a_dark_scene_is_no_dark_skin() -> None:
    dark = np.uint8(np.asarray(picture("man")) * 0.6)
    assert judge("dark skin", face("man"), dark).success is False


def test_landmarks_lie_where_the_eyes_and_mouth_are() -> None:
    for name, eyes in EYES.items():
        points = face(name).landmarks
        assert face(name).detected and points.shape == (68, 2)
        for centre, at in zip((points[36:42], points[42:48]), eyes, strict=True):
            assert np.abs(centre.mean(axis=0) - at).max() < 8
        assert np.abs(points[48:60].mean(axis=0) - MOUTH[name]).max() < 10


def test_every_size_and_kind_of_picture_reads_alike() -> None:
    pixels = np.asarray(picture("man"))
    large = Image.fromarray(pixels).resize((1024, 1024), Image.Resampling.BICUBIC)
    small = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BOX)
    for other in (pixels, large, small):
        read = Face.read(other)
        assert np.abs(read.landmarks - face("man").landmarks).mean() < 2
        assert likeness(read, face("man")).same_person


@pytest.mark.parametrize("name", ["woman", "man"])
def test_regions_agree_with_hand_drawn_ones(name: str) -> None:
    regions = Regions(face(name))
    drawn = np.asarray(polygon(WOMAN_HAIR if name == "woman" else MAN_HAIR)) > 0
    hair = regions.hair & (np.arange(512)[:, None] < 340)
    assert (hair & drawn).sum() / hair.sum() > 0.75
    assert (hair & drawn).sum() / drawn.sum() > 0.8
    assert not (regions.background & drawn).sum() > 0.12 * drawn.sum()
    if name == "man":
        lips = np.asarray(polygon(LIPS)) > 0
        assert (regions.lips & lips).sum() / (regions.lips | lips).sum() > 0.6
        moustache = np.asarray(polygon(UPPER_LIP)) > 0
        assert (regions.upper_lip & moustache).sum() / regions.upper_lip.sum() > 0.8


def test_attributes_read_age_gender_and_smile() -> None:
    woman, man = face("woman").attributes, face("man").attributes
    assert 15 < woman.age < 30 and 42 < man.age < 62
    assert woman.man < 0.1 and man.man > 0.9
    assert woman.happy > 0.9 and man.happy < 0.1


def test_one_picture_is_one_person_and_two_are_not() -> None:
    alike = likeness(face("man"), face("man"))
    assert alike.cosine == pytest.approx(1) and alike.distance == 0 and alike.same_person
    assert not likeness(face("man"), face("woman")).same_person


def test_collateral_counts_only_what_the_prompt_is_not_about() -> None:
    before = Regions(face("man"))
    untouched = collateral(before, Regions(face("man")), ("lips",))
    assert untouched.colour == 0 and untouched.background == 0
    assert untouched.structure == pytest.approx(0, abs=1e-6)
    lips = judge("red lipstick", face("man"), edited("red lipstick")).collateral
    assert lips.colour < 0.1 and lips.structure < 0.02
    blue = np.array(picture("man"))
    blue[:, 420:] = (20, 40, 200)
    scene = judge("red lipstick", face("man"), blue).collateral
    assert scene.background > 10 and scene.colour > 5 and scene.structure > 0.05


def test_a_lost_face_is_no_success() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (512, 512, 3)).astype(np.uint8)
    judgement = judge("dark skin", face("man"), noise)
    assert judgement.face_found is False and judgement.success is False


def test_an_unknown_prompt_is_left_open() -> None:
    judgement = judge("a medieval knight", face("man"), edited("red lipstick"))
    assert judgement.success is None and judgement.measure == ""
    assert np.isnan(judgement.before) and np.isnan(judgement.after)
    assert judgement.same_person


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Red Lipstick", "red lipstick"),
        ("a photo of a face with red lipstick", "red lipstick"),
        ("a person with blonde hair.", "blond hair"),
        ("thick mustache", "thick moustache"),
        ("someone who is smiling", "smiling"),
        ("red", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_canonical_names(prompt: str, name: str | None) -> None:
    assert canonical(prompt) == name


@pytest.mark.parametrize(
    "picture_",
    [
        np.zeros((512, 512), np.uint8),
        np.zeros((512, 512, 3), np.float32),
        np.zeros((512, 256, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
    ],
)
def test_what_is_no_square_picture_is_refused(picture_: np.ndarray) -> None:
    with pytest.raises(StyleClipError, match="A probe needs"):
        Face.read(picture_)


def test_without_dlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    dlib_models.face_detector.cache_clear()
    with pytest.raises(StyleClipError, match=r"styleclip-rt\[probes\]"):
        Face.read(picture("man"))


def test_without_the_models_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_models.importlib.metadata, "files", lambda _: [])
    dlib_models.landmark_predictor.cache_clear()
    with pytest.raises(StyleClipError, match=r"styleclip-rt\[probes\]"):
        Face.read(picture("man"))


def test_lab_of_known_colours() -> None:
    # CIE L*a*b* (D65) of the sRGB primaries, as published by B. Lindbloom's calculator.
    rgb = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18],
                [32.30, 79.19, -107.86]]  # fmt: skip
    np.testing.assert_allclose(lab(rgb), expected, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.6, 4))
def test_filters_agree_with_scipy(seed: int, radius: int, sigma: float) -> None:
    values = np.random.default_rng(seed).uniform(0, 100, (40, 33)).astype(np.float32)
    mask = values > 97
    box = np.ones((2 * radius + 1,) * 2, bool)
    np.testing.assert_array_equal(grow(mask, radius), scipy.ndimage.binary_dilation(mask, box))
    np.testing.assert_array_equal(
        grow(~mask, -radius), scipy.ndimage.binary_erosion(~mask, box, border_value=1)
    )
    mean = scipy.ndimage.uniform_filter(values.astype(np.float64), 2 * radius + 1, mode="nearest")
    np.testing.assert_allclose(box_mean(values, radius), mean, atol=1e-6)
    reach = int(3 * sigma + 0.5)
    smooth = scipy.ndimage.gaussian_filter(values, sigma, mode="nearest", radius=reach)
    np.testing.assert_allclose(blur(values, sigma), smooth, atol=1e-3)
