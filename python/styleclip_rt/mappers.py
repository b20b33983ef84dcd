"""The mappers that ship with the package, by name."""

from pathlib import Path

from styleclip_rt.errors import StyleClipError

_SHIPPED = Path(__file__).parent / "weights" / "mappers"


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
