"""imagen-train: one stage on prepared shards, in a run folder of its own; the same command again resumes."""

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from imagen.data.module import micro_batch
from imagen.programs.allocation import keep_large_blocks
from imagen.programs.build import CONF, build, build_optional, program
from imagen.programs.sweeps.cells import recorded, recorded_typos, tell_begun
from imagen.programs.version import code_version
from imagen.training.orphans import end_with_parent
from imagen.training.requeue import Requeue
from imagen.training.run_folder import RunFolder, first_process


@program("train", around=recorded, composing=recorded_typos)
def main(cfg: DictConfig) -> None:
    """Check that the parts can be built and fit, claim the run folder, train."""
    end_with_parent()
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    folder = RunFolder(Path(cfg.runs) / str(cfg.name))
    parts, requeue = built(cfg), Requeue()
    with requeue.watching(), folder.claim(plain):
        if folder.step >= cfg.trainer.max_steps:
            print(
                f"{folder.path} is trained: step {folder.step} of trainer.max_steps={cfg.trainer.max_steps}"
            )
            return
        finished = train(cfg, plain, folder, parts, requeue)
        if first_process():
            print(f"{folder.checkpoint}: step {folder.step} of {cfg.trainer.max_steps}")
        if not finished and requeue.asked is None:
            raise KeyboardInterrupt


class Parts(NamedTuple):
    """What a run has beside its stage, which is allocated last."""

    training: Any
    data: Any
    previews: Any
    logger: Any


def built(cfg: DictConfig) -> Parts:
    """The parts of a run; ValueError when they, or the stage, cannot be what the settings say. Nothing is
    allocated, no file is touched."""
    import torch  # not at the top: --help and an error of the settings need not wait for it

    with torch.device("meta"):
        build(cfg.stage)
    if cfg.data.resolution != cfg.stage.resolution:
        raise ValueError(
            f"data.resolution={cfg.data.resolution}: the stage's pictures have stage.resolution="
            f"{cfg.stage.resolution}; leave data.resolution out"
        )
    lowres = cfg.stage.get("lowres")
    if cfg.data.patch is not None and (not lowres or cfg.data.patch != lowres.crop):
        raise ValueError(
            f"data.patch={cfg.data.patch}: only a super-resolution stage learns on patches, of its stage.lowres.crop="
            f"{lowres.crop if lowres else 'null'}; give that number, or leave data.patch out"
        )
    training, data = build(cfg.trainer), build(cfg.data)
    if (
        isinstance(cfg.trainer.devices, int) and cfg.trainer.devices > 1
    ):  # before as many processes are started
        processes = cfg.trainer.devices * cfg.trainer.nodes
        micro_batch(cfg.data.batch_size, processes, cfg.trainer.accumulate)
    previews, logger = build_optional(cfg.previews), build_optional(cfg.logger)
    if data.encoder.dim != cfg.stage.unet.text_dim:
        raise ValueError(
            f"stage.unet.text_dim={cfg.stage.unet.text_dim}: the text encoder gives width "
            f"{data.encoder.dim}; leave it at ${{text_dim}} or choose another text="
        )
    return Parts(training, data, previews, logger)


def train(cfg: DictConfig, plain: dict[str, Any], folder: RunFolder, parts: Parts, requeue: Requeue) -> bool:
    """From parts that fit to a trained checkpoint; False when asked to stop before the end."""
    import torch

    from imagen.diffusion.randomness import mix
    from imagen.training.cost import measure
    from imagen.training.speed import Arithmetic

    training, data, previews, logger = parts
    if not torch.cuda.is_available():
        keep_large_blocks()
    data.setup("fit")  # shards and embeddings are looked for before a network is allocated
    with torch.device("meta"):
        flop = measure(build(cfg.stage)).step_flop
    arithmetic = Arithmetic(flop, OmegaConf.load(CONF / "plan.yaml").plan.chips)
    torch.manual_seed(mix("weights", cfg.seed))
    stage = build(cfg.stage)
    told = {
        **plain,
        "parameters": sum(p.numel() for p in stage.denoiser.parameters()),
        "flop_a_picture": flop,
        "pairs": data.pairs,
        "code": code_version(),
    }
    tell_begun(cfg, parameters=told["parameters"])
    loggers = [logger.start(str(cfg.name), folder.path, told)] if logger and first_process() else []
    try:
        return training.fit(stage, data, folder, previews, loggers, requeue, arithmetic)
    finally:
        if loggers:
            logger.finish()


if __name__ == "__main__":
    main()
