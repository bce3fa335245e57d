"""One stage of the cascade in training: prepare the batch, take the loss, log it. The mathematics is
elsewhere.

B batch, R resolution, C crop (R without crops), L text tokens, D text width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from imagen.conditioning import Cond, drop_text
from imagen.diffusion.denoiser import Denoiser, Predict
from imagen.diffusion.loss import Loss, Weight
from imagen.diffusion.randomness import Randomness
from imagen.diffusion.schedule import Schedule
from imagen.files import NAME
from imagen.training.ema import EMA
from imagen.training.lowres import LowRes
from imagen.training.optimizers import MakeOptimizer, Rate
from imagen.training.strategies import shard


class Stage(LightningModule):
    """A network and how it is trained.

    `resolution`: R of its pictures. `unet`: of imagen.nn. `predict`: "eps" (the paper), "x" or "v".
    `text_drop`: probability that a picture's text is hidden (section 2.2; 0.1 in the paper). `lowres`: None
    for a base stage. `seed`: of the noise. Raises ValueError when the parts do not fit each other.
    """

    def __init__(
        self,
        name: str,
        resolution: int,
        unet: nn.Module,
        schedule: Schedule,
        weight: Weight,
        optimizer: MakeOptimizer,
        rate: Rate,
        ema: EMA,
        predict: Predict = "eps",
        text_drop: float = 0.1,
        lowres: LowRes | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not NAME.fullmatch(name):
            raise ValueError(
                f"stage.name={name!r}: a plain name has letters, digits, . _ and - alone, up to 100"
            )
        check_fit(resolution, unet, lowres)
        if not 0 <= text_drop <= 1:
            raise ValueError(f"stage.text_drop={text_drop}: a probability lies between 0 and 1")
        self.name, self.resolution, self.schedule, self.ema = name, resolution, schedule, ema
        self.denoiser = Denoiser(unet, predict)
        self.denoiser.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.loss = Loss(schedule, weight)
        self.make_optimizer, self.rate = optimizer, rate
        self.text_drop, self.lowres, self.seed = text_drop, lowres, seed

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this stage's checkpoints from another's; plain values."""
        unet: Any = self.denoiser.net
        return {"stage": self.name, "resolution": self.resolution, "network": dict(unet.arguments)}

    def configure_model(self) -> None:
        """Under FSDP the network is sharded, when the processes know each other."""
        if self._device_mesh is not None and not isinstance(self.denoiser, FSDPModule):
            strategy: Any = self.trainer.strategy
            half = str(self.trainer.precision) == "bf16-mixed"
            shard(self.denoiser, self._device_mesh["data_parallel"], half, strategy.offload)

    def positions(self, batch_size: int, batch_idx: int) -> range:
        """The places of this process's micro-batch in the global batch of the step, so that noise does not
        depend on how it is split."""
        part = (
            batch_idx % self.trainer.accumulate_grad_batches * self.trainer.world_size
            + self.trainer.global_rank
        )
        return range(part * batch_size, (part + 1) * batch_size)

    def prepare(self, batch: Mapping[str, Any], random: Randomness, text_drop: float) -> tuple[Tensor, Cond]:
        """image (B, 3, R, R), text_emb (B, L, D), text_mask (B, L) -> x (B, 3, C, C) and what the network is
        told, its text hidden with a probability of `text_drop`."""
        text_emb, text_mask = drop_text(batch["text_emb"].float(), batch["text_mask"], text_drop, random)
        if self.lowres is None:
            return batch["image"], Cond(text_emb, text_mask)
        x, lowres, logsnr = self.lowres(batch["image"], random, self.resolution)
        return x, Cond(text_emb, text_mask, lowres, logsnr)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """The mean loss, and for the log the loss and logsnr of each picture, (B,) both."""
        positions = self.positions(len(batch["image"]), batch_idx)
        random = Randomness.for_step(self.seed, self.global_step, positions, self.device)
        losses, logsnr = self.losses(batch, random, self.text_drop)
        return {"loss": losses.mean(), "losses": losses, "logsnr": logsnr}

    def losses(self, batch: Mapping[str, Any], random: Randomness, text_drop: float) -> tuple[Tensor, Tensor]:
        """The loss of each picture, at a noise level of its own, and that level's logsnr: (B,) both."""
        x, cond = self.prepare(batch, random, text_drop)
        t, eps = random.uniform(), random.normal(*x.shape[1:])
        losses = self.loss(self.denoiser, x.contiguous(memory_format=torch.channels_last), cond, t, eps)
        return losses, self.schedule(t)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        optimizer = self.make_optimizer(p for p in self.parameters() if p.requires_grad)
        scheduler = LambdaLR(optimizer, lambda step: self.rate(step))
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip by the global norm, which is kept for the log."""
        parameters = [p for p in self.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self.gradient_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if gradient_clip_val is not None:
            nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["imagen"] = self.identity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved, own = checkpoint.get("imagen"), self.identity
        if saved != own:
            raise ValueError(f"the checkpoint is of another stage: {saved}; this one is {own}")


def check_fit(resolution: int, unet: Any, lowres: LowRes | None) -> None:
    """ValueError when a network cannot work at this resolution, or with this low-resolution input."""
    if resolution < 1:
        raise ValueError(f"stage.resolution={resolution}: must be at least 1")
    if lowres is not None:
        lowres.check(resolution)
    side, key = resolution, "stage.resolution"
    if lowres is not None and lowres.crop is not None:
        side, key = lowres.crop, "stage.lowres.crop"
    for name, value in ((key, side), ("stage.resolution", resolution)):
        if value % unet.downsampling:
            raise ValueError(
                f"{name}={value}: must divide by {unet.downsampling}, by which stage.unet downsamples"
            )
    if unet.arguments["lowres"] != (lowres is not None):
        wants = "takes" if unet.arguments["lowres"] else "takes no"
        raise ValueError(
            f"stage.unet.lowres={str(unet.arguments['lowres']).lower()}: the network {wants} low-resolution "
            f"picture, but stage.lowres is {'not set' if lowres is None else 'set'}"
        )
