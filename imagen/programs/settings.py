"""What the settings of each program must be: the roots of conf/*.yaml, key for key. Parts say it in their constructors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from imagen.data.address import is_address
from imagen.files import NAME
from imagen.programs.typed import Rule


def _here(device: str) -> bool:
    import torch  # not at the top: --help need not wait for it

    try:
        torch.empty(0, device=device)
    except Exception:  # no two backends that are missing raise the same
        return False
    return torch.device(device).type != "meta"


Part = object
Count = Annotated[int, Rule("a whole number, at least 1", lambda n: n >= 1)]
Natural = Annotated[int, Rule("a whole number, at least 0", lambda n: n >= 0)]
Share = Annotated[float, Rule("a number from 0 to 1", lambda x: 0 <= x <= 1)]
Positive = Annotated[float, Rule("a number above 0", lambda x: x > 0)]
Device = Annotated[
    str, Rule("a device of this machine: cpu, or where there is one cuda, cuda:1, mps, ...", _here)
]
Local = Annotated[
    # of an address a path would make folders here
    Path,
    Rule(
        "a path on a disk of this machine, and no address",
        lambda path: not is_address(path) and "://" not in path,
    ),
]
Interval = Annotated[
    list[float] | list[list[float] | None],
    Rule("[low, high], or a list of those, one a stage", lambda ends: bool(ends)),
]
Name = Annotated[
    str | int,
    Rule(
        "a plain name: up to 100 letters, digits, . _ and -, the first no . or -",
        lambda name: NAME.fullmatch(str(name)) is not None,
    ),
]


class Prepare(TypedDict):
    """conf/prepare.yaml"""

    out: Local
    workers: Count
    shard_size: Count
    max_bad: Share
    filters: Part
    duplicates: bool
    licence: str | None
    embed: bool
    device: Device | list[Device]
    cache: Part
    dry_run: bool
    source: NotRequired[Part | None]
    text: Part


class Place(TypedDict):
    """A folder of shards, or a pattern of tars."""

    path: Path


class Embed(TypedDict):
    """conf/embed.yaml"""

    data: Place
    device: Device | list[Device]
    cache: Part
    text: Part


class Inspect(TypedDict):
    """conf/inspect.yaml"""

    data: Place
    out: Local
    resolution: Annotated[int, Rule("a whole number from 1 to 8192", lambda n: 1 <= n <= 8192)]
    samples: Count
    seed: int
    cache: Part


class Dashboard(TypedDict):
    """conf/dashboard.yaml"""

    runs: Local
    out: Local
    wandb: bool
    project: str | None
    entity: str | None


class Report(TypedDict):
    """conf/report.yaml"""

    folders: list[Local]
    out: Local
    pictures: Annotated[int, Rule("a whole number from 1 to 100000", lambda n: 1 <= n <= 100_000)]
    side: Annotated[int, Rule("a whole number from 16 to 512", lambda n: 16 <= n <= 512)]
    difficulty: Local | None


class Train(TypedDict):
    """conf/train.yaml. A part that is switched off is null, or mere values."""

    name: Name
    seed: int
    runs: Local
    trainer: Part
    text: Part
    text_dim: int
    stage: Part
    data: Part
    previews: dict[str, Any] | None
    logger: dict[str, Any] | None


class Chip(TypedDict):
    """TFLOP/s and GB."""

    bf16: Positive
    fp32: Positive
    memory: Positive


class Reckoning(TypedDict):
    """What conf/plan.yaml has beside the settings of training."""

    devices: Count | None
    chip: str
    mfu: Annotated[
        float, Rule("a share of the peak: a number above 0 and at most 1", lambda share: 0 < share <= 1)
    ]
    images: Count
    captions: Count
    tokens: Count
    bytes_a_pixel: Positive
    sample_steps: Count
    json: Local | None
    chips: dict[str, Chip]


class Plan(Train):
    """conf/plan.yaml"""

    plan: Reckoning


class Sampling(TypedDict):
    """How a release is sampled: one value, or a list of one a stage; null is what the release recommends."""

    guidance: float | list[float] | None
    steps: Count | list[Count] | None
    noise_augmentation: Share | list[Share] | None
    interval: Interval | None
    rescale: Share | list[Share] | None
    sampler: NotRequired[Part | None]
    threshold: NotRequired[Callable | None]


class Export(Sampling):
    """conf/export.yaml. The program itself looks at `run`."""

    run: Any
    out: Local
    ema: Positive | None
    artifact: bool
    evaluations: list[Local]
    licence: str | None


class Sample(Sampling):
    """conf/sample.yaml. The program itself looks at prompts and seeds."""

    release: Local
    out: Local
    prompts: Any
    prompts_file: Local | None
    seeds: Any
    picture: Local | None
    batch_size: Count
    device: Device | None
    progress: bool
    mark: bool
    watermark: str | None
    safety: NotRequired[Part | None]


class WeightsOf(TypedDict):
    """Weights on this disk."""

    inception: Local | None
    dinov2: Local | None
    clip: Local | None
    detector: Local | None
    aesthetics: Local | None
    imagereward: Local | None
    imagereward_config: Local | None
    hps: Local | None
    vqascore: Local | None


class Evaluate(Sampling):
    """conf/evaluate.yaml. The program itself looks at sweep and metrics."""

    protocol: NotRequired[Part | None]
    source: NotRequired[Part | None]
    release: Local | None
    images: Local | None
    pipeline: Local | None
    generator: Literal["release", "enlarge", "diffusers", "real"]
    out: Local
    count: Count | None
    seed: Natural
    metrics: list[str] | None
    missing: Literal["refuse", "skip"]
    weights: WeightsOf
    sweep: dict[str, Any]
    block: Count
    batch_size: Count
    devices: list[Device] | None
    reference_features: Local | None
    bootstrap: Annotated[int, Rule("a whole number, at least 20", lambda n: n >= 20)]
    dry_run: bool
    progress: bool


class SweepAction(TypedDict):
    """conf/sweep.yaml"""

    action: Literal["status", "collect"]
    dir: Local
    out: Local | None
    lines: Natural


SuiteAction = TypedDict(  # with is a word of Python
    "SuiteAction",
    {
        "action": Literal["describe", "compose", "extend", "difficulty"],
        "path": Local | None,
        "out": Local | None,
        "captions": Local | None,
        "near": Annotated[float, Rule("a share of words: above 0 and at most 1", lambda x: 0 < x <= 1)],
        "examples": Natural,
        "world": Literal["shapes", "open"],
        "n": Annotated[int, Rule("a whole number from 1 to 1,000,000", lambda n: 1 <= n <= 1_000_000)],
        "seed": Natural,
        "categories": list[str] | None,
        "split": Literal["train", "test", "unseen", "unseen_relation"] | None,
        "name": str | None,
        "with": Local | None,
        "version": str | None,
        "note": str | None,
        "results": Local | list[Local] | None,
        "metric": str,
        "anchors": Local | None,
    },
)
"""conf/suite.yaml"""


class RateAction(TypedDict):
    """conf/rate.yaml"""

    action: Literal["new", "serve", "results", "invite", "revoke", "export", "erase"]
    path: Local
    out: Local | None
    dry_run: bool
    n: Annotated[int, Rule("a whole number from 1 to 100000", lambda n: 1 <= n <= 100_000)] | None
    days: Positive | None
    rater: str | None
    url: str | None
    host: str
    port: Annotated[int, Rule("a whole number from 1 to 65535", lambda n: 1 <= n <= 65535)]
    database: str | None
    seed: Natural
    resamples: Annotated[int, Rule("a whole number from 100 to 100000", lambda n: 100 <= n <= 100_000)]
    half_width: Annotated[float, Rule("a number above 0 and below 1", lambda x: 0 < x < 1)]


class StageSettings(TypedDict):
    """How the demo samples, a value for each stage."""

    steps: list[Count]
    guidance: list[float]
    noise_augmentation: Share
    percentile: Share


class Sweep(TypedDict):
    """The demo's gallery."""

    guidance: list[float]
    prompts: Count


class Demo(TypedDict):
    """conf/demo.yaml"""

    out: Local
    pictures: Count
    encoder: str
    samples: Count
    held_out: Natural
    batch_size: Count
    train: list[str]
    seed: int
    reading_order: Share
    stages: dict[str, str]
    sample: StageSettings
    sweep: Sweep


SETTINGS: dict[str, Any] = {
    "prepare": Prepare,
    "embed": Embed,
    "inspect": Inspect,
    "dashboard": Dashboard,
    "report": Report,
    "train": Train,
    "plan": Plan,
    "export": Export,
    "sample": Sample,
    "evaluate": Evaluate,
    "sweep": SweepAction,
    "suite": SuiteAction,
    "rate": RateAction,
    "demo": Demo,
}
