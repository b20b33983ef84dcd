"""What can be said of CUDA graphs without a GPU: that they may be recorded, and how they are used.

The graph itself is replaced by one that runs the function again on the same memory.
"""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_

from styleclip_rt.runtime.cuda_graph import CudaGraph
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.results import EditResult
from styleclip_rt.runtime.torch_edits import TorchRun
from tests.tiny import tiny_bundle


class StandInGraph:
    """Runs what was recorded again, into the memory that the recording returned."""

    def __init__(self) -> None:
        self.recorded: Callable[[], object] | None = None
        self.replays = 0

    def replay(self) -> None:
        assert self.recorded is not None
        self.replays += 1
        self.recorded()


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[StandInGraph]:
    """Every graph that was made; torch.cuda is replaced for the test."""
    made: list[StandInGraph] = []

    class Stream:
        def wait_stream(self, other: object) -> None:
            pass

    def new_graph() -> StandInGraph:
        made.append(StandInGraph())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", new_graph)

    original = CudaGraph._record

    def record(self: CudaGraph[object], inputs: tuple[Tensor, ...]) -> None:
        original(self, inputs)

        def again() -> None:
            tree_map_(
                lambda held, new: held.copy_(new), self._outputs, self._function(*self._inputs)
            )

        made[-1].recorded = again

    monkeypatch.setattr(CudaGraph, "_record", record)
    return made


def test_repeats_the_function_without_touching_earlier_results(graphs: list[StandInGraph]) -> None:
    def function(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"sum": x + y, "product": x * y}

    call = CudaGraph(function)
    inputs = [(torch.randn(3), torch.randn(3)) for _ in range(6)]
    results = [call(*each) for each in inputs]
    for each, result in zip(inputs, results, strict=True):
        for name, expected in function(*each).items():
            assert torch.equal(result[name], expected)
    assert [graph.replays for graph in graphs] == [4]


def test_refuses_other_shapes_than_recorded(graphs: list[StandInGraph]) -> None:
    call = CudaGraph(torch.neg)
    for _ in range(3):
        call(torch.zeros(3))
    with pytest.raises(ValueError, match=r"float32 \[3\], not for torch.float32 \[4\]"):
        call(torch.zeros(4))


@pytest.mark.parametrize("space", ["z", "w+", "s"])
def test_edits_of_one_kind_are_the_same_through_one_graph(
    space: str, graphs: list[StandInGraph]
) -> None:
    editor = Editor(tiny_bundle(), device="cpu", precision="fp32")
    settings = {"space": space, "views": 2, "preserve": 1.0}
    edits = [("red hair", 3, 7, 0.1), ("smiling", 4, 5, 0.05)]

    def run() -> list[EditResult]:
        return [
            editor.edit(prompt, seed=seed, steps=steps, id=id, **settings)
            for prompt, seed, steps, id in edits
        ]

    eager = run()
    editor.engine.uses_graphs = True
    for one, two in zip(eager, run(), strict=True):
        assert torch.equal(one.latent, two.latent)
        assert one.history == two.history
    assert [graph.replays for graph in graphs] == [5 + 5]


def test_faces_of_other_kinds_share_a_graph(graphs: list[StandInGraph]) -> None:
    editor = Editor(tiny_bundle(), device="cpu", precision="fp32")
    latent = editor.edit("red hair", seed=4).latent
    expected = editor.edit("old", latent=latent)
    editor.engine.uses_graphs = True
    editor.edit("red hair", seed=3)
    found = editor.edit("old", latent=latent)
    editor.edit("red hair", seed=5)
    assert torch.equal(found.latent, expected.latent)
    assert [graph.replays for graph in graphs] == [1 + 3 + 3]
    styles = editor.edit("red hair", seed=3, space="s").latent
    editor.edit("old", latent=styles, space="s")
    editor.edit("old", seed=3, space="s")


def test_graphs_of_other_kinds_take_turns(graphs: list[StandInGraph]) -> None:
    editor = Editor(tiny_bundle(), device="cpu", precision="fp32")
    editor.engine.uses_graphs = True
    for views in (1, 2, 3, 4, 5, 1):
        editor.edit("red hair", seed=0, steps=3, views=views)
    assert [graph.replays for graph in graphs] == [1] * 6


class HostTraffic(TorchFunctionMode):
    """Notes every call that would copy from the host: tensors made of numbers, numbers assigned to
    tensors, lists as indices, and tensors of the host beside those of the device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.found = device, []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs, out))
        devices = {leaf.device.type for leaf in leaves if isinstance(leaf, Tensor)}
        made = func in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        listed = func is Tensor.__getitem__ and any(isinstance(i, list) for i in _parts(args[1]))
        assigned = func is Tensor.__setitem__ and not isinstance(args[2], Tensor)
        if made or listed or assigned or {"cpu", self.device} <= devices:
            self.found.append(torch.overrides.resolve_name(func))
        return out


def _parts(index):  # type: ignore[no-untyped-def]
    return index if isinstance(index, tuple) else (index,)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, [0, 2]],
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.tensor([1], device=x.device),
        lambda x: torch.zeros(3).to(x.device),
        lambda x: x.index_select(1, torch.zeros(1, dtype=torch.long)),
        lambda x: x.__setitem__((0, 0), 1),
    ],
)
def test_host_traffic_is_noticed(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.zeros(2, 3, device="meta")
    with contextlib.suppress(RuntimeError), HostTraffic("meta") as traffic:
        function(x)
    assert traffic.found


@pytest.mark.parametrize(
    ("space", "layers"),
    [("z", "fine"), ("w", "fine"), ("w+", "coarse,middle,fine"), ("w+", "fine"), ("s", "fine")],
)
def test_a_step_stays_on_its_device(
    space: str, layers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph may not wait for the host. The meta device has no data to wait for, so that a step
    that asks for a value fails on it, and one that copies from the host shows."""
    editor = Editor(tiny_bundle(), device="cpu", precision="fp32")
    settings = {"space": space, "layers": layers, "views": 2, "preserve": 1.0, "id": 1.0}
    run = _run_of(editor, monkeypatch, settings)
    _move(run, "meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    with HostTraffic("meta") as traffic:
        outputs = run.plain_step(run.state, run.constants, run.schedule[0], run.views[0])
    assert traffic.found == []
    assert {leaf.device.type for leaf in tree_leaves(outputs)} == {"meta"}


def _run_of(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> TorchRun:
    """The inside of an edit that has made one step."""
    runs: list[TorchRun] = []
    original = TorchRun.step

    def kept(self: TorchRun, step: int) -> Tensor:
        runs.append(self)
        return original(self, step)

    monkeypatch.setattr(TorchRun, "step", kept)
    editor.edit("red hair", seed=3, steps=1, **settings)
    return runs[0]


def _move(run: TorchRun, device: str) -> None:
    """Every network and constant of a run."""
    networks = run.networks
    for network in (networks.generator, networks.clip, networks.identity):
        network.to(device)
    for holder in (run.space, run):
        for name, value in vars(holder).items():
            leaves = tree_leaves(value)
            if any(isinstance(leaf, Tensor) for leaf in leaves):
                setattr(holder, name, _to(value, device))
    if run.space.whitening is not None:
        run.space.whitening.axes = run.space.whitening.axes.to(device)


def _to(value, device):  # type: ignore[no-untyped-def]
    return torch.utils._pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), value)
