"""``styleclip bundle``: list, pull and create bundles."""

from pathlib import Path

import click

_file = click.Path(path_type=Path)


@click.group()
def bundle() -> None:
    """Bundles: one generator, CLIP and identity network under a name."""


@bundle.command("list")
def list_command() -> None:
    """Show the bundles that are here or can be pulled."""
    from styleclip_rt import bundle as bundles

    for listing in bundles.list_bundles():
        state = "here" if listing.available else "can be pulled"
        click.echo(f"{listing.name}  ({state})\n    {listing.summary}")


@bundle.command()
@click.argument("name")
@click.option("--generator", type=_file, help="Generator file that you have already.")
@click.option("--clip", type=_file, help="CLIP file that you have already.")
@click.option("--identity", type=_file, help="Identity network file that you have already.")
@click.option("--generator-sha256", help="SHA-256 of the generator, where none was published.")
def pull(
    name: str,
    generator: Path | None,
    clip: Path | None,
    identity: Path | None,
    generator_sha256: str | None,
) -> None:
    """Fetch the bundle NAME into the cache; files that you give are not fetched."""
    from styleclip_rt import bundle as bundles

    options = {"generator": generator, "clip": clip, "identity": identity}
    given = {role: path for role, path in options.items() if path is not None}
    hashes = {} if generator_sha256 is None else {"generator": generator_sha256}
    folder = bundles.pull(name, given, hashes)
    click.echo(f"{name} is in {folder}")


@bundle.command()
@click.argument("name")
@click.option("--generator", type=_file, required=True, help="StyleGAN2 or MobileStyleGAN.")
@click.option("--clip", type=_file, help="CLIP; the package's FaceCLIP without it.")
@click.option("--identity", type=_file, help="ArcFace or FaceNet; the package's without it.")
@click.option(
    "--faces/--no-faces",
    default=None,
    help="Whether the generator draws faces; yes, unless its file is named after something else.",
)
def create(
    name: str, generator: Path, clip: Path | None, identity: Path | None, faces: bool | None
) -> None:
    """Make a bundle NAME from files in any known format."""
    from styleclip_rt import bundle as bundles

    if faces is None:
        faces = identity is not None or not bundles.looks_faceless(generator)
    folder = bundles.create(name, generator, clip, identity, faces)
    if not faces:
        click.echo(
            "note: taken for a generator of something else than faces, so nothing compares persons "
            "or keeps what is not asked for, and looks of faces are off (--faces if it is one).",
            err=True,
        )
        if clip is None:
            click.echo(
                "note: this package's CLIP has seen faces only; give one that knows more with "
                "--clip FILE, say OpenAI's ViT-B/32.",
                err=True,
            )
    click.echo(f"{name} is in {folder}; use it with --bundle {name}")
