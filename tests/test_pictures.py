"""Pictures that are drawn: sheets, comparisons, loss curves, PNG files."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.pictures import comparison, contact_sheet, loss_plot, save_png
from styleclip_rt.plot import ticks

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_sheet_puts_every_picture_in_its_cell() -> None:
    sheet = contact_sheet([[plain(RED), plain(GREEN)], [None, plain(BLUE, (20, 20))]], tile=32)
    assert sheet.mode == "RGB" and sheet.size == (64, 64)
    assert [sheet.getpixel(p) for p in ((16, 16), (48, 16), (16, 48), (48, 48))] == [
        RED, GREEN, (255, 255, 255), BLUE,
    ]  # fmt: skip


def test_titles_take_room_above_and_left_and_leave_ink() -> None:
    bare = contact_sheet([[plain(RED)], [plain(GREEN)]], tile=64)
    titled = contact_sheet([[plain(RED)], [plain(GREEN)]], ["after"], ["seed 7", "seed 8"], 64)
    left, top = titled.width - bare.width, titled.height - bare.height
    assert left > 0 and top > 0
    assert titled.crop((left, top, *titled.size)).tobytes() == bare.tobytes()
    ink = np.asarray(titled.convert("L")) < 128
    assert ink[:top, left:].any() and ink[top : top + 64, :left].any()


def test_a_long_title_stays_above_its_own_column() -> None:
    long = contact_sheet([[plain(RED)] * 2], ["W" * 500, ""], tile=64)
    top = long.height - 64
    assert (np.asarray(long)[:top, 64:] == 255).all()


def test_a_picture_that_is_not_square_is_shown_whole() -> None:
    sheet = contact_sheet([[plain(RED, (80, 40))]], tile=40)
    pixels = np.asarray(sheet)
    assert (pixels[:9] == 255).all() and (pixels[-9:] == 255).all()
    assert (pixels[12:28] == RED).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": []},
        {"rows": [[]]},
        {"rows": [[plain(RED)]], "tile": 4},
        {"rows": [[plain(RED)]], "column_titles": ["a", "b"]},
        {"rows": [[plain(RED)]], "row_titles": ["a", "b"]},
    ],
)
def test_an_impossible_sheet_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(StyleClipError, match="contact sheet"):
        contact_sheet(**arguments)  # type: ignore[arg-type]


def test_a_comparison_keeps_full_size() -> None:
    picture = comparison(plain(RED, (128, 128)), plain(BLUE, (128, 128)), "red lipstick")
    assert picture.width == 256 and picture.height > 128
    assert picture.getpixel((64, picture.height - 64)) == RED
    assert picture.getpixel((192, picture.height - 64)) == BLUE


def test_a_loss_plot_has_its_size_and_depends_on_the_losses() -> None:
    falling = [{"step": i, "total": 1 / (i + 1), "clip": 0.5, "lr": 0.1} for i in range(20)]
    rising = [{**row, "total": row["step"]} for row in falling]
    one, other = loss_plot(falling, 480, 300), loss_plot(rising, 480, 300)
    assert one.size == (480, 300) and one.mode == "RGB"
    assert one.tobytes() == loss_plot(falling, 480, 300).tobytes()
    assert one.tobytes() != other.tobytes()
    assert loss_plot([{"total": 1.0}, {"clip": 2.0}]).size == (960, 540)
    for nothing in ([], [{"step": 1, "lr": 0.1}]):
        with pytest.raises(StyleClipError, match="loss plot"):
            loss_plot(nothing)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e-9, 1e30, float("nan"), float("inf")])
def test_any_loss_can_be_plotted(value: float) -> None:
    assert loss_plot([{"total": value, "lr": value}], 200, 100).size == (200, 100)
    marks = ticks([value, 2.0])
    assert marks[0] <= 2 <= marks[-1] and len(marks) in range(2, 10)
    assert not math.isfinite(value) or marks[0] <= value <= marks[-1]


def test_a_png_carries_its_metadata_and_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "edited.png"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    metadata = {
        "prompt": "röte Haare 红发",
        "seed": 7,
        "plain": "caf\u00e9",
        "options": {"l2": 0.1},
    }
    save_png(Image.fromarray(pixels), path, metadata)
    with Image.open(path) as image:
        assert (np.asarray(image) == pixels).all()
        assert image.text["prompt"] == metadata["prompt"]
        assert image.text["plain"] == metadata["plain"]
        assert json.loads(image.text["seed"]) == 7
        assert json.loads(image.text["options"]) == {"l2": 0.1}
    save_png(Image.fromarray(pixels), path, {})
    assert os.listdir(tmp_path) == ["edited.png"]


@pytest.mark.parametrize(
    "metadata", [{"": "x"}, {"k" * 80: "x"}, {"a\nb": "x"}, {"x": object()}, {"x": "\ud800"}]
)
def test_metadata_that_a_png_cannot_hold_is_refused(
    tmp_path: Path, metadata: dict[str, object]
) -> None:
    with pytest.raises(StyleClipError, match="metadata"):
        save_png(plain(RED), tmp_path / "a.png", metadata)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StyleClipError, match="No space left"):
        save_png(plain(RED), path, {})
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.png"]
    with pytest.raises(StyleClipError, match="cannot be written"):
        save_png(plain(RED), tmp_path / "missing" / "a.png", {})
