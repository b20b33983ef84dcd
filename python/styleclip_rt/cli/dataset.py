"""``styleclip dataset``: latents to train mappers on."""

from pathlib import Path

import click

from styleclip_rt.cli.options import bundle_option

_folder = click.Path(path_type=Path, file_okay=False)


@click.group()
def dataset() -> None:
    """Data sets of latents to train mappers on."""


@dataset.command("generate")
@click.option("--out", type=_folder, default=Path("out/latents"), show_default=True)
@click.option("--train", type=click.IntRange(1), default=20000, show_default=True)
@click.option("--val", type=click.IntRange(1), default=500, show_default=True)
@click.option("--seed", type=int, default=1_000_000, show_default=True, help="Of the first face.")
@click.option("--psi", type=float, default=0.7, show_default=True, help="Truncation of w.")
@bundle_option
def generate_command(
    out: Path, train: int, val: int, seed: int, psi: float, bundle_name: str
) -> None:
    """Draw latents; run it again to go on after an interruption."""
    from styleclip_rt.bundle import load_bundle
    from styleclip_rt.pictures import save_png
    from styleclip_rt.training.latent_dataset import draw_sheet, generate

    bundle = load_bundle(bundle_name)
    generate(bundle, out, train, val, seed, psi, progress=True)
    save_png(draw_sheet(bundle, out), out / "faces.png", {})
    click.echo(f"{train} training and {val} validation faces are in {out}; see {out / 'faces.png'}")
