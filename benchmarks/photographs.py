"""How long a photograph takes: ``python -m benchmarks.photographs me.jpg``.

Finding and aligning its face, inverting it once, and each edit of it by mapper after that.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from styleclip_rt.photos import choose_faces, find_faces, read_picture
from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from styleclip_rt.runtime.photographs import open_photograph

LARGE = 12_000_000
"""Pixels of a telephone's picture."""


def seconds(act: Callable[[], object], times: int) -> str:
    """Minimum, median and maximum."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        took.append(time.perf_counter() - started)
    took.sort()
    return f"{took[0]:.2f} / {took[len(took) // 2]:.2f} / {took[-1]:.2f} s"


def found(pixels: Pixels) -> object:
    """The largest face, aligned."""
    return Alignment.of(choose_faces(find_faces(pixels))[0]).crop(pixels, 1024)


def main(path: Path) -> None:
    """Print the times of one photograph."""
    runtime = MapperRuntime.from_bundle(["hair-colour", "smiling"])
    pixels = read_picture(path).pixels
    found(pixels)
    scale = (LARGE / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    large = np.array(Image.fromarray(pixels).resize(size))
    for picture in (pixels, large):
        height, width = picture.shape[:2]
        print(f"find and align, {width} x {height}: {seconds(partial(found, picture), 5)}")
    invert = partial(open_photograph, runtime.networks, path)
    print(f"invert, fast: {seconds(invert, 1)}")
    (photograph,) = invert()
    whole = replace(photograph, picture=replace(photograph.picture, pixels=large))
    points = photograph.face.points * np.float32(scale)
    whole = replace(whole, face=replace(photograph.face, points=points))
    for face in (photograph, whole):
        width, height = face.picture.size
        for move in (Move("hair-colour", "red hair"), Move("smiling")):
            edit = partial(runtime.edit_starts, [face.start], [move])
            edit()
            told = f"{move.prompt or move.mapper}, {width} x {height}"
            print(f"{told}: {seconds(edit, 5)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
