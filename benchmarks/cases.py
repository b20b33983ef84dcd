"""What is timed: every case is one piece of work, done by several candidates in turn.

Candidates are named by how and in what precision they work. "ours" is the package as a user runs
it; "stock" the same networks on PyTorch's own operators; "compiled" is stock under torch.compile;
"textbook" see `benchmarks.textbook`; "ONNX Runtime" and "OpenVINO" run the stock network's export.
Stock gets its best form: frozen channels-last weights, and for bf16 a network cast as a whole,
which is faster than the autocast that the editor uses; of an editing step, the networks that judge
are cast.
"""

import copy
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import networks, peers, roofline
from benchmarks.editing import Edit
from benchmarks.roofline import Work
from benchmarks.textbook import TextbookStep, TextbookStyleGAN2, clip_pixels
from benchmarks.timing import Run
from styleclip_rt import ops
from styleclip_rt.models.arcface import ArcFace
from styleclip_rt.models.clip import CLIP, VIT_B_32
from styleclip_rt.models.facenet import InceptionResnetV1
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN, SeparableConv
from styleclip_rt.models.stylegan2 import StyledConv, StyleGAN2, StyleGAN2Config
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.settings import EditSettings

Identity = ArcFace | InceptionResnetV1
FORWARD, BACKWARD = "forward", "forward + backward"
ELEMENT_SIZES = {"float32": 4, "bfloat16": 2}
PROMPT, NEUTRAL = "red lipstick", "a face"


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        subject: what runs, as a reader names it.
        task: FORWARD, BACKWARD (to the input; weights are frozen), or what else it is.
        size: pixels a side of the image.
        batch: how many at once.
        candidates: name -> what makes a candidate ready, outside the clock.
        work: dtype -> the least work, for the roofline; empty where it is not known.
    """

    subject: str
    task: str
    size: int
    batch: int
    candidates: Mapping[str, Callable[[], Run]]
    work: Mapping[str, list[Work]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Tells it from all others."""
        return f"{self.subject} {self.size}, batch {self.batch}, {self.task}"

    def within(self, precisions: Collection[str]) -> "Case":
        """The same work, without candidates in other precisions."""
        candidates = {
            name: prepare
            for name, prepare in self.candidates.items()
            if name.rsplit(" ", 1)[1] in precisions
        }
        return replace(self, candidates=candidates)


def forward(function: Callable[[Tensor], Tensor], x: Tensor) -> Run:
    """Runs without a gradient."""

    def run() -> Tensor:
        with torch.no_grad():
            return function(x)

    return run


def backward(function: Callable[[Tensor], Tensor], x: Tensor) -> Run:
    """Runs forward, then back to the gradient of half the sum of squares with respect to ``x``."""

    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        output = function(leaf)
        return torch.autograd.grad(output, leaf, output.detach())[0]

    return run


