"""`python -m recipes face-clip-tokens`: which words FaceCLIP has read."""

import json
from pathlib import Path

import click

from recipes import options
from recipes.labels.captions import known_tokens
from recipes.report import Report
from styleclip_rt.files import replacing


@click.command("face-clip-tokens")
@options.out("face-clip-tokens")
def recipe(out: Path) -> None:
    """Write the tokens that captions are made of to face_clip_tokens.json."""
    report = Report()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "face_clip_tokens.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(sorted(known_tokens())) + "\n", encoding="utf-8")
    report.made(path, source="the captions of recipes/labels/captions.py")
