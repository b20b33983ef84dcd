"""The looks that ship with the package: what each is called, and the move that makes it.

Needs no torch. The table is `weights/looks.json`.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from styleclip_rt.errors import StyleClipError

DIRECTIONS = "looks"
"""The mapper of all the looks that are directions in StyleSpace, which is most of them."""

_TABLE = Path(__file__).parent / "weights" / "looks.json"


@dataclass(frozen=True)
class Look:
    """One row of the table.

    Attributes:
        name: of the look at strength 1.
        says: other phrases that mean it.
        less: what it is called at strength -1, and other phrases; none where that is no look.
        mapper, prompt: that make it.
        measure: of `recipes/looks/measures.py`, which says how much of it a face has; "" for a
            mapper that was trained otherwise.
        keeps: what of a face it was made to leave alone.
        least, most: strengths between which it was looked at.
    """

    name: str
    says: tuple[str, ...]
    less: tuple[str, ...]
    mapper: str
    prompt: str
    measure: str
    keeps: tuple[str, ...]
    least: float
    most: float


@cache
def looks() -> tuple[Look, ...]:
    """All of them, in the table's order."""
    rows = json.loads(_TABLE.read_text(encoding="utf-8"))
    return tuple(
        Look(
            name=row["name"],
            says=tuple(row.get("says", ())),
            less=tuple(row.get("less", ())),
            mapper=row.get("mapper", DIRECTIONS),
            prompt=row.get("prompt", row["name"]),
            measure=row.get("measure", ""),
            keeps=tuple(row.get("keeps", ())),
            least=float(row["least"]),
            most=float(row["most"]),
        )
        for row in rows
    )


def find(text: str) -> tuple[Look, int]:
    """The look that a phrase of the table names, and 1; or -1 where it names its opposite.

    Case, blanks and a leading article do not matter.

    Raises:
        StyleClipError: no look is called so.
    """
    meant = _plain(text)
    for look in looks():
        if meant in map(_plain, (look.name, *look.says)):
            return look, 1
    for look in looks():
        if meant in map(_plain, look.less):
            return look, -1
    raise StyleClipError(f"there is no look {text!r}: `styleclip looks` lists them.")


def _plain(text: str) -> str:
    words = text.lower().replace("-", " ").split()
    return " ".join(words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words)