def autocast(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """As the editor draws in bf16."""

    def run(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return function(x)

    return run


def stock(run: Run) -> Run:
    """On PyTorch's own operators only."""

    def run_stock() -> object:
        with ops.standard_ops():
            return run()

    return run_stock


@dataclass(frozen=True)
class BenchmarkedNetwork:
    """A network, what is asked of it, and all ways to do it.

    Attributes:
        name: of its exported file.
        model: gives it, frozen, in float32.
        call: (model, input) -> output.
        input: gives the float32 input.
        textbook: the textbook form of ``call``, where there is one.
    """

    name: str
    model: Callable[[], nn.Module]
    call: Callable[[Any, Tensor], Tensor]
    input: Callable[[], Tensor]
    textbook: Callable[[Any, Tensor], Tensor] | None = None

    def candidates(self, task: str, *names: str) -> dict[str, Callable[[], Run]]:
        """Those of ``names`` ("ours fp32", "compiled bf16", "OpenVINO fp32", ...)."""
        return {name: functools.partial(self.prepare, task, name) for name in names}

    def prepare(self, task: str, name: str) -> Run:
        """Make one candidate ready to run.

        Raises:
            ValueError: no candidate has that name.
        """
        how, precision = name.rsplit(" ", 1)
        bf16, timed = precision == "bf16", forward if task == FORWARD else backward
        model, x = self.model(), self.input()
        if how in ("stock", "compiled"):
            model = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if bf16:
                model, x = model.to(torch.bfloat16), x.to(torch.bfloat16)
            function = functools.partial(self.call, model)
            return stock(timed(torch.compile(function) if how == "compiled" else function, x))
        if how in ("ours", "textbook"):
            call = self.call if how == "ours" else self.textbook
            assert call is not None
            function = functools.partial(call, model)
            return timed(autocast(function) if bf16 else function, x)
        if task == FORWARD and how in ("ONNX Runtime", "OpenVINO"):
            path = peers.export(self.name, model, functools.partial(self.call, model), x)
            if how == "OpenVINO":
                return peers.open_vino(path, x, torch.get_num_threads(), bf16)
            return peers.onnx_runtime(path, x, torch.get_num_threads())
        raise ValueError(f"there is no candidate {name!r} for {task}")


def stylegan2(size: int, batch: int, task: str, *others: str) -> Case:
    """Config-f from w+ to the image; ``others`` join ours and stock."""
    network = BenchmarkedNetwork(
        name=f"stylegan2-{size}-{batch}",
        model=functools.partial(networks.stylegan2, size),
        call=StyleGAN2.synthesis,
        input=lambda: networks.latents(networks.stylegan2(size), batch),
        textbook=lambda model, x: TextbookStyleGAN2(model).synthesis(x),
    )
    names = ("ours fp32", "ours bf16", "stock fp32", "stock bf16", *others)
    config = StyleGAN2Config.sized(size)
    work = {
        dtype: roofline.stylegan2_work(config, batch, element_size, task == BACKWARD)
        for dtype, element_size in ELEMENT_SIZES.items()
    }
    return Case("StyleGAN2", task, size, batch, network.candidates(task, *names), work)


def stylegan2_draft(size: int) -> Case:
    """The 1024 px network asked for a smaller image: how time grows with resolution."""
    network = BenchmarkedNetwork(
        name=f"stylegan2-1024-draft-{size}",
        model=functools.partial(networks.stylegan2, 1024),
        call=functools.partial(StyleGAN2.synthesis, resolution=size),
        input=lambda: networks.latents(networks.stylegan2(1024), 1),
    )
    names = ("ours fp32", "ours bf16", "stock fp32", "stock bf16")
    config = StyleGAN2Config(StyleGAN2Config().channels[: size.bit_length() - 2])
    work = {
        dtype: roofline.stylegan2_work(config, 1, element_size, True)
        for dtype, element_size in ELEMENT_SIZES.items()
    }
    return Case("StyleGAN2 draft", BACKWARD, size, 1, network.candidates(BACKWARD, *names), work)


def mobile_stylegan(size: int, batch: int, task: str, *others: str) -> Case:
    """The default bundle's generator, from w+."""
    network = BenchmarkedNetwork(
        name=f"mobile-stylegan-{size}-{batch}",
        model=networks.mobile_stylegan,
        call=functools.partial(MobileStyleGAN.synthesis, resolution=size),
        input=lambda: networks.latents(networks.mobile_stylegan(), batch),
    )
    names = ("ours fp32", "ours bf16", "stock fp32", "stock bf16", *others)
    candidates = network.candidates(task, *names)
    if size == 1024 and task == FORWARD:
        for name in ("OpenVINO, its own IR fp32", "OpenVINO, its own IR bf16"):
            candidates[name] = functools.partial(_own_ir, name.endswith("bf16"))
    return Case("MobileStyleGAN", task, size, batch, candidates)


def _own_ir(bf16: bool) -> Run:
    w = networks.latents(networks.mobile_stylegan(), 1)[:, 0].contiguous()
    return peers.open_vino(peers.mobile_stylegan_ir(), w, torch.get_num_threads(), bf16)


def judge(subject: str, task: str, size: int, model: Callable[[], nn.Module]) -> Case:
    """CLIP's image tower or the identity network, on pixels of its own input size."""

    def call(network: Any, x: Tensor) -> Tensor:
        x = x * 1  # The hooks that count a module's flops refuse a leaf.
        embedding: Tensor = network.vision(x) if isinstance(network, CLIP) else network(x)
        return embedding

    network = BenchmarkedNetwork(
        name=subject.lower().replace(" ", "-").replace("/", ""),
        model=model,
        call=call,
        input=lambda: torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)),
    )
    names = ["ours fp32", "ours bf16", "stock fp32", "stock bf16"]
    if task == FORWARD:
        names += ["ONNX Runtime fp32", "OpenVINO fp32"]
    return Case(subject, task, size, 1, network.candidates(task, *names))


def editing_step(size: int) -> Case:
    """Generator, ViT-B/32, IR-SE50 and Adam, as `EditSettings` has StyleCLIP's loop."""

    def prepare(how: str, precision: str) -> Run:
        model, clip = networks.stylegan2(size), networks.clip_vit_b32()
        arcface = networks.ir_se50()
        start, tokens = networks.latents(model, 1), tokenize([PROMPT, NEUTRAL])
        settings = EditSettings()
        if how == "textbook":
            textbook = TextbookStyleGAN2(model)
            step = TextbookStep(
                textbook, clip, arcface, tokens[:1], start, settings.l2, settings.id
            )
            return stock(step.step)
        identity: Identity = arcface
        if (how, precision) == ("stock", "bf16"):
            clip, identity = _cast_judges(clip, identity)
        edit = Edit(model, clip, identity, settings, start, tokens, precision)
        return edit.step if how == "ours" else stock(edit.step)

    return Case(
        "Editing step, official networks", "step", size, 1, _edits(prepare, "textbook fp32")
    )


