"""Faces are found where they are: turned, small, large, several, blurred; and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from styleclip_rt.errors import StyleClipError
from styleclip_rt.photos import Face, choose_faces, draw_found, find_faces

GOLDEN = Path(__file__).parents[1] / "golden"
PHOTOS = sorted((GOLDEN / "photos").glob("*.jpg"))


def landmarks(face: Face) -> np.ndarray:
    """Eyes and corners of the mouth [4, 2]."""
    return np.array([*face.eyes, *face.mouth])


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest error, in distances between the eyes."""
    eyes = np.linalg.norm(expected[1] - expected[0])
    return float(np.linalg.norm(found - expected, axis=1).max() / eyes)


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return Image.open(GOLDEN / "photos" / "official.jpg").convert("RGB")


@pytest.fixture(scope="module")
def expected(portrait) -> np.ndarray:
    (face,) = find_faces(np.array(portrait))
    return landmarks(face)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_landmarks_are_where_a_person_put_them(path):
    known = np.loadtxt(path.with_suffix(".txt"))
    (face,) = find_faces(np.array(Image.open(path).convert("RGB")))
    assert distance(landmarks(face), known) < 0.15


@pytest.mark.parametrize("angle", [40, 90, 135, 180, 250, 320])
def test_a_tilted_head_is_found_with_its_tilt(portrait, expected, angle):
    turned = portrait.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
    (face,) = find_faces(np.array(turned))
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre, new_centre = np.array(portrait.size) / 2, np.array(turned.size) / 2
    assert distance(landmarks(face), (expected - centre) @ rotation.T + new_centre) < 0.06
    assert abs((face.roll - angle + 180) % 360 - 180) < 6


@pytest.mark.parametrize("size", [49, 70, 110])
def test_a_small_face_in_a_large_picture_is_found(portrait, expected, size):
    (face,) = find_faces(np.array(portrait))
    scale = size / face.size
    small = portrait.resize([round(side * scale) for side in portrait.size], Image.Resampling.BOX)
    canvas = Image.new("RGB", (1500, 1100), (90, 100, 80))
    canvas.paste(small, (900, 700))
    (found,) = find_faces(np.array(canvas))
    assert distance(landmarks(found), expected * scale + (900, 700)) < 0.08


@pytest.mark.parametrize(
    "change",
    [
        lambda image, size: image.filter(ImageFilter.GaussianBlur(0.03 * size)),
        lambda image, size: image.convert("L").convert("RGB"),
        lambda image, size: image.point(lambda value: value * 0.15),
        lambda image, size: image.resize((image.width * 3, image.height * 3)),
    ],
    ids=["blurred", "grey", "dark", "large"],
)
def test_a_poor_picture_of_a_face_will_do(portrait, expected, change):
    (face,) = find_faces(np.array(portrait))
    changed = change(portrait, face.size)
    (found,) = find_faces(np.array(changed))
    assert distance(landmarks(found), expected * changed.width / portrait.width) < 0.1


def test_a_face_that_fills_the_picture_is_found(portrait, expected):
    (face,) = find_faces(np.array(portrait))
    left, top, right, bottom = (round(side) for side in face.box)
    (found,) = find_faces(np.array(portrait.crop((left, top, right, bottom))))
    assert distance(np.add(landmarks(found), (left, top)), expected) < 0.06


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    """Three people, side by side; the one in the middle is largest, the right one upside down."""
    canvas = Image.new("RGB", (900, 400), (120, 120, 110))
    woman = Image.open(GOLDEN / "faces" / "woman.jpg")
    canvas.paste(woman.resize((200, 200)), (30, 150))
    canvas.paste(Image.open(GOLDEN / "faces" / "man.jpg").resize((350, 350)), (280, 20))
    canvas.paste(woman.resize((220, 220)).rotate(180), (660, 60))
    return np.array(canvas)


def test_several_faces_come_from_left_to_right(group):
    faces = find_faces(group)
    assert [230 < sum(f.box[::2]) / 2 < 640 for f in faces] == [False, True, False]
    assert faces[0].box[0] < faces[1].box[0] < faces[2].box[0]
    assert abs(faces[2].roll) > 150


def test_faces_are_chosen_by_size_or_number(group):
    faces = find_faces(group)
    assert choose_faces(faces) == [faces[1]]
    assert choose_faces(faces, "all") == faces
    assert choose_faces(faces, 3) == [faces[2]] == choose_faces(faces, "3")


@pytest.mark.parametrize("which", [0, 4, -1, "first", "1.0"])
def test_a_face_that_is_not_there_cannot_be_chosen(group, which):
    with pytest.raises(StyleClipError, match=r"There is no face .*from 1 \(leftmost\) to 3"):
        choose_faces(find_faces(group), which)


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_and_stripes_have_no_face(seed):
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (60, 90, 3), np.uint8)
    picture = np.array(Image.fromarray(noise).resize((720, 480), Image.Resampling.BICUBIC))
    with pytest.raises(StyleClipError, match="No face was found"):
        find_faces(picture)


def test_a_face_below_48_pixels_is_refused(portrait):
    (face,) = find_faces(np.array(portrait))
    scale = 42 / face.size
    small = portrait.resize([round(side * scale) for side in portrait.size], Image.Resampling.BOX)
    with pytest.raises(StyleClipError, match=r"is 4. pixels across, too small"):
        find_faces(np.array(small))


def test_what_was_found_is_drawn_and_the_picture_left_alone(group):
    before = group.copy()
    drawn = np.array(draw_found(group, find_faces(group)))
    np.testing.assert_array_equal(group, before)
    changed = (drawn != group).any(2)
    assert all(changed[:, part].any() for part in (slice(0, 250), slice(300, 600), slice(650, 900)))
    assert not changed[:10].any()
