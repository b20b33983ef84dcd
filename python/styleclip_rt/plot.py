"""Plots of a few curves, drawn by Pillow alone: a plotting library takes a second to begin."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

COLOURS = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (188, 189, 34), (23, 190, 207)),
)
GREY = (150, 150, 150)
_GRID = (225, 225, 225)
_INK = (30, 30, 30)
_PAPER = (255, 255, 255)
_FINER = 2
"""What a plot is drawn larger by, and then made smaller, so that its lines are smooth."""


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers, evenly spaced, the first not above and the last not below all that is finite
    among the values."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    wide = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(wide / 5))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if wide / (each * power) <= 6)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)] + (
        [high + step] if low == high and (low / step).is_integer() else []
    )


class Plot:
    """A picture of curves under axes; all lengths in pixels of the finished one."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.left, self.right = 64, width - 64
        self.top, self.bottom = 16, height - 40
        shape = (width * _FINER, height * _FINER)
        self.drawn = Image.new("RGB", shape, _PAPER)
        self.draw = ImageDraw.Draw(self.drawn)
        self.font = ImageFont.load_default(12 * _FINER)

    def place(
        self, x: float, y: float, across: list[float], up: list[float]
    ) -> tuple[float, float]:
        """Where a value lies between the ends of two scales."""
        wide = (x - across[0]) / (across[-1] - across[0])
        high = (y - up[0]) / (up[-1] - up[0])
        return (
            (self.left + wide * (self.right - self.left)) * _FINER,
            (self.bottom - high * (self.bottom - self.top)) * _FINER,
        )

    def text(self, x: float, y: float, text: str, anchor: str) -> None:
        """Words at a place, which `anchor` of Pillow's says the meaning of."""
        self.draw.text((x * _FINER, y * _FINER), text, _INK, self.font, anchor)

    def grid(self, across: list[float], up: list[float]) -> None:
        """Lines at the ticks, and what they stand for below and at the left."""
        for x in across:
            ends = self.place(x, up[0], across, up), self.place(x, up[-1], across, up)
            self.draw.line(ends, _GRID, _FINER)
            self.text(ends[0][0] / _FINER, self.bottom + 5, f"{x:g}", "mt")
        for y in up:
            ends = self.place(across[0], y, across, up), self.place(across[-1], y, across, up)
            self.draw.line(ends, _GRID, _FINER)
            self.text(self.left - 6, ends[0][1] / _FINER, f"{y:.6g}", "rm")
        self.text((self.left + self.right) / 2, self.size[1] - 6, "step", "mb")

    def scale(self, ticks: list[float]) -> None:
        """What stands at the right, for curves on a scale of their own."""
        for y in ticks:
            _, height = self.place(0, y, [0, 1], ticks)
            self.text(self.right + 6, height / _FINER, f"{y:.6g}", "lm")

    def curve(
        self,
        steps: Sequence[float],
        values: Sequence[float],
        across: list[float],
        up: list[float],
        colour: tuple[int, int, int],
        width: float,
    ) -> None:
        """A line through the values that are finite, with gaps where they are not."""
        part: list[tuple[float, float]] = []
        for x, y in [*zip(steps, values, strict=True), (math.nan, math.nan)]:
            if math.isfinite(x) and math.isfinite(y):
                part.append(self.place(x, y, across, up))
                continue
            if len(part) > 1:
                self.draw.line(part, colour, round(width * _FINER), "curve")
            elif part:
                x, y, r = *part[0], width * _FINER
                self.draw.ellipse((x - r, y - r, x + r, y + r), colour)
            part = []

    def legend(self, rows: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
        """Names beside their colours, at the upper right."""
        wide = max(self.font.getlength(name) for name, _ in rows) / _FINER
        left, line = self.right - wide - 44, 18
        corners = (left - 8, self.top + 6, self.right - 8, self.top + 14 + line * len(rows))
        box = [corner * _FINER for corner in corners]
        self.draw.rectangle(box, _PAPER, _GRID, _FINER)
        for i, (name, colour) in enumerate(rows):
            y = self.top + 19 + line * i
            self.draw.line(
                (left * _FINER, y * _FINER, (left + 22) * _FINER, y * _FINER), colour, 3 * _FINER
            )
            self.text(left + 28, y, name, "lm")

    def image(self) -> Image.Image:
        """The finished picture."""
        return self.drawn.reduce(_FINER)