def bundle_step() -> Case:
    """One step of an edit with the default bundle, by its own settings."""

    def prepare(how: str, precision: str) -> Run:
        bundle = networks.default_bundle()
        settings = bundle.settings
        start, tokens = networks.latents(bundle.generator, 1), tokenize([PROMPT, NEUTRAL])
        clip, identity = bundle.clip, bundle.identity
        assert identity is not None
        if (how, precision) == ("stock", "bf16"):
            clip, identity = _cast_judges(clip, identity)
        edit = Edit(bundle.generator, clip, identity, settings, start, tokens, precision)
        return edit.step if how == "ours" else stock(edit.step)

    return Case("Editing step, default bundle", "step", 256, 1, _edits(prepare))


def _cast_judges(clip: CLIP, identity: Identity) -> tuple[CLIP, Identity]:
    """Copies with their weights in bfloat16, which PyTorch's autocast rounds anew in every call."""
    clip, identity = copy.copy(clip), copy.deepcopy(identity).to(torch.bfloat16)
    clip._modules = {**clip._modules, "vision": copy.deepcopy(clip.vision).to(torch.bfloat16)}
    return clip, identity


def whole_edit() -> Case:
    """`Editor.edit` with the default bundle: text to pictures, networks loaded."""

    def prepare(how: str, precision: str) -> Run:
        from styleclip_rt.runtime.editor import Editor

        editor = Editor(networks.default_bundle(), "cpu", precision)

        def edit() -> object:
            return editor.edit(PROMPT, seed=7, plain=True)

        return edit if how == "ours" else stock(edit)

    return Case("Whole edit, default bundle", "edit", 1024, 1, _edits(prepare))


def _edits(prepare: Callable[[str, str], Run], *others: str) -> dict[str, Callable[[], Run]]:
    names = ("ours fp32", "ours bf16", "stock fp32", "stock bf16", *others)
    return {name: functools.partial(prepare, *name.split()) for name in names}


Layer = Callable[[Any, Tensor, torch.dtype], Tensor]
"""(module, activation, dtype of what else it takes) -> activation."""


def op(
    subject: str,
    task: str,
    shape: tuple[int, int, int, int],
    function: Callable[[Tensor], Tensor] | tuple[Callable[[], nn.Module], Layer],
    moved: float,
    size: int,
    flops: float = 0.0,
    textbook: Callable[[Tensor], Tensor] | None = None,
) -> Case:
    """One operator on a channels-last activation; or one layer, as its network runs it: for bf16
    under autocast with ours, and cast as a whole with stock.

    ``moved``: numbers read and written at least; ``flops``: in its convolution.
    """

    def prepare(how: str, precision: str) -> Run:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        random = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=random).to(dtype, memory_format=torch.channels_last)
        timed = forward if task == FORWARD else backward
        if how == "textbook":
            assert textbook is not None
            return timed(textbook, x)
        if isinstance(function, tuple):
            module, layer = function[0](), function[1]
            if how == "stock":
                module = copy.deepcopy(module).to(dtype)
                return stock(timed(lambda x: layer(module, x, dtype), x))

            def run(x: Tensor) -> Tensor:
                return layer(module, x, torch.float32)

            return timed(autocast(run) if precision == "bf16" else run, x)
        return timed(function, x) if how == "ours" else stock(timed(function, x))

    work = {dtype: [Work(flops, moved * each)] for dtype, each in ELEMENT_SIZES.items()}
    others = ("textbook fp32",) if textbook else ()
    return Case(subject, task, size, shape[0], _edits(prepare, *others), work)


