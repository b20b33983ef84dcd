"""``styleclip invert``."""

from pathlib import Path

import click

from styleclip_rt.cli.options import Faces, bundle_option, device_option


@click.command()
@click.argument("photograph", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--face", "which", help="largest, all, or 1 for the leftmost.")
@click.option("--quality", help="fast or best.")
@click.option("--show", is_flag=True, help="Only draw the faces that are found, as found.png.")
@device_option
@bundle_option
def invert(
    photograph: Path,
    out: Path,
    which: str | None,
    quality: str | None,
    show: bool,
    device: str,
    bundle_name: str,
) -> None:
    """Find the face in a PHOTOGRAPH and the latent that draws it; commands take the folder with
    --image, and edit it without inverting it again."""
    from styleclip_rt.files import check_writable
    from styleclip_rt.photos import draw_found, find_faces, read_picture
    from styleclip_rt.pictures import save_png

    check_writable(out)
    if show:
        picture = read_picture(photograph)
        found = find_faces(picture)
        save_png(draw_found(picture, found), out / "found.png", {})
        click.echo(f"{len(found)} faces: {out / 'found.png'}")
        return
    from styleclip_rt.runtime.torch_networks import TorchNetworks

    networks = TorchNetworks(bundle_name, device)
    faces = Faces((), None, False, photograph, which, quality, None).photographs(networks)
    for number, face in enumerate(faces, 1):
        folder = out if len(faces) == 1 else out / f"face{number}"
        face.save(folder, networks.draw(face.latent[None])[0].cpu())
        click.echo(f"{photograph}: {folder / 'comparison.png'}")
