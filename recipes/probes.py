"""`python -m recipes probes`: the networks of the probes, which nothing of this project trained.

Reproduces the files in `python/styleclip_rt/probes/weights`, byte for byte.
"""

from pathlib import Path

import click

from recipes import npm, options
from recipes.report import Report

PACKAGE = "@vladmandic/face-api@1.7.15"
PACKAGE_SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
FILES = (
    *(f"model/{name}_model.bin" for name in ("age_gender", "face_expression")),
    *(f"model/{name}_model-weights_manifest.json" for name in ("age_gender", "face_expression")),
    "LICENSE",
)


@click.command("probes")
@options.out("probes")
def recipe(out: Path) -> None:
    """Fetch the probes' networks for age, gender and smile (by npm)."""
    report = Report()
    folder = npm.fetch(PACKAGE, PACKAGE_SHA256, FILES, out / "weights")
    report.made(*(folder / Path(name).name for name in FILES), source=f"npm's {PACKAGE}")
