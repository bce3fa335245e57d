"""What training a stage costs, found on the meta device: nothing is allocated, no weights are read.

R resolution, C side of a crop (R without crops), L text tokens, D text width. FLOPs count a multiplication
and an addition as two."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from imagen.training.optimizers import Adafactor, MakeOptimizer, factored_dims
from imagen.training.stage import Stage

GB = 1e9


@dataclass(frozen=True)
class Cost:
    """Of one stage, in numbers (of float32 entries), FLOPs and bytes.

    `parameters`; `optimizer_state`, numbers it keeps; `largest_block`, parameters of the largest block (what
    FSDP gathers at a time). `sample_flop`: one forward pass of one picture, whole, as in sampling.
    `step_flop`: forward and backward of one training picture (cropped where the stage trains on crops).
    `activations`, `checkpointed`: bytes that one training picture keeps for the backward pass in float32, all
    of it or with blocks computed again."""

    parameters: int
    optimizer_state: int
    largest_block: int
    sample_flop: int
    step_flop: int
    activations: int
    checkpointed: int


def measure(stage: Stage, tokens: int = 32) -> Cost:
    """The cost of a stage whose network lies on the meta device, with captions of `tokens` tokens.

    The backward pass counts twice the forward one, which is exact for convolutions and matrix products but
    the first; with `checkpointing` the forward pass counts once more."""
    net: Any = stage.denoiser.net
    side = stage.lowres.crop if stage.lowres and stage.lowres.crop else stage.resolution
    again = net.checkpointing
    net.checkpointing = False
    kept = Kept(net)
    train_flop = forward_flop(stage, side, tokens, kept)
    net.checkpointing = again
    with torch.no_grad():
        sample_flop = (
            train_flop if side == stage.resolution else forward_flop(stage, stage.resolution, tokens)
        )
    return Cost(
        parameters=sum(p.numel() for p in net.parameters()),
        optimizer_state=optimizer_state(stage.make_optimizer, net),
        largest_block=max(sum(p.numel() for p in block.parameters()) for block in kept.blocks),
        sample_flop=sample_flop,
        step_flop=train_flop * (4 if again else 3),
        activations=kept.total,
        checkpointed=kept.checkpointed,
    )


def forward_flop(stage: Stage, side: int, tokens: int, kept: "Kept | None" = None) -> int:
    """FLOPs of the network for one picture of `side` x `side`, reading the text included."""
    net: Any = stage.denoiser.net
    with torch.device("meta"):
        z, level = torch.empty(1, 3, side, side), torch.empty(1)
        text = torch.empty(1, tokens, net.text_dim), torch.ones(1, tokens, dtype=torch.bool)
    lowres = (z, level) if stage.lowres else ()
    counter = FlopCounterMode(display=False)
    with counter, kept.watching() if kept else torch.no_grad():
        net(z, level, net.text(*text), *lowres)
    return counter.get_total_flops()


def optimizer_state(make: MakeOptimizer, net: nn.Module) -> int:
    """Numbers that the optimizer keeps for the parameters of `net`: one moment, factored, for Adafactor, else
    two moments."""
    optimizer = make([nn.Parameter(torch.zeros(1))])
    shapes = [p.shape for p in net.parameters()]
    if not isinstance(optimizer, Adafactor):
        return 2 * sum(shape.numel() for shape in shapes)
    smallest, total = optimizer.defaults["min_dim_size_to_factor"], 0
    for shape in shapes:
        dims = factored_dims(shape, smallest)
        total += sum(shape.numel() // shape[d] for d in dims) if dims else shape.numel()
    return total


class Kept:
    """Counts the bytes that autograd saves in a forward pass, each storage once, and how they fall on the
    network's blocks."""

    def __init__(self, net: nn.Module) -> None:
        self.blocks = [
            m
            for name, m in net.named_modules()
            if name.split(".")[0] in ("down", "middle", "up") and name.count(".") == 1
        ]
        self.weights = {p.untyped_storage()._cdata for p in net.parameters()}
        self.saved: dict[int, tuple[Any, int | None]] = {}
        self.inputs: dict[int, Any] = {}
        self.current: int | None = None

    @property
    def total(self) -> int:
        """Bytes kept without checkpointing."""
        return sum(storage.nbytes() for storage, _ in self.saved.values())

    @property
    def checkpointed(self) -> int:
        """Bytes kept when each block keeps its inputs alone, with those of the block that is being computed
        again."""
        outside = {k: s for k, (s, block) in self.saved.items() if block is None} | self.inputs
        of_block = [
            sum(s.nbytes() for s, at in self.saved.values() if at == number)
            for number in range(len(self.blocks))
        ]
        return sum(storage.nbytes() for storage in outside.values()) + max(of_block)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch one forward pass."""
        handles = [
            handle
            for number, block in enumerate(self.blocks)
            for handle in (
                block.register_forward_pre_hook(self._entering(number)),
                block.register_forward_hook(self._leave),
            )
        ]
        try:
            with (
                torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor),
                FusedAttention(self),
            ):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def keep(self, tensor: Tensor) -> None:
        """One more tensor that the backward pass will want."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self.weights:
            self.saved.setdefault(storage._cdata, (storage, self.current))

    def _pack(self, tensor: Tensor) -> Tensor:
        self.keep(tensor)
        return tensor

    def _entering(self, number: int) -> Callable[..., None]:
        def enter(block: nn.Module, args: tuple[Any, ...]) -> None:
            self.current = number
            for tensor in args:
                if isinstance(tensor, Tensor):
                    self.inputs[tensor.untyped_storage()._cdata] = tensor.untyped_storage()

        return enter

    def _leave(self, *_: Any) -> None:
        self.current = None


class FusedAttention(TorchFunctionMode):
    """On the meta device attention is written out and would keep its scores; the kernels that train keep its
    inputs and its output alone."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
            out = func(*args, **(kwargs or {}))
        for tensor in (*args[:3], out):
            self.kept.keep(tensor)
        return out


@dataclass(frozen=True)
class Memory:
    """Bytes a device. `activations` of its micro-batch; `gathered`: what the strategy and mixed precision
    keep besides."""

    weights: float
    gradients: float
    optimizer: float
    ema: float
    gathered: float
    activations: float

    @property
    def total(self) -> float:
        """Bytes in all."""
        return self.fixed + self.activations

    @property
    def fixed(self) -> float:
        """Bytes that do not grow with the micro-batch."""
        return self.weights + self.gradients + self.optimizer + self.ema + self.gathered


def memory(cost: Cost, batch: int, devices: int, sharded: bool, half: bool, checkpointing: bool) -> Memory:
    """Memory a device for a micro-batch of `batch` on each of `devices`.

    Weights, gradients, moments and averages are float32. `sharded` (FSDP): each device keeps its share, and
    gathers two blocks at a time; otherwise each keeps all (DDP), and gradients once more in the buckets of
    the all-reduce. `half`: products in 16 bits, whose cast weights are kept, and half the activations."""
    share = 1 / devices if sharded else 1.0
    held = 4 * cost.parameters * share
    gathered = 2 * cost.parameters if half and not sharded else 0
    gathered += 2 * 4 * cost.largest_block if sharded else 4 * cost.parameters * (devices > 1)
    kept = cost.checkpointed if checkpointing else cost.activations
    return Memory(
        held, held, 4 * cost.optimizer_state * share, held, gathered, batch * kept * (0.5 if half else 1.0)
    )
