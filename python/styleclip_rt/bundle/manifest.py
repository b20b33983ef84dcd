"""``manifest.json``: what a bundle is made of, and the settings tuned for it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from styleclip_rt.errors import BundleError

FORMAT = "styleclip-rt-bundle/1"


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle.

    Attributes:
        file: its name, beside the manifest; or, without a hash, among those that this package
            ships.
        sha256: in hexadecimal, or None for a shipped file.
    """

    file: str
    sha256: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        name: of the bundle.
        summary: one or two sentences for a listing.
        files: role (generator, clip, identity, draft_head, known_tokens) -> file.
        defaults: settings of an edit tuned for this bundle, by the names that
            `styleclip_rt.editing.settings.EditSettings` gives them.
        licences: role -> licence and origin.
    """

    name: str
    summary: str = ""
    files: Mapping[str, BundleFile] = field(default_factory=dict)
    defaults: Mapping[str, str | float | bool] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        files = {
            role: {"file": entry.file} | ({"sha256": entry.sha256} if entry.sha256 else {})
            for role, entry in self.files.items()
        }
        content = {
            "format": FORMAT,
            "name": self.name,
            "summary": self.summary,
            "files": files,
            "defaults": dict(self.defaults),
            "licences": dict(self.licences),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` in ``folder``.

    Raises BundleError if it is missing, or is not a manifest that this version can read.
    """
    return read_manifest_file(folder / "manifest.json")


def read_manifest_file(path: Path) -> Manifest:
    """Read a manifest wherever it lies; errors as `read_manifest`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); name a folder made by 'styleclip bundle'."
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON ({error}); create the bundle again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BundleError(
            f"{path} is not a {FORMAT} manifest; create the bundle again with this version."
        )
    try:
        return Manifest(
            name=_text(content["name"]),
            summary=_text(content.get("summary", "")),
            files={role: _bundle_file(value) for role, value in content["files"].items()},
            defaults={key: _setting(value) for key, value in content["defaults"].items()},
            licences={role: _text(value) for role, value in content["licences"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} is damaged ({error}); create the bundle again.") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _setting(value: object) -> str | float | bool:
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is no text, number, true or false")
    return value


def _bundle_file(value: Mapping[str, object]) -> BundleFile:
    name = _text(value["file"])
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is not a plain file name")
    sha256 = value.get("sha256")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", _text(sha256)):
        raise ValueError(f"{sha256!r} is not a SHA-256")
    return BundleFile(name, None if sha256 is None else _text(sha256))
