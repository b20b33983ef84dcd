"""Bundles on disk: listed, fetched, made and loaded.

A bundle is a folder with ``manifest.json``, weights in this package's safetensors, and a model
card. Bundles lie in the user's cache, or wherever the variable STYLECLIP_RT_CACHE says.
"""

import contextlib
import json
import os
import re
import shutil
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from torch import nn

from styleclip_rt import markdown
from styleclip_rt.bundle.download import SOURCES, fetch
from styleclip_rt.bundle.manifest import (
    BundleFile,
    Manifest,
    read_manifest,
    read_manifest_file,
)
from styleclip_rt.bundle.networks import Bundle, fitting_draft
from styleclip_rt.checkpoints import (
    draft_heads,
    load_clip,
    load_generator,
    load_identity,
    looks,
    native,
)
from styleclip_rt.errors import BundleError, StyleClipError
from styleclip_rt.files import locked, replacing, replacing_folder, sha256_of, sweep
from styleclip_rt.folders import bundles_folder, cache_folder, is_name
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.generator import Generator
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.models.stylegan2 import StyleGAN2

DEFAULT = "ffhq-mobile"
ROLES = ("generator", "clip", "identity")
DRAFT_HEAD = "draft_head"
KNOWN_TOKENS = "known_tokens"
REGION_PRIOR = "region_prior"
LOOK_DIRECTIONS = "look_directions"

_RECIPES = Path(__file__).parent / "manifests"
_SHIPPED = Path(__file__).parents[1] / "weights"
_READERS = {"generator": load_generator, "clip": load_clip, "identity": load_identity}
_NO_FACES = re.compile(
    r"stylegan[23][a-z0-9-]*-(car|cat|church|horse)|afhq|lsun|cifar|brecahad|imagenet",
    re.IGNORECASE,
)
"""In the names of files that NVIDIA published of generators that draw something else than faces."""
_OF_FACES = {"id": 0.0, "preserve": 0.0, "lead": 0.0}
"""Settings that need what is known of faces, as a bundle without faces has them."""


@dataclass(frozen=True)
class Listing:
    """A bundle as ``bundle list`` shows it."""

    name: str
    summary: str
    available: bool


def list_bundles() -> list[Listing]:
    """The bundles that can be pulled, then those that the user made."""
    listings, folder = [], bundles_folder()
    sweep(folder)
    for name in SOURCES:
        available = (folder / name / "manifest.json").is_file()
        listings.append(Listing(name, _recipe(name).summary, available))
    made = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in made:
        if path.name not in SOURCES and is_name(path.name) and (path / "manifest.json").is_file():
            with contextlib.suppress(BundleError):
                listings.append(Listing(path.name, read_manifest(path).summary, True))
    return listings


def load_bundle(bundle: Bundle | str | os.PathLike[str] = DEFAULT) -> Bundle:
    """Load a bundle by its name or its folder; fetch it first where that is possible and needed.
    One that is loaded already is returned as it is.

    Raises BundleError if it is unknown, broken or cannot be fetched, CheckpointError if one of
    its networks cannot be read.
    """
    if isinstance(bundle, Bundle):
        return bundle
    name = os.fspath(bundle)
    sweep(bundles_folder())
    if name in SOURCES:
        folder = pull(name)
    elif is_name(name) and (bundles_folder() / name).is_dir():
        folder = bundles_folder() / name
    elif Path(name).is_dir():
        folder = Path(name)
    else:
        known = ", ".join(listing.name for listing in list_bundles())
        raise BundleError(
            f"There is no bundle {name!r}; choose one of {known}, or make it with "
            f"'styleclip bundle create NAME --generator FILE'."
        )
    check = name not in SOURCES  # pulling has just checked the others
    if folder.parent != bundles_folder():
        return _load(folder, check)
    # So that all of it is of one making, also where another process is putting a new one in place.
    with locked(folder.parent, shared=True):
        return _load(folder, check)


