"""The exported networks of one bundle, in one folder, as functions of NumPy arrays. No torch."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from styleclip_rt import engines
from styleclip_rt.engines import Array, Engine
from styleclip_rt.errors import ExportError
from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.random_numbers import Random

PHOTOS = (
    "face_detector",
    "face_mesh",
    "person_segmenter",
    "resample",
    "warp",
    "oklab",
    "recolour",
)
"""What photographs need: the graphs of `styleclip_rt.photos.torch_photos`."""
INVERSION = (
    "invert_start",
    "invert_goal_small",
    "invert_step_small",
    "invert_goal_own",
    "invert_step_own",
    "invert_latent",
)


class ExportedNetworks:
    """Files of ``styleclip export``, loaded by name; callable from several threads.

    Args:
        folder: where they lie.
        names: those to load, e.g. "synthesis"; a network of a mapper is "smiling.mapper".
        engine: one of `engines.KINDS`.
        device: "cpu" or "cuda"; "auto" is the CPU.
        drawing: what draws: "synthesis", or "draft" for drafts.

    Raises:
        ExportError: a file is missing, broken, or of another bundle than the others.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        engine: str,
        device: str = "auto",
        drawing: str = "synthesis",
    ) -> None:
        self.folder, self._engine, self._drawing = folder, engine, drawing
        self._device = "cpu" if device == "auto" else device
        self._graphs: dict[str, Engine] = {}
        self.load(*names, drawing)

    def drawing(self, name: str) -> "ExportedNetworks":
        """The same files, drawing with another; errors are those of the class."""
        self.load(name)
        twin = copy.copy(self)
        twin._drawing = name
        return twin

    def load(self, *names: str) -> None:
        """Load further files, unless they are loaded already; errors are those of the class."""
        for name in names:
            if name not in self._graphs:
                path = engines.find(self.folder, name, self._engine)
                self._graphs[name] = engines.load(path, self._device)
        bundles = sorted({graph.info.bundle for graph in self._graphs.values()})
        if len(bundles) > 1:
            raise ExportError(
                f"the files in {self.folder} are of different bundles ({', '.join(bundles)}): "
                "export them all again."
            )
        self._check_weights("mapping", "synthesis", "draft")
        self._check_weights("edit_start", "edit_step", "edit_latent")

    def __getitem__(self, name: str) -> Engine:
        return self._graphs[name]

    @property
    def made_with(self) -> dict[str, object]:
        """Whose networks these are, and the hashes of their weights, ready for JSON."""
        infos = {name: graph.info for name, graph in sorted(self._graphs.items())}
        return {
            "bundle": next(iter(infos.values())).bundle,
            "engine": self._engine,
            "weights": {name: info.weights for name, info in infos.items()},
            "precision": {name: info.precision for name, info in infos.items()},
        }

    def run(self, network: str, **inputs: Array) -> dict[str, Array]:
        """What a network makes of `inputs`; see `engines.Engine`."""
        return self._graphs[network](inputs)

    @property
    def latent_shape(self) -> tuple[int, int]:
        """(n_latent, latent_dim) of w+."""
        (port,) = self._graphs[self._drawing].info.inputs
        _, rows, dim = port.shape
        assert isinstance(rows, int) and isinstance(dim, int)
        return rows, dim

    @property
    def context_length(self) -> int:
        """Tokens that CLIP reads of a text, its two marks among them."""
        (port,) = self._graphs["clip_text"].info.inputs
        length = port.shape[1]
        assert isinstance(length, int)
        return length

    @property
    def resolution(self) -> int:
        """Of an image, in px."""
        (port,) = self._graphs[self._drawing].info.outputs
        size = port.shape[-1]
        assert isinstance(size, int)
        return size

    @property
    def style_channels(self) -> tuple[int, ...]:
        """None: the exported graphs take w+ alone."""
        return ()

    @property
    def photos(self) -> PhotoEngine:
        """Computes on the pixels of photographs: ONNX files, which are loaded at first use, or
        PyTorch beside any other engine.

        Raises:
            ExportError: one is missing or broken.
        """
        if self._engine != "onnxruntime":
            return chosen(None)
        self.load(*PHOTOS)
        return self

    @property
    def takes_photographs(self) -> bool:
        """Whether all the files are there that photographs need, with this engine alone."""
        if self._engine != "onnxruntime":
            return False
        try:
            for name in (*PHOTOS, *INVERSION, "clip_text", "relevance"):
                engines.find(self.folder, name, self._engine)
        except ExportError:
            return False
        return True

    @property
    def fingerprint(self) -> str:
        """Of the generator; the files do not say it."""
        return ""

    def mapped(self, seeds: Sequence[int], truncation_psi: float) -> tuple[Array, Array]:
        """z and w, float32 [len(seeds), latent_dim] each, of generated faces."""
        dim = self.latent_shape[1]
        z = np.stack([Random(seed).normal(dim) for seed in seeds])
        return z, self.run("mapping", z=z, psi=np.array(truncation_psi, np.float32))["w"]

    def mean_latent(self) -> Array:
        """float32 w [latent_dim]: what truncation to nothing leaves of any face."""
        mean: Array = self.mapped([0], 0.0)[1][0]
        return mean

    def text(self, prompts: Sequence[str]) -> Array:
        """Unit text embeddings [len(prompts), D]."""
        # Known prompts of a mapper need no tokens, and a cold start no tokenizer.
        from styleclip_rt.models.tokenizer import token_rows

        tokens = np.array(token_rows(list(prompts), self.context_length), np.int64)
        return self.run("clip_text", tokens=tokens)["embedding"]

    def relevance(self, text: Array) -> Array:
        """Unit text embeddings [N, D] -> where they may change a face, [N, h, w] in [0, 1]."""
        self.load("relevance")
        return self.run("relevance", text=text)["where"][:, 0]

    @property
    def residue_shape(self) -> None:
        """None: the exported graphs draw a latent alone."""

    def draw(self, latent: Array, *, residue: Array | None = None) -> Array:
        """w+ -> images [N, 3, H, W] in [0, 1]; one at a time, to bound memory."""
        images = [
            self.run(self._drawing, w_plus=latent[i : i + 1])["image"] for i in range(len(latent))
        ]
        return np.concatenate([np.clip(image * 0.5 + 0.5, 0, 1) for image in images])

    def _check_weights(self, *names: str) -> None:
        weights = {self._graphs[name].info.weights for name in names if name in self._graphs}
        if len(weights) > 1:
            raise ExportError(
                f"{', '.join(names)} in {self.folder} were made from different weights: export "
                "them all again."
            )
