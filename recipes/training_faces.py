"""`python -m recipes training-faces`: the pictures and labels of FaceCLIP and FaceID.

They do not ship. The set that the shipped networks learnt from was made by this code, as
`docs/MODEL_CARD.md` describes it, and is not in the repository. Rounding differs among processors,
so a face near the boundary of a fact may come to lie on its other side.
"""

from pathlib import Path

import click

from recipes import options
from recipes.inputs import default_generator, label_models
from recipes.labels.faces import prepare_faces
from recipes.report import Report


@click.command("training-faces")
@options.out("faces")
@click.option("--random", "random_faces", type=click.IntRange(1), default=1200, show_default=True)
@click.option("--pushed", "pushed_faces", type=click.IntRange(1), default=1390, show_default=True)
@click.option("--variants", type=click.IntRange(0), default=3, show_default=True)
@options.seed
def recipe(out: Path, random_faces: int, pushed_faces: int, variants: int, seed: int) -> None:
    """Draw, measure, label and paint faces (fetches label models by npm once).

    Run again after an interruption, it goes on with the stage that it was in.
    """
    report = Report()
    generator = default_generator()
    prepare_faces(generator, label_models(), out, random_faces, pushed_faces, variants, seed)
    report.made(
        *(out / name for name in ("images.npy", "truth.npy", "face.npy", "identity.npy")),
        source=f"{random_faces} random and {pushed_faces} pushed faces of ffhq-mobile, each with "
        f"{variants} painted variants, seed {seed}",
    )