def _load(folder: Path, check: bool) -> Bundle:
    manifest = read_manifest(folder)
    roles = ROLES if manifest.faces else ("generator", "clip")
    for role in roles:
        if role not in manifest.files:
            raise BundleError(f"{folder / 'manifest.json'} names no {role}; create it again.")
        entry = manifest.files[role]
        if entry.sha256 is None and not _path(folder, entry).is_file():
            raise BundleError(
                f"This installation lacks {entry.file}, the {role} of the default bundle; "
                "install the package again."
            )
    if check:
        _check_hashes(folder, manifest)
    networks = {role: _READERS[role](_path(folder, manifest.files[role])) for role in roles}
    generator = cast(StyleGAN2 | MobileStyleGAN, networks["generator"])
    if DRAFT_HEAD in manifest.files and isinstance(generator, MobileStyleGAN):
        draft_head = _path(folder, manifest.files[DRAFT_HEAD])
        generator = draft_heads.attach(generator, draft_head)
    prior = manifest.files.get(REGION_PRIOR)
    directions = manifest.files.get(LOOK_DIRECTIONS)
    return Bundle(
        manifest.name,
        manifest,
        generator,
        cast(CLIP, networks["clip"]),
        cast(ArcFace | InceptionResnetV1 | None, networks.get("identity")),
        known_tokens=_known_tokens(folder, manifest),
        region_prior=None if prior is None else looks.load_region_prior(_path(folder, prior)),
        look_directions=(
            None if directions is None else looks.load_directions(_path(folder, directions))
        ),
    )


def pull(
    name: str,
    given: Mapping[str, Path] | None = None,
    hashes: Mapping[str, str] | None = None,
) -> Path:
    """Make sure that the bundle ``name`` is in the cache, whole; return its folder.

    Fetches and converts what is missing; where all is there, it uses no network.

    Args:
        name: one of `SOURCES`.
        given: role -> weights that the user has already, in any format that a reader knows.
            They replace what is in the cache.
        hashes: role -> SHA-256 of weights to fetch, where none was published.

    Raises BundleError if the bundle is unknown or cannot be had, CheckpointError if a file
    cannot be read. What was in the cache before is then still there.
    """
    if name not in SOURCES:
        raise BundleError(f"No bundle {name!r} can be pulled; choose one of {', '.join(SOURCES)}.")
    recipe, folder = _recipe(name), bundles_folder() / name
    downloads = cache_folder() / "downloads" / name
    sweep(folder.parent)
    if not given and _up_to_date(folder, recipe):
        return folder
    with _disk_errors(downloads), locked(downloads):
        # Another process may have brought it while this one waited.
        if given or not _up_to_date(folder, recipe):
            sweep(downloads)
            _assemble(folder, recipe, _read(fetch(name, downloads, given or {}, hashes)), True)
        shutil.rmtree(downloads, ignore_errors=True)
    return folder


def looks_faceless(generator: Path) -> bool:
    """Whether a file is named as NVIDIA named its generators of cars, cats, churches and the like;
    nothing in such a file says what it draws."""
    return _NO_FACES.search(generator.name) is not None


def create(
    name: str,
    generator: Path,
    clip: Path | None = None,
    identity: Path | None = None,
    faces: bool = True,
) -> Path:
    """Make a bundle from files in any format that a reader knows; return its folder.

    Without ``clip`` or ``identity``, those of the default bundle serve; a generator that does not
    draw ``faces`` has no identity network.

    Raises BundleError if the name will not do or is taken, CheckpointError if a file cannot be
    read. Nothing is left behind then.
    """
    if not is_name(name) or name in SOURCES:
        raise BundleError(
            f"A bundle cannot be called {name!r}; use letters, digits, '.', '_' and '-', and none "
            f"of {', '.join(SOURCES)}."
        )
    if identity is not None and not faces:
        raise BundleError(
            "An identity network knows faces only; leave it out for a generator of something else."
        )
    folder = bundles_folder() / name
    taken = BundleError(f"There is a bundle {name!r} in {folder}; delete it or take another name.")
    _make_folder(folder.parent)
    sweep(folder.parent)
    if folder.exists():
        raise taken
    given = {"generator": generator, "clip": clip, "identity": identity}
    sources = {role: path for role, path in given.items() if path is not None}
    default = _recipe(DEFAULT)
    licences = {role: f"From {path.name}; its own licence holds." for role, path in sources.items()}
    shipped = [role for role in ROLES if role not in sources and (faces or role != "identity")]
    borrowed = list(shipped)
    if "clip" in shipped:
        borrowed += [KNOWN_TOKENS, *([REGION_PRIOR] if faces else [])]
    networks = _read(sources)
    tuned = default if clip is None else _recipe("ffhq-official")
    draft = fitting_draft(cast(Generator, networks["generator"]), tuned.settings.draft)
    recipe = Manifest(
        name=name,
        summary=f"Made from {', '.join(path.name for path in sources.values())}.",
        files={role: default.files[role] for role in borrowed},
        defaults={
            **tuned.defaults,
            **({"draft": draft} if "draft" in tuned.defaults else {}),
            **({} if faces else _OF_FACES),
        },
        licences=licences | {role: default.licences[role] for role in shipped},
        faces=faces,
    )
    try:
        _assemble(folder, recipe, networks, overwrite=False)
    except FileExistsError:
        raise taken from None
    return folder


