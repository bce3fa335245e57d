"""Our two networks as contestants, with the memory settings of imagen-train and imagen-sample; `python benchmarks/ours.py --profile` says where their time goes."""

import argparse
from collections import defaultdict

import torch
from measure import Contestant, Step
from setting import GUIDANCE, TEXT_DIM, Setting, precision, tail
from setting import base as base_setting
from setting import efficient as efficient_setting
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from imagen.conditioning import Cond
from imagen.diffusion.denoiser import Denoiser
from imagen.diffusion.guidance import guide
from imagen.diffusion.loss import Loss
from imagen.diffusion.schedule import CosineSchedule
from imagen.diffusion.thresholding import Dynamic
from imagen.nn import EfficientUNet, UNet
from imagen.programs.allocation import keep_large_blocks

SCHEDULE = CosineSchedule()


def contestant(
    name: str, network: str, net: nn.Module, s: Setting, bf16: bool = False, compiled: bool = False
) -> Contestant:
    """Training: forward, loss, backward, AdamW. Guided: one doubled evaluation and dynamic thresholding,
    all that a sampler calls; the text is read beforehand. `compiled` is an extra."""
    keep_large_blocks()
    net = net.to(memory_format=torch.channels_last)
    if compiled:
        net.compile()
    denoiser, loss = Denoiser(net, predict="eps"), Loss(SCHEDULE)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    cond = Cond(s.text, s.mask, s.lowres, None if s.level is None else SCHEDULE(s.level))
    logsnr = torch.tensor(0.5)
    guided: list = []

    def train() -> None:
        with precision(bf16):
            error = loss(denoiser, s.x, cond, s.t, s.noise).mean()
        error.backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.inference_mode()
    def sample() -> Tensor:
        with precision(bf16):
            if not guided:  # once a sampling run: the text's keys and values
                guided.append(guide(denoiser, cond, GUIDANCE, Dynamic(0.995)))
            return guided[0](s.noise, logsnr)

    count = sum(p.numel() for p in net.parameters())
    steps: dict[str, Step] = {"train": train, "sample": sample}
    return Contestant(name, "ours", network, count, steps, "bf16" if bf16 else "float32", not compiled)


def base(s: Setting, **extra: bool) -> Contestant:
    """The base U-Net, width 64: text at 32, 16 and 8."""
    net = UNet(TEXT_DIM, 64, [1, 2, 3, 4], 3, [False, True, True, True])
    return contestant("ours: U-Net" + tail(**extra), "base", net, s, **extra)


def efficient(s: Setting, **extra: bool) -> Contestant:
    """The Efficient U-Net, widths 32 to 256: text in the last block."""
    net = EfficientUNet(
        TEXT_DIM, [32, 64, 128, 256], [2, 4, 8, 8], ["none", "none", "none", "self"], lowres=True
    )
    return contestant("ours: Efficient U-Net" + tail(**extra), "efficient", net, s, **extra)


# What an operation of the profiler's table is counted as: the first that fits.
KINDS = {
    "optimizer": ("_fused_adamw", "_foreach", "zero_grad", "Optimizer"),
    "convolution": ("conv",),
    "attention": ("scaled_dot_product", "softmax"),
    "matmul": ("mm", "linear"),
    "normalization": ("norm", "batch_norm"),
    "resampling": ("upsample", "avg_pool", "pool"),
    "copies": ("copy", "cat", "contiguous", "clone", "pad", "fill", "zero"),
    "elementwise": (
        "add",
        "mul",
        "silu",
        "sub",
        "div",
        "sum",
        "mean",
        "pow",
        "sqrt",
        "where",
        "topk",
        "clamp",
        "abs",
        "sig",
    ),
}


def kind_of(operation: str) -> str:
    return next(
        (kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), "the rest"
    )


def where_time_goes(step: Step, repeats: int = 3) -> str:
    """Own CPU time of one call by kind of operation, with the largest operations of each."""
    step()
    step()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(repeats):
            step()
    kinds: dict[str, dict[str, float]] = defaultdict(dict)
    for event in recorded.key_averages():
        kinds[kind_of(event.key)][event.key] = event.self_cpu_time_total / repeats / 1e6
    total = sum(sum(found.values()) for found in kinds.values())
    lines = []
    for kind, found in sorted(kinds.items(), key=lambda item: -sum(item[1].values())):
        largest = sorted(found.items(), key=lambda item: -item[1])[:3]
        names = ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in largest)
        lines.append(
            f"{kind:<14} {sum(found.values()):>7.3f} s {sum(found.values()) / total:>6.1%}   {names}"
        )
    return "\n".join([*lines, f"{'all':<14} {total:>7.3f} s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--profile", action="store_true", required=True, help="print where the time of each step goes"
    )
    parser.add_argument("--network", choices=["base", "efficient"], help="only this one")
    chosen = parser.parse_args()
    for network, make, s in (("base", base, base_setting()), ("efficient", efficient, efficient_setting())):
        if chosen.network in (None, network):
            for task, step in make(s).steps.items():
                print(f"\n{network}, {task}\n{where_time_goes(step)}", flush=True)


if __name__ == "__main__":
    main()
