"""The mappers that ship with the package, by name, and whether one serves a bundle."""

from pathlib import Path

from styleclip_rt.bundle import Bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.models.moves import fits

_SHIPPED = Path(__file__).parents[1] / "weights" / "mappers"


def shipped() -> dict[str, Path]:
    """Name -> file of every mapper in this installation."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.safetensors"))}


def find(name: str) -> Path:
    """The file of a mapper: one that ships, or a path.

    Raises:
        StyleClipError: there is no such mapper.
    """
    files = shipped()
    if name in files:
        return files[name]
    if Path(name).is_file():
        return Path(name)
    known = f"choose one of {', '.join(files)}, or" if files else "none ships with this version;"
    raise StyleClipError(f"there is no mapper {name!r}: {known} give the file of one.")


def serves(bundle: Bundle, name: str) -> bool:
    """Whether a mapper that ships was trained for the bundle's generator."""
    path = shipped().get(name)
    return path is not None and mapper_file.load(path)[1].generator == fingerprint(bundle.generator)


def load_for(bundle: Bundle, path: Path, name: str) -> mapper_file.Mapper:
    """The mapper in a file, called `name` in messages, which must serve the bundle's latents.

    Raises:
        StyleClipError: it is unreadable, or was trained for another generator.
    """
    mapper, origin = mapper_file.load(path)
    if origin.generator and origin.generator != fingerprint(bundle.generator):
        raise StyleClipError(
            f"the mapper {name!r} was trained for the generator of the bundle "
            f"{origin.bundle!r}, not for that of {bundle.name!r}: choose a mapper of this "
            "bundle or train one with `styleclip mapper train`."
        )
    if not fits(mapper, bundle.generator):
        raise StyleClipError(
            f"the mapper {name!r} does not fit the latents of {bundle.name!r}: "
            "choose a mapper of this bundle."
        )
    return mapper
