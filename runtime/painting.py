"""Looks that are painted onto a drawing, or onto the photograph that a face is in."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from styleclip_rt.errors import StyleClipError
from styleclip_rt.paint import painted
from styleclip_rt.photos.engine import PhotoEngine
from styleclip_rt.photos.faces import PRESENT
from styleclip_rt.photos.mesh import fit_mesh
from styleclip_rt.runtime.starts import Start

PAINT = "paint"
"""What looks that are painted name in the place of a mapper."""

_PLACE = (0.5, 0.57), 0.55
"""Where a drawing has its face: its middle and its side, in parts of the drawing's."""


def on_face(
    image: Image.Image, amounts: Mapping[str, float], start: Start | None, engine: PhotoEngine
) -> Image.Image:
    """An edited face with paints on it.

    Args:
        image: a drawing; the whole picture, where the start is of a photograph.
        amounts: paint -> how much of it, in [0, 1].
        start: of the edit, if it had one.
        engine: that finds the mesh in a drawing.

    Raises:
        StyleClipError: the drawing shows no face.
    """
    pixels = np.asarray(image)
    file = start.scene.file if start is not None and start.scene is not None else None
    if file is not None:
        mesh = file.mesh_in(pixels)
    else:
        (x, y), side = _PLACE
        size = len(pixels)
        mesh, presence = fit_mesh(pixels, (x * size, y * size), side * size, 0.0, engine)
        if presence <= PRESENT:
            raise StyleClipError("the drawing shows no face to paint on: choose another seed.")
    return Image.fromarray(painted(pixels, mesh, amounts))