def _known_tokens(folder: Path, manifest: Manifest) -> frozenset[int] | None:
    entry = manifest.files.get(KNOWN_TOKENS)
    if entry is None or not _path(folder, entry).is_file():
        return None
    path = _path(folder, entry)
    try:
        tokens = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
            raise ValueError("it is no list of whole numbers")
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read ({error}); create the bundle again.") from None
    return frozenset(tokens)


def _recipe(name: str) -> Manifest:
    """The manifest of a bundle of this package, without the files that pulling brings."""
    return read_manifest_file(_RECIPES / f"{name}.json")


def _path(folder: Path, entry: BundleFile) -> Path:
    return (folder if entry.sha256 else _SHIPPED) / entry.file


def _up_to_date(folder: Path, recipe: Manifest) -> bool:
    """Whether all that pulling brings is there; what the package says of it is then renewed."""
    installed = _intact(folder, recipe)
    if installed is None:
        return False
    # A newer package may bring other defaults for the same weights.
    _renew_texts(folder, replace(recipe, files={**installed.files, **recipe.files}))
    return True


def _intact(folder: Path, recipe: Manifest) -> Manifest | None:
    """The manifest in ``folder`` if all that pulling ``recipe`` brings is there and whole."""
    try:
        manifest = read_manifest(folder)
        _check_hashes(folder, manifest)
    except BundleError:
        return None
    return manifest if SOURCES[recipe.name].keys() <= manifest.files.keys() else None


def _check_hashes(folder: Path, manifest: Manifest) -> None:
    for role, entry in manifest.files.items():
        if entry.sha256 is None:
            continue
        path = folder / entry.file
        if not path.is_file():
            raise BundleError(f"{path}, the bundle's {role}, is missing; create it again.")
        if sha256_of(path) != entry.sha256:
            raise BundleError(
                f"{path} is not the file that the bundle was made with (its SHA-256 differs); "
                "create it again."
            )


def _read(sources: Mapping[str, Path]) -> dict[str, nn.Module]:
    return {role: _READERS[role](source) for role, source in sources.items()}


def _assemble(
    folder: Path, recipe: Manifest, networks: Mapping[str, nn.Module], overwrite: bool
) -> None:
    """Save `networks` beside ``folder``, then put the whole in its place at once.

    Raises FileExistsError if it is there and not to be overwritten, BundleError if it cannot be
    written.
    """
    with _disk_errors(folder.parent), replacing_folder(folder, overwrite) as work:
        files = dict(recipe.files)
        for role, network in networks.items():
            path = work / f"{role}.safetensors"
            native.save(network, path)
            files[role] = BundleFile(path.name, sha256_of(path))
        for name, text in _texts(work, replace(recipe, files=files)).items():
            (work / name).write_text(text, encoding="utf-8")


def _texts(folder: Path, manifest: Manifest) -> dict[str, str]:
    return {"MODEL_CARD.md": _model_card(folder, manifest), "manifest.json": manifest.to_json()}


def _renew_texts(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and the model card where they differ, each whole or not at all."""
    with _disk_errors(folder):
        for name, text in _texts(folder, manifest).items():
            path = folder / name
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                with replacing(path, BundleError) as temporary:
                    temporary.write_text(text, encoding="utf-8")


def _model_card(folder: Path, manifest: Manifest) -> str:
    rows = []
    for role, entry in sorted(manifest.files.items()):
        path = _path(folder, entry)
        if path.suffix != ".safetensors" or not path.is_file():
            continue
        architecture = native.read_metadata(path).get("architecture", "-")
        sha256 = entry.sha256 or "comes with the package"
        rows.append(markdown.line((role, architecture, _count(path), entry.file, sha256)))
    template = string.Template((_RECIPES / "MODEL_CARD.md").read_text(encoding="utf-8"))
    return template.substitute(
        name=manifest.name,
        summary=manifest.summary,
        files="\n".join(rows),
        licences="\n".join(f"- **{role}**: {text}" for role, text in manifest.licences.items()),
        defaults="\n".join(f"- {key}: {value}" for key, value in manifest.defaults.items()),
    )


def _count(path: Path) -> str:
    """How many numbers a safetensors file holds, from its header alone."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for length in tensor["shape"]:
                size *= length
            total += size
    return f"{total / 1e6:.2f} M"


def _make_folder(folder: Path) -> Path:
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (StyleClipError, FileExistsError):
        raise
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written ({error.strerror}); free some space or choose another "
            "folder with the variable STYLECLIP_RT_CACHE."
        ) from error
