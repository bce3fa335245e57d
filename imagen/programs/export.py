"""imagen-export: the EMA weights of one run a stage -> a release folder (imagen/checkpoint.py)."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from imagen.cascade import check_ascending, check_stage
from imagen.checkpoint import (
    ENCODERS,
    NETWORKS,
    SCHEDULES,
    Description,
    StageRecord,
    Table,
    differences,
    empty_network,
    plain_name,
    restore,
    sound,
    write_release,
)
from imagen.programs.build import program
from imagen.programs.model_card import Trained, model_card, read_evaluation, trained_on
from imagen.sampling import SAMPLERS, THRESHOLDS, Settings, read_settings
from imagen.text import TextEncoder, embedding_keys
from imagen.training.averages import of_length
from imagen.training.loggers import Wandb
from imagen.training.run_folder import RunFolder
from imagen.training.saved import read_checkpoint, shapes


@dataclass(frozen=True)
class Run:
    """A finished run: what its settings and its checkpoint say, and where its weights are."""

    folder: Path
    record: StageRecord
    text: Description
    weights: dict[str, Tensor]
    trained: Trained


@program("export")
def export(cfg: DictConfig) -> None:
    """Read the runs, check that they make a cascade, write the release."""
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    evaluations = [read_evaluation(Path(folder)) for folder in given["evaluations"]]
    folders = given["run"] if isinstance(given["run"], list) else [given["run"]]
    read = (read_run(Path(str(folder)), given["ema"]) for folder in folders)
    runs = sorted(read, key=lambda run: run.record.resolution)
    check_together(runs)
    sampling = recommended(given, len(runs))
    text, out = runs[0].text, Path(cfg.out)
    made = [(run.record, run.trained) for run in runs]

    def card(digest: str) -> str:
        return model_card(out.name, digest, made, text, sampling, given["licence"], evaluations)

    write_release(out, stages(runs), text, sampling, card)
    for run in runs:
        record = run.record
        size = f"{record.resolution} x {record.resolution}"
        print(f"{record.name}: {size}, {record.parameters:,} parameters, step {record.steps}")
    print(f"wrote {out}")
    if given["artifact"]:
        print(f"W&B artifact {keep(runs[-1].folder, out)}")


def keep(folder: Path, release: Path) -> str:
    """The release as an artifact of the W&B run of `folder`; its name."""
    settings = RunFolder(folder).settings
    logger = settings.get("logger")
    if not isinstance(logger, dict) or str(logger.get("_target_")).rsplit(".", 1)[-1] != "Wandb":
        raise ValueError(f"artifact=true: {folder} was trained without W&B (logger=none); leave artifact out")
    given: dict[str, Any] = {
        k: logger[k] for k in ("project", "entity", "group", "tags", "mode") if logger.get(k)
    }
    wandb = Wandb(**given)
    return wandb.keep_release(str(settings["name"]), folder, release)


def main() -> None:
    """`run=A run=B` and `run=A,B` mean `run=[A,B]`: Hydra itself would take the last one, or refuse."""
    sys.argv[1:] = gathered(sys.argv[1:], "run")
    export()


def gathered(arguments: Sequence[str], key: str) -> list[str]:
    """Command-line `arguments` with every KEY=... among them joined into one KEY=[...], at the place of the
    first."""
    values, others = [], []
    for argument in arguments:
        if argument.startswith(f"{key}="):
            inside = argument.removeprefix(f"{key}=").strip().removeprefix("[").removesuffix("]")
            values += [value.strip().strip("'\"") for value in inside.split(",") if value.strip()]
        else:
            others.append(argument)
    quoted = ",".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values)
    return [f"{key}=[{quoted}]", *others] if values else others


def read_run(folder: Path, length: float | None = None) -> Run:
    """A run folder -> what a release needs of it; `length`: of the average that is made of those the run kept. Nothing in it is executed: the settings are plain YAML,
    whose classes are looked up by name in our tables, and the checkpoint is read as tensors and plain
    containers. ValueError names the file."""
    run = RunFolder(folder)
    config_file = folder / "config.yaml"
    if not config_file.is_file() or not run.checkpoint.exists():
        missing = "checkpoints/last.ckpt" if config_file.is_file() else "config.yaml"
        raise ValueError(
            f"run={folder}: no {missing} there; give the folder of a run that imagen-train has saved"
        )
    config = run.settings
    try:
        stage, text, train = config["stage"], config["text"], config["data"]["train"]
        name, resolution, predict = stage["name"], stage["resolution"], stage["predict"]
        schedule = described(
            stage["schedule"], "imagen.diffusion", SCHEDULES, f"{config_file}: stage.schedule"
        )
        network = described(stage["unet"], "imagen.nn", NETWORKS, f"{config_file}: stage.unet")
        lowres = stage.get("lowres")
        if lowres is not None:
            noise = described(
                lowres["schedule"], "imagen.diffusion", SCHEDULES, f"{config_file}: stage.lowres.schedule"
            )
            lowres = {"resolution": lowres["resolution"], "schedule": noise}
        encoder = described(text, "imagen.text", ENCODERS, f"{config_file}: text")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{config_file}: not the settings of a training run: {error!r:.120}") from None
    plain_name(name, f"{config_file}: stage.name")
    if not isinstance(resolution, int):
        raise ValueError(f"{config_file}: stage.resolution={resolution!r:.80}: must be a whole number")
    checkpoint = read_checkpoint(run.checkpoint)
    saved, weights = checkpoint["imagen"], checkpoint["ema"]["weights"]
    if (of := (saved["stage"], saved["resolution"])) != (name, resolution):
        raise ValueError(
            f"{run.checkpoint}: of stage {of[0]!s:.80} at {of[1]!s:.80}, but {config_file} is of {name} at {resolution}"
        )
    network["arguments"] = saved["network"]
    net = empty_network(network, len(weights), f"{run.checkpoint}: network")
    if problem := differences(shapes(net.state_dict()), shapes(weights)):
        raise ValueError(f"{run.checkpoint}: EMA weights do not fit the network: {problem}")
    if length is not None:
        weights, _ = of_length(folder / "averages", length, checkpoint["global_step"], shapes(weights))
    for key, tensor in weights.items():
        sound(tensor, f"{run.checkpoint}: EMA weights: {key}")
    restored: TextEncoder = restore(encoder, ENCODERS, f"{config_file}: text")
    try:
        check_stage(name, resolution, lowres is not None, net, restored.dim)
    except ValueError as error:
        raise ValueError(f"{config_file} and {run.checkpoint}: {error}") from None
    parameters = sum(tensor.numel() for tensor in weights.values())
    record = StageRecord(
        name,
        resolution,
        predict,
        schedule,
        network,
        lowres,
        parameters,
        checkpoint["global_step"],
        version("imagen-cascade"),
    )
    key = encoder_key(restored, train)
    return Run(folder, record, {**encoder, "key": key}, weights, trained_on(config["data"]))


def described(node: Mapping[str, Any], package: str, table: Table, where: str) -> Description:
    """A settings node {"_target_": "imagen.x.Class", argument: value} as {"class", "arguments"}; ours
    alone."""
    target = str(node["_target_"])
    name = target.rsplit(".", 1)[-1]
    if name not in table or not target.startswith(f"{package}."):
        raise ValueError(
            f"{where}: {target} is none of {', '.join(f'{package}.{known}' for known in sorted(table))}"
        )
    return {"class": name, "arguments": {k: v for k, v in node.items() if not k.startswith("_")}}


def encoder_key(encoder: TextEncoder, train: Any) -> dict[str, Any]:
    """The identity of the text encoder as far as it is known here: that of the embeddings beside the training
    shards where they still lie there, which tells the weights too, else the settings' part of it. No weights
    are loaded."""
    shards = Path(str(train))
    for key in embedding_keys(shards if shards.is_dir() else shards.parent).values():
        if encoder.configured.items() <= key.items():
            return dict(key)
    return dict(encoder.configured)


def check_together(runs: Sequence[Run]) -> None:
    """ValueError when the runs, in ascending resolution, do not make one cascade."""
    for below, above in pairwise(runs):
        if below.record.resolution == above.record.resolution:
            raise ValueError(
                f"run: {below.folder} and {above.folder} are both of resolution {below.record.resolution}; "
                "give one a stage"
            )
        one, other = ({"class": run.text["class"], **run.text["key"]} for run in (below, above))
        differing = [
            f"{k}: {one[k]!s:.40} and {other[k]!s:.40}"
            for k in one.keys() & other.keys()
            if one[k] != other[k]
        ]
        if differing:
            raise ValueError(
                f"run: {below.folder} and {above.folder} were trained with different text encoders "
                f"({'; '.join(sorted(differing))}); train them with the same text="
            )
    check_ascending(
        [(r.record.name, r.record.resolution, (r.record.lowres or {}).get("resolution")) for r in runs]
    )


def recommended(given: Mapping[str, Any], count: int) -> Description:
    """The sampling settings among those `given`, as a release keeps them. ValueError for values that no stage
    could use."""
    sampling = {f.name: given[f.name] for f in fields(Settings) if given.get(f.name) is not None}
    for name, table in (("sampler", SAMPLERS), ("threshold", THRESHOLDS)):
        if name in sampling:
            sampling[name] = described(sampling[name], "imagen.diffusion", table, name)
    for name, value in read_settings(sampling, "settings").items():
        if isinstance(value, list) and len(value) != count:
            raise ValueError(
                f"{name}={value}: {len(value)} values for {count} stages; give one for all, or one each"
            )
        for one in value if isinstance(value, list) else [value]:
            Settings(**{name: one})
    return sampling


def stages(runs: Sequence[Run]) -> Iterator[tuple[StageRecord, dict[str, Tensor]]]:
    """(record, weights) of each run."""
    return ((run.record, run.weights) for run in runs)


if __name__ == "__main__":
    main()
