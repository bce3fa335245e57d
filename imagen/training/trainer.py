"""How a run is carried out: on what, in which precision, how long; and the order of what happens after each
step."""

import logging
import math
import os
import warnings
from typing import Any, Literal, get_args

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from imagen.training.averages import keeper
from imagen.training.background import Background
from imagen.training.metrics import Metrics
from imagen.training.previews import Previews
from imagen.training.requeue import Requeue
from imagen.training.run_folder import RunFolder
from imagen.training.saved import check_resumable
from imagen.training.saving import Saving
from imagen.training.speed import Arithmetic
from imagen.training.stage import Stage
from imagen.training.strategies import Copies, Files, Sharded
from imagen.training.together import Together
from imagen.training.validation import Validation

Strategy = Literal["auto", "ddp", "fsdp"]


class Training:
    """`fit` trains a stage to `max_steps` optimizer steps, from its folder's checkpoint when there is one.

    `accelerator`, `devices`, `nodes`, `precision`: as Lightning's Trainer has them ("bf16-mixed" keeps weights and
    loss in float32). `strategy`: "ddp" (a copy of the network in each process), "fsdp" (a shard in each; with `offload`, in
    the host's memory), or "auto": one process, or copies. `timeout`: minutes that processes wait for each other.
    `accumulate`: micro-batches a step. `gradient_clip`: of the global norm, None for none. `log_every`, `save_every`,
    `validate_every` (None: never): optimizer steps. `compile`: torch.compile the network in place. `progress`: a bar on the
    terminal.
    """

    def __init__(
        self,
        max_steps: int,
        accelerator: str = "auto",
        devices: int | str = 1,
        nodes: int = 1,
        strategy: Strategy = "auto",
        offload: bool = False,
        timeout: float = 30.0,
        precision: Any = "32-true",
        accumulate: int = 1,
        gradient_clip: float | None = None,
        log_every: int = 50,
        save_every: int = 1000,
        validate_every: int | None = None,
        compile: bool = False,
        progress: bool = True,
    ) -> None:
        if strategy not in get_args(Strategy):
            raise ValueError(f"trainer.strategy={strategy}: choose from {', '.join(get_args(Strategy))}")
        if offload and strategy != "fsdp":
            raise ValueError(f"trainer.offload=true: only trainer.strategy=fsdp can, and this is {strategy}")
        if offload and not torch.accelerator.is_available():
            raise ValueError(
                "trainer.offload=true: there is no accelerator here, whose memory it would save; leave it out"
            )
        if not 0 < timeout < math.inf:
            raise ValueError(f"trainer.timeout={timeout}: give minutes, above 0")
        for name, value in (("max_steps", max_steps), ("accumulate", accumulate)):
            if value < 1:
                raise ValueError(f"trainer.{name}={value}: must be at least 1")
        if gradient_clip is not None and not gradient_clip > 0:
            raise ValueError(f"trainer.gradient_clip={gradient_clip}: must be above 0, or null for none")
        self.max_steps, self.accumulate, self.log_every, self.save_every = (
            max_steps,
            accumulate,
            log_every,
            save_every,
        )
        if validate_every is not None and validate_every < 1:
            raise ValueError(
                f"trainer.validate_every={validate_every}: must be at least 1, or null for never"
            )
        self.validate_every = validate_every
        self.compile, self.progress, self.gradient_clip = compile, progress, gradient_clip
        self.lightning: dict[str, Any] = {
            "accelerator": accelerator,
            "devices": devices,
            "num_nodes": nodes,
            "precision": precision,
        }
        self.strategy, self.offload, self.timeout = strategy, offload, timeout

    def fit(
        self,
        stage: Stage,
        data: Any,
        folder: RunFolder,
        previews: Previews | None,
        loggers: list[Any],
        requeue: Requeue | None = None,
        arithmetic: Arithmetic | None = None,
    ) -> bool:
        """True when training came to its end, False when it was asked to stop; both leave a checkpoint.

        ValueError, before anything is written, for a device that is not there and a checkpoint that training
        cannot go on from."""
        quiet()
        self._refuse_what_never_meets()
        resumes = folder.checkpoint.exists()
        if resumes:
            check_resumable(folder.checkpoint, stage)
        metrics = Metrics(folder, self.log_every, self.progress, arithmetic)
        background = Background()
        saving = Saving(folder, self.save_every, requeue, background)
        validation = [Validation(metrics, self.validate_every)] if self.validate_every else []
        drawing = [previews] if previews else []
        together = Together(self.timeout)
        callbacks = [
            together,
            stage.ema,
            *validation,
            metrics,
            *drawing,
            saving,
            metrics.mark,
            together.reading,
        ]
        if previews is not None:
            previews.folder, previews.progress = folder, self.progress
            previews.stopped = lambda: saving.stopped is not None
        if self.compile:
            stage.denoiser.net.compile()
        trainer = self._trainer(
            background,
            max_steps=self.max_steps,
            max_epochs=-1,
            accumulate_grad_batches=self.accumulate,
            gradient_clip_val=self.gradient_clip,
            callbacks=callbacks,
            logger=loggers or False,
            default_root_dir=str(folder.path),
            log_every_n_steps=self.log_every,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        world = trainer.world_size if isinstance(trainer.strategy, Sharded) else 1
        if world > 1 or trainer.is_global_zero:
            averages = folder.path / "averages"
            stage.ema.keep = keeper(averages, background, trainer.global_rank, world)
        if trainer.strategy.root_device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        try:
            trainer.fit(
                stage,
                datamodule=data,
                ckpt_path=str(folder.checkpoint) if resumes else None,
                weights_only=True,
            )
        except Exception:
            if together.failure is None:
                raise
            raise SystemExit(2) from None  # another process failed, and it was said
        return saving.stopped is None

    def _refuse_what_never_meets(self) -> None:
        """ValueError for processes that nobody starts, and for more of them than this machine can hold."""
        nodes, devices = self.lightning["num_nodes"], self.lightning["devices"]
        if nodes > 1 and not SLURMEnvironment.detect() and "MASTER_ADDR" not in os.environ:
            raise ValueError(
                f"trainer.nodes={nodes}: nobody starts processes on other machines; use slurm/train.sbatch, launcher=slurm_nodes "
                "or torchrun"
            )
        most = max(16, os.cpu_count() or 1)
        cpu = self.lightning["accelerator"] == "cpu" or not torch.accelerator.is_available()
        if cpu and isinstance(devices, int) and devices > most:
            raise ValueError(f"trainer.devices={devices}: as many processes on a CPU; give at most {most}")

    def _trainer(self, background: Background, **settings: Any) -> Trainer:
        strategy: Any = self.strategy
        plugins: list[Any] = [Files(background)]
        if strategy == "ddp":
            strategy = Copies(self.timeout + 1)  # before that, Together says who is waited for
        elif strategy == "fsdp":  # which writes and reads its files itself
            strategy, plugins = Sharded(self.timeout + 1, background, self.offload), []
        if SLURMEnvironment.detect():  # Lightning's own requeueing has checkpoints of its own
            plugins.append(SLURMEnvironment(auto_requeue=False))
        try:
            return Trainer(**self.lightning, strategy=strategy, plugins=plugins, **settings)
        except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
            given = {"nodes" if k == "num_nodes" else k: v for k, v in self.lightning.items()}
            given["strategy"] = self.strategy
            listed = " ".join(f"trainer.{name}={value}" for name, value in given.items())
            raise ValueError(
                f"{listed}: not to be had on this machine: {' '.join(str(error).split()):.200}; trainer=cpu "
                "trains without an accelerator"
            ) from None


def quiet() -> None:
    """Silence what Lightning says of things that are as they should be here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*no `validation_step`.*",
        ".*treespec, LeafSpec.*",
        ".*all_gather is deprecated.*",
        ".*does not have many workers.*",
        ".*num_workers.*",
        ".*tensorboardX.*",
        ".*`srun` command is available.*",
        ".*`IterableDataset` has `__len__`.*",
        ".*FSDP2-wrapped module .* returned a view tensor.*",  # on which nothing works in place
    ):
        warnings.filterwarnings("ignore", message)
