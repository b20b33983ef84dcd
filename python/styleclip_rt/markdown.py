"""Tables in Markdown. Needs no torch."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, every line of it ended; rows have as many cells as the head."""
    return "".join(f"{line(cells)}\n" for cells in (head, ["---"] * len(head), *rows))


def line(cells: Iterable[str]) -> str:
    """One row of a table, without the line's end; a bar within a cell becomes a slash."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
