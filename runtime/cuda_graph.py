"""A function of tensors, recorded once as a CUDA graph and then replayed.

A step of an edit queues thousands of small kernels, and a fast GPU waits for Python to queue them.
A graph queues them all at once.
"""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only, tree_structure

Outputs = TypeVar("Outputs")

WARM_UP_CALLS = 2


class CudaGraph(Generic[Outputs]):
    """Calls `function` like the function itself, from the third call on as one graph.

    The first calls run as they are, on a stream of their own, and let libraries choose algorithms
    and allocate workspaces; none of the work is thrown away. Results are copied out of the graph's
    memory, so that a call does not change what an earlier one returned.

    Args:
        function: of pytrees of tensors on one CUDA device, returning another. It must do the same
            whatever the data: no synchronisation, no copy between host and device, no change of an
            input. What else it reads must stay where it is while this object lives.

    Threads may share it: calls take turns.
    """

    def __init__(self, function: Callable[..., Outputs]) -> None:
        self._function = function
        self._warm_up_calls = WARM_UP_CALLS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Any, ...] = ()
        self._outputs: Outputs
        self._turn = threading.Lock()

    def __call__(self, *inputs: Any) -> Outputs:
        """`function(*inputs)`; every call takes the same structure, shapes and dtypes.

        Raises:
            ValueError: others than those that were recorded.
        """
        with self._turn:
            if self._warm_up_calls > 0:
                self._warm_up_calls -= 1
                return self._on_a_side_stream(inputs)
            if self._graph is None:
                self._record(inputs)
            self._fill(inputs)
            assert self._graph is not None
            self._graph.replay()
            return self._copied(self._outputs)

    def _on_a_side_stream(self, inputs: tuple[Any, ...]) -> Outputs:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            outputs = self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        # The outputs' memory belongs to the side stream; a copy belongs to the caller's.
        return self._copied(outputs)

    @staticmethod
    def _copied(outputs: Outputs) -> Outputs:
        copies: Outputs = tree_map(torch.clone, outputs)
        return copies

    def _record(self, inputs: tuple[Any, ...]) -> None:
        self._inputs = tree_map_only(Tensor, lambda x: x.detach().clone(), inputs)
        graph = torch.cuda.CUDAGraph()
        # Other threads, say of a service, may go on using the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._outputs = self._function(*self._inputs)
        self._graph = graph

    def _fill(self, inputs: tuple[Any, ...]) -> None:
        if tree_structure(inputs) != tree_structure(self._inputs):
            raise ValueError("the graph was recorded for inputs of another structure")
        held, new = (
            [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
            for values in (self._inputs, inputs)
        )
        for old, given in zip(held, new, strict=True):
            if old.shape != given.shape or old.dtype != given.dtype:
                raise ValueError(
                    f"the graph was recorded for {old.dtype} {list(old.shape)}, "
                    f"not for {given.dtype} {list(given.shape)}"
                )
        torch._foreach_copy_(held, new)
