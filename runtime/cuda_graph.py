"""A function of tensors, recorded once as a CUDA graph and then replayed.

A step of an edit queues thousands of small kernels, and a fast GPU waits for Python to queue them.
A graph queues them all at once.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

Outputs = TypeVar("Outputs")

WARM_UP_CALLS = 2


class CudaGraph(Generic[Outputs]):
    """Calls `function` like the function itself, from the third call on as one graph.

    The first calls run as they are, on a stream of their own, and let libraries choose algorithms
    and allocate workspaces; none of the work is thrown away. Results are copied out of the graph's
    memory, so that a call does not change what an earlier one returned.

    Args:
        function: of tensors on one CUDA device, returning a pytree of tensors. It must do the same
            whatever the data: no synchronisation, no copy between host and device, no change of an
            input. What else it reads must stay where it is while this object lives.
    """

    def __init__(self, function: Callable[..., Outputs]) -> None:
        self._function = function
        self._warm_up_calls = WARM_UP_CALLS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._outputs: Outputs

    def __call__(self, *inputs: Tensor) -> Outputs:
        """`function(*inputs)`; every call takes the same shapes and dtypes.

        Raises:
            ValueError: shapes or dtypes other than those that were recorded.
        """
        if self._warm_up_calls > 0:
            self._warm_up_calls -= 1
            return self._on_a_side_stream(inputs)
        if self._graph is None:
            self._record(inputs)
        self._fill(inputs)
        assert self._graph is not None
        self._graph.replay()
        return self._copied(self._outputs)

    def _on_a_side_stream(self, inputs: tuple[Tensor, ...]) -> Outputs:
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

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = [each.detach().clone() for each in inputs]
        graph = torch.cuda.CUDAGraph()
        # Other threads, say of a service, may go on using the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._outputs = self._function(*self._inputs)
        self._graph = graph

    def _fill(self, inputs: tuple[Tensor, ...]) -> None:
        for held, new in zip(self._inputs, inputs, strict=True):
            if held.shape != new.shape or held.dtype != new.dtype:
                raise ValueError(
                    f"the graph was recorded for {held.dtype} {list(held.shape)}, "
                    f"not for {new.dtype} {list(new.shape)}"
                )
            held.copy_(new)