def op_cases() -> list[Case]:
    """Every operator at the size where StyleGAN2 at 1024 px, or MobileStyleGAN, spends most."""
    kernel = ops.resample_kernel()
    bias, pixels = torch.linspace(-1, 1, 32), 1024**2
    clip = VIT_B_32

    def style(channels: int, dtype: torch.dtype) -> Tensor:
        return torch.linspace(0.5, 1.5, channels).to(dtype)[None]

    def styled(index: int) -> tuple[Callable[[], nn.Module], Layer]:
        def layer(conv: StyledConv, x: Tensor, dtype: torch.dtype) -> Tensor:
            out: Tensor = conv(x, style(x.shape[1], dtype), conv.noise)[0]
            return out

        return lambda: networks.stylegan2(1024).convs[index], layer

    def separable(conv: SeparableConv, x: Tensor, dtype: torch.dtype) -> Tensor:
        out: Tensor = conv(x, style(x.shape[1], dtype))
        return out

    def separable_up(conv: SeparableConv, x: Tensor, dtype: torch.dtype) -> Tensor:
        out: Tensor = conv(x, style(x.shape[1] // 4, dtype), style(x.shape[1], dtype))
        return out

    def last_block() -> Any:
        return networks.mobile_stylegan().blocks[-1]

    def resampled(x: Tensor) -> Tensor:
        pixels: Tensor = area_resample(x, 224, mean=clip.mean, std=clip.std)
        return pixels

    cases = []
    for task, passes in ((FORWARD, 1), (BACKWARD, 2)):
        cases += [
            op(
                "bias_act", task, (1, 32, 1024, 1024), lambda x: ops.bias_act(x, bias.to(x.dtype)),
                32 * pixels * (2 if passes == 1 else 5), 1024,
            ),
            op(
                "upfirdn2d, blur", task, (1, 32, 1025, 1025),
                lambda x: ops.upfirdn2d(x, kernel, padding=(1, 1, 1, 1), gain=4.0),
                2 * passes * 32 * pixels, 1024,
            ),
            op(
                "upfirdn2d, up 2", task, (1, 32, 512, 512),
                lambda x: ops.upfirdn2d(x, kernel, up=2, padding=(2, 1, 2, 1), gain=4.0),
                1.25 * passes * 32 * pixels, 1024,
            ),
            op(
                "idwt2d", task, (1, 256, 256, 256), ops.haar_idwt2d,
                2 * passes * 64 * pixels / 4, 512,
            ),
            op(
                "area_resample", task, (1, 3, 1024, 1024), resampled,
                passes * 3 * (pixels + 224**2), 1024,
                textbook=lambda x: clip_pixels(x, clip),
            ),
            op(
                "styled convolution 32-32", task, (1, 32, 1024, 1024), styled(16),
                4 * 32 * pixels + (5 * 32 * pixels if passes == 2 else 0), 1024,
                flops=passes * 2 * 9 * 32 * 32 * pixels,
            ),
            op(
                "styled convolution 64-32, up", task, (1, 64, 512, 512), styled(15),
                3.5 * 32 * pixels + (4.5 * 32 * pixels if passes == 2 else 0), 1024,
                flops=passes * 2 * 9 * 64 * 32 * pixels / 4,
            ),
            op(
                "separable convolution 64-64", task, (1, 64, 512, 512),
                (lambda: last_block().conv2, separable),
                (2 if passes == 1 else 5) * 64 * pixels / 4, 512,
                flops=passes * 2 * (9 + 64) * 64 * pixels / 4,
            ),
            op(
                "separable convolution 32-64, up", task, (1, 128, 256, 256),
                (lambda: last_block().conv1, separable_up),
                (1.5 if passes == 1 else 4) * 64 * pixels / 4, 512,
                flops=passes * 2 * (9 + 64) * 32 * pixels / 4,
            ),
        ]  # fmt: skip
    return cases


def all_cases() -> list[Case]:
    """In the order of the report: what the goals are about comes first."""
    compiled = ("compiled fp32", "compiled bf16")
    peer = ("ONNX Runtime fp32", "OpenVINO fp32", "OpenVINO bf16")
    textbook = ("textbook fp32", "textbook bf16")
    return [
        stylegan2(1024, 1, FORWARD, *textbook, *compiled, *peer),
        stylegan2(1024, 1, BACKWARD, "textbook fp32", *compiled),
        editing_step(1024),
        mobile_stylegan(1024, 1, FORWARD, "compiled fp32", *peer),
        mobile_stylegan(1024, 1, BACKWARD),
        mobile_stylegan(256, 1, FORWARD, *peer),
        mobile_stylegan(256, 1, BACKWARD),
        bundle_step(),
        whole_edit(),
        stylegan2(256, 1, FORWARD, *textbook, *peer),
        stylegan2(256, 1, BACKWARD, *textbook),
        stylegan2(256, 4, FORWARD, "textbook fp32"),
        stylegan2(256, 4, BACKWARD, "textbook fp32"),
        stylegan2(1024, 4, BACKWARD),
        *(stylegan2_draft(size) for size in (64, 128, 256, 512)),
        judge("CLIP ViT-B/32", FORWARD, 224, networks.clip_vit_b32),
        judge("CLIP ViT-B/32", BACKWARD, 224, networks.clip_vit_b32),
        judge("IR-SE50", FORWARD, 112, networks.ir_se50),
        judge("IR-SE50", BACKWARD, 112, networks.ir_se50),
        *op_cases(),
    ]
