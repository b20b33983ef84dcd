"""``styleclip invert``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from styleclip_rt.cli.options import Faces, bundle_option, device_option, engine_options

if TYPE_CHECKING:
    from styleclip_rt.runtime.networks import Networks


@click.command()
@click.argument("photograph", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option(
    "--face", "which", multiple=True, help="largest, all, or 1 for the leftmost; repeatable."
)
@click.option("--quality", help="fast or best.")
@click.option("--show", is_flag=True, help="Only draw the faces that are found, as found.png.")
@engine_options
@device_option
@bundle_option
def invert(
    photograph: Path,
    out: Path,
    which: tuple[str, ...],
    quality: str | None,
    show: bool,
    engine: str,
    exports: Path | None,
    device: str,
    bundle_name: str,
) -> None:
    """Find the face in a PHOTOGRAPH and the latent that draws it; commands take the folder with
    --image, and edit it without inverting it again."""
    from styleclip_rt.files import check_spared, check_writable
    from styleclip_rt.photos import draw_found, find_faces, read_picture
    from styleclip_rt.pictures import save_png
    from styleclip_rt.runtime.starts import residues

    check_writable(out)
    check_spared(photograph, out, ("found.png",) if show else ("found.png", "comparison.png"))
    if show:
        picture = read_picture(photograph)
        photos = None
        if engine != "torch":
            photos = _networks(bundle_name, device, engine, exports).photos
        found = find_faces(picture, photos)
        save_png(draw_found(picture, found), out / "found.png", {})
        click.echo(f"{len(found)} faces: {out / 'found.png'}")
        return
    networks = _networks(bundle_name, device, engine, exports)
    named = Faces((), None, False, photograph, which, quality, None)
    named.check()
    faces = named.photographs(networks)
    for number, face in enumerate(faces, 1):
        folder = out if len(faces) == 1 else out / f"face{number}"
        drawn = networks.draw(face.latent[None], residue=residues([face.start]))
        face.save(folder, drawn[0])
        click.echo(f"{photograph}: {folder / 'comparison.png'}")


def _networks(bundle_name: str, device: str, engine: str, exports: Path | None) -> "Networks":
    if engine == "torch":
        from styleclip_rt.runtime.torch_networks import TorchNetworks

        return TorchNetworks(bundle_name, device)
    from styleclip_rt.folders import exports_folder
    from styleclip_rt.runtime.exported_networks import ExportedNetworks

    folder = exports_folder(bundle_name, exports)
    return ExportedNetworks(folder, ("mapping",), engine, device)
