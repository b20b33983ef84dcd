"""How well sentences are read, on phrases that others wrote.

`python -m benchmarks.reading --part seen` reads `docs/looks/phrases.csv` and prints a table. A
phrase that names looks is right if exactly those are read, each with its sign; one that names none,
if none is read. Labels were given by hand before any phrase was read.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from styleclip_rt.markdown import line
from styleclip_rt.reading import Reading, read

PHRASES = Path(__file__).parents[1] / "docs" / "looks" / "phrases.csv"


class Phrase(NamedTuple):
    """A row of the file.

    Attributes:
        text: the phrase.
        kind: "look", "face" (known of faces, but there is no look) or "unknown".
        says: every set of looks, "-" before those that go the other way, that is right.
        part: "seen" or "unseen".
        source: where it was found.
    """

    text: str
    kind: str
    says: tuple[frozenset[str], ...]
    part: str
    source: str


def phrases() -> Iterator[Phrase]:
    """All of them."""
    with PHRASES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            each = row["says"].split(" | ")
            none = ("face", "unknown")
            says = tuple(frozenset(() if x in none else x.split("; ")) for x in each)
            kind = each[0] if each[0] in none else "look"
            yield Phrase(row["phrase"], kind, says, row["part"], row["source"])


def is_right(phrase: Phrase, reading: Reading) -> bool:
    """Whether a phrase was read as a person would."""
    found = {("-" if strength < 0 else "") + look.name for look, strength in reading.looks}
    return found in phrase.says


@click.command()
@click.option("--part", type=click.Choice(("seen", "unseen")), required=True)
@click.option("--wrong", is_flag=True, help="Show what is read wrongly.")
def main(part: str, wrong: bool) -> None:
    """Print how many phrases of each kind are read rightly."""
    click.echo(line(("kind", "right", "share")))
    click.echo(line(("---",) * 3))
    for kind in ("look", "face", "unknown"):
        these = [phrase for phrase in phrases() if phrase.part == part and phrase.kind == kind]
        bad = [phrase for phrase in these if not is_right(phrase, read(phrase.text))]
        right = len(these) - len(bad)
        click.echo(line((kind, f"{right}/{len(these)}", f"{right / len(these):.1%}")))
        for phrase in bad if wrong else ():
            says = " | ".join("; ".join(sorted(each)) or phrase.kind for each in phrase.says)
            reading = read(phrase.text)
            rest = f"unseen {reading.unseen}, unknown {reading.unknown}"
            click.echo(f"    {phrase.text!r} says {says}, read {reading}; {rest}")


if __name__ == "__main__":
    main()
