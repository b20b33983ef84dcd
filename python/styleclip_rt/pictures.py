"""Drawings that people look at: comparisons, contact sheets, loss curves, and PNG files."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.plot import COLOURS, GREY, Plot, ticks

if TYPE_CHECKING:
    from torch import Tensor

_BACKGROUND = (255, 255, 255)
_INK = (30, 30, 30)
_GAP = 8


def to_pil(image: "Tensor | NDArray[np.float32]") -> Image.Image:
    """[3, H, W] in [0, 1] -> PIL RGB.

    Raises StyleClipError for values that are not finite, which would come out black.
    """
    values = image if isinstance(image, np.ndarray) else image.detach().float().cpu().numpy()
    if not np.isfinite(values).all():
        raise StyleClipError(
            "the picture has values that are no numbers: the latent is too far from any face, or "
            "the weights are damaged."
        )
    pixels = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(pixels.transpose(1, 2, 0))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text`, cut with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _tile(image: Image.Image, size: int) -> Image.Image:
    """The image, whole, in the middle of a white square."""
    scale = size / max(image.size)
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resampling = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (size, size), _BACKGROUND)
    small = image.convert("RGB").resize(shape, resampling)
    square.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return square


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    tile: int = 256,
) -> Image.Image:
    """A grid of square tiles with titles above the columns and left of the rows.

    rows: pictures of any size and mode, each shown whole; None leaves a tile empty, and
    rows may differ in length. tile: pixels a side. Raises StyleClipError for an empty sheet,
    a tile below 16 px, or more titles than columns or rows.
    """
    columns = max((len(row) for row in rows), default=0)
    if columns == 0:
        raise StyleClipError("A contact sheet needs at least one picture; none was given.")
    if tile < 16:
        raise StyleClipError(f"A contact sheet's tiles need at least 16 px; {tile} was asked for.")
    if len(column_titles) > columns or len(row_titles) > len(rows):
        raise StyleClipError(
            f"A contact sheet of {len(rows)} x {columns} got {len(row_titles)} row and "
            f"{len(column_titles)} column titles; give at most one title a row and column."
        )
    font = _font(max(11, tile // 14))
    line = int(font.getbbox("Ag")[3]) + _GAP
    top = line if any(column_titles) else 0
    widest = max((font.getlength(title) for title in row_titles), default=0)
    left = min(int(widest) + 2 * _GAP, tile) if any(row_titles) else 0
    sheet = Image.new("RGB", (left + columns * tile, top + len(rows) * tile), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for c, title in enumerate(column_titles):
        text = _fit(title, font, tile - _GAP)
        x = left + c * tile + (tile - font.getlength(text)) / 2
        draw.text((x, _GAP / 2), text, _INK, font)
    for r, row in enumerate(rows):
        y = top + r * tile
        if r < len(row_titles):
            text = _fit(row_titles[r], font, left - _GAP)
            draw.text((_GAP / 2, y + (tile - line) / 2), text, _INK, font)
        for c, image in enumerate(row):
            if image is not None:
                sheet.paste(_tile(image, tile), (left + c * tile, y))
    return sheet


def comparison(
    original: Image.Image, edited: Image.Image, title: str = "edited", tile: int | None = None
) -> Image.Image:
    """Before and after, side by side, at the original's size or `tile` pixels a side."""
    size = tile or max(original.size)
    return contact_sheet([[original, edited]], ["original", title], tile=size)


def loss_plot(
    history: Iterable[Mapping[str, float]], width: int = 960, height: int = 540
) -> Image.Image:
    """Losses against steps: one line for every key of `history` except `step` and `lr`.

    history: one row a step, e.g. {"total": ..., "clip": ..., "id": ..., "l2": ..., "lr": ...};
    rows may lack keys. The learning rate, where recorded, is drawn on an axis of its own.
    Raises StyleClipError for an empty history.
    """
    rows = list(history)
    names = list(dict.fromkeys(key for row in rows for key in row))
    losses = [name for name in names if name not in ("step", "lr")]
    if not losses:
        raise StyleClipError("A loss plot needs at least one step with a loss; it got none.")
    steps = [row.get("step", i) for i, row in enumerate(rows)]
    curves = {name: [row.get(name, math.nan) for row in rows] for name in names}
    plot = Plot(width, height)
    across = ticks(steps)
    up = ticks([value for name in losses for value in curves[name]])
    plot.grid(across, up)
    if "lr" in names:
        rates = ticks(curves["lr"])
        plot.scale(rates)
        plot.curve(steps, curves["lr"], across, rates, GREY, 1.5)
    for i, name in enumerate(losses):
        colour = COLOURS[i % len(COLOURS)]
        plot.curve(steps, curves[name], across, up, colour, 3 if name == "total" else 1.8)
    legend = [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(losses)]
    plot.legend(legend + ([("learning rate", GREY)] if "lr" in names else []))
    return plot.image()


def save_png(image: Image.Image, path: str | Path, metadata: Mapping[str, object]) -> None:
    """Write a PNG whose text chunks hold `metadata`, whole or not at all.

    Keys must be 1-79 Latin-1 characters (PNG 1.2 section 4.2.3). Strings are written as they
    are, anything else as JSON; text outside Latin-1 goes into an iTXt chunk. Raises
    StyleClipError where a key is no PNG keyword, a value is not JSON, or the file cannot be
    written.
    """
    path = Path(path)
    info = PngInfo()
    for key, value in metadata.items():
        if not 1 <= len(key) <= 79 or not key.isprintable() or not key.isascii():
            raise StyleClipError(
                f"{key!r} cannot name PNG metadata; use 1 to 79 printable ASCII characters."
            )
        try:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            # A lone surrogate is a str that no encoding takes.
            text.encode()
        except (TypeError, ValueError) as error:
            raise StyleClipError(
                f"The metadata {key!r} cannot be written as text ({error}); pass plain values."
            ) from error
        try:
            text.encode("latin-1")
            info.add_text(key, text)
        except UnicodeEncodeError:
            info.add_itxt(key, text)
    buffer = BytesIO()
    # Of photographs and drawings zlib's search for repetitions finds almost nothing: without it a
    # picture takes a fifth of the time, and half a percent more bytes.
    image.save(buffer, "PNG", pnginfo=info, compress_type=Image.RLE)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
