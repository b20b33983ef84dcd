"""Looks by name: which mapper makes one, which way, and how far. Needs no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from styleclip_rt import looks
from styleclip_rt.errors import StyleClipError
from styleclip_rt.looks import Look
from styleclip_rt.pictures import contact_sheet, to_pil
from styleclip_rt.reading import Reading, read
from styleclip_rt.runtime.moves import Move
from styleclip_rt.runtime.painting import PAINT
from styleclip_rt.runtime.starts import Start

if TYPE_CHECKING:
    from styleclip_rt.runtime.mapper import MapperRuntime


def moves_of(wanted: Sequence[Move]) -> list[Move]:
    """Moves whose `mapper` is a mapper's name, for moves whose `mapper` may be a look's.

    A move with a prompt is a mapper's. "serious" at 0.5 is "smiling" at -0.5.

    Raises:
        StyleClipError: there is no such look, or its strength is out of its range.
    """
    return [move if move.prompt else _move_of(move.mapper, move.strength) for move in wanted]


def _move_of(name: str, strength: float) -> Move:
    look, way = looks.find(name)
    along = way * strength
    if not look.least <= along <= look.most:
        least, most = sorted((way * look.least, way * look.most))
        raise StyleClipError(
            f"the strength of {name!r} must be from {least:g} to {most:g}, but is {strength:g}."
        )
    return Move(look.mapper, look.prompt, along)


def moves_said(text: str, strength: float = 1.0) -> list[Move]:
    """The same for a phrase of the table, or a sentence that names looks: "red hair and a slight
    smile".

    Args:
        strength: of the look, or what those of the sentence are multiplied by.

    Raises:
        StyleClipError: as `moves_of`; or there is no look for a part of the sentence.
    """
    try:
        looks.find(text)
    except StyleClipError:
        reading = read(text)
        if not reading.looks:
            raise
        if reading.rest:
            raise StyleClipError(
                f"there is no look for {reading.rest!r}, which `styleclip edit` asks of the "
                "optimiser: `styleclip looks` lists them."
            ) from None
        return moves_of([Move(look.name, strength * much) for look, much in reading.looks])
    return [_move_of(text, strength)]


def moves_read(reading: Reading) -> list[Move]:
    """What makes the looks that a sentence names."""
    return [Move(look.mapper, look.prompt, strength) for look, strength in reading.looks]


def mappers_for(moves: Sequence[Move]) -> tuple[str, ...]:
    """The mappers that moves name, each once, in order; paints need none."""
    return tuple(dict.fromkeys(move.mapper for move in moves if move.mapper != PAINT))


def look_sheet(
    runtime: "MapperRuntime", starts: Sequence[Start], table: Sequence[Look], tile: int = 192
) -> Image.Image:
    """A row a look: each face with less of it, as it is, and with it.

    runtime: that holds the looks' mappers.
    """
    w_plus = runtime.w_plus(starts)
    drawn = [to_pil(image) for image in runtime.draw(w_plus)]
    rows = []
    for look in table:
        less, more = (
            [face.image for face in runtime.edit(w_plus, [move])]
            for strength in (max(-1.0, look.least), min(1.0, look.most))
            for move in [Move(look.mapper, look.prompt, strength)]
        )
        rows.append([each for three in zip(less, drawn, more, strict=True) for each in three])
    titles = [look.name for look in table]
    return contact_sheet(rows, ["-1", "0", "1"] * len(drawn), titles, tile)
