"""Prompts -> 64 -> 256 -> 1024: the stages of a release, sampled one after the other. PyTorch alone.

    cascade = Cascade.load("release", device="cuda")
    small, middle, large = cascade.sample(["a red circle"], seeds=[0], guidance=[5.0, 3.0, 3.0])

B pictures, R resolution, L text tokens, D text width, N sampling steps. Pictures are (B, 3, R, R) in [-1, 1].
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from imagen.checkpoint import ENCODERS, SCHEDULES, describe, load_network, read_release, restore
from imagen.diffusion import Denoiser
from imagen.sampling import CascadeStage, LowRes, Settings, read_settings, sample_stage
from imagen.text import Key, TextEncoder, pad

Progress = Callable[[str, float, int], None]


class Cascade:
    """Stages in ascending resolution behind one text encoder.

    `stages`: a base stage, then super-resolution stages, each of which starts from the resolution of the one
    before. A cascade of super-resolution stages alone is allowed: it can `upscale`, not `sample`. `defaults`:
    settings for `sample` and `upscale` where the caller gives none, one value or a list of one a stage.
    ValueError for stages that do not fit each other or the encoder."""

    def __init__(
        self,
        stages: Sequence[CascadeStage],
        encoder: TextEncoder,
        device: torch.device | str = "cpu",
        defaults: dict[str, Any] | None = None,
    ) -> None:
        check_ascending([(s.name, s.resolution, s.lowres.resolution if s.lowres else None) for s in stages])
        for stage in stages:
            lowres = stage.lowres is not None
            check_stage(stage.name, stage.resolution, lowres, stage.denoiser.net, encoder.dim)
        self.stages, self.encoder, self.device = list(stages), encoder, torch.device(device)
        self.defaults = defaults or {}
        self.settings(self.stages)

    @classmethod
    def load(
        cls, folder: str | Path, device: torch.device | str = "cpu", encoder: TextEncoder | None = None
    ) -> Self:
        """A release folder (imagen/checkpoint.py), strictly. The text encoder is rebuilt from its description
        in the release and must be the one the stages were trained with (its `key`); `encoder` replaces that
        by one at hand, which must be the same. ValueError in one line for anything amiss."""
        release, where = read_release(folder), f"{folder}/cascade.json"
        stages = []
        for record in release.stages:
            at = f"{where}: stage {record.name}"
            lowres = record.lowres
            if lowres is not None:
                noise = restore(lowres["schedule"], SCHEDULES, f"{at}: lowres: schedule")
                lowres = LowRes(lowres["resolution"], noise)
            stages.append(
                CascadeStage(
                    record.name,
                    record.resolution,
                    Denoiser(load_network(folder, record, device), record.predict),
                    restore(record.schedule, SCHEDULES, f"{at}: schedule"),
                    lowres,
                )
            )
        text = {k: v for k, v in release.text.items() if k != "key"}
        encoder = encoder or restore(text, ENCODERS, f"{where}: text")
        assert encoder is not None
        check_encoder(encoder, release.text["key"], where)
        defaults = read_settings(release.sampling, f"{where}: sampling")
        try:
            return cls(stages, encoder.to(device), device, defaults)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        batch_size: int = 8,
        progress: Progress | None = None,
        **settings: Any,
    ) -> list[Tensor]:
        """Pictures of every stage, [(B, 3, R, R), ...] on the CPU, one list entry a stage, ascending.

        `prompts` and `seeds`: B of each. `settings`: the fields of `Settings`, each one value for all stages
        or a list of one a stage. A picture depends on its own prompt, seed and settings, not on `batch_size`
        or on what else is asked for (to the last bits of the machine's kernels). `progress(stage, done, B)`
        is called at each sampling step."""
        if self.stages[0].lowres:
            raise ValueError(
                f"the first stage, {self.stages[0].name}, enlarges pictures, and no base stage comes before "
                "it; use upscale, or export the base run too"
            )
        return self._run(self.stages, prompts, seeds, None, batch_size, progress, settings)

    def upscale(
        self,
        pictures: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        batch_size: int = 8,
        progress: Progress | None = None,
        **settings: Any,
    ) -> list[Tensor]:
        """A user's own pictures (B, 3, r, r) in [-1, 1], through every stage of more than r: as `sample`,
        from there on.

        They are first brought to the low resolution that the first of these stages was trained on. Lists in
        `settings` have one value for each of these stages, or for each of the cascade."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(
                f"pictures {tuple(pictures.shape)}: must be square, (B, 3, r, r); crop them first"
            )
        size = pictures.shape[-1]
        stages = [stage for stage in self.stages if stage.lowres and stage.resolution > size]
        if not stages:
            raise ValueError(f"pictures of {size} x {size}: no super-resolution stage goes beyond that")
        if len(pictures) != len(prompts):
            raise ValueError(
                f"{len(pictures)} pictures and {len(prompts)} prompts: give one prompt a picture"
            )
        return self._run(stages, prompts, seeds, pictures, batch_size, progress, settings)

    def settings(self, stages: Sequence[CascadeStage], **given: Any) -> list[Settings]:
        """The settings of `stages`, one each: what is `given` (None counts as not given), else the release's,
        else ours."""
        names = set(Settings.__dataclass_fields__)
        if unknown := set(given) - names:
            raise TypeError(
                f"unknown settings: {', '.join(sorted(unknown))}; known: {', '.join(sorted(names))}"
            )
        merged = self.defaults | {k: v for k, v in given.items() if v is not None}
        columns = {k: self._spread(k, v, stages) for k, v in merged.items()}
        return [Settings(**{k: column[i] for k, column in columns.items()}) for i in range(len(stages))]

    def described(self, stages: Sequence[CascadeStage], **given: Any) -> dict[str, dict[str, Any]]:
        """Name of each of `stages` -> its resolution and the settings that it samples with (`settings`), as plain JSON."""
        used = {}
        for stage, how in zip(stages, self.settings(stages, **given)):
            shown = {name: getattr(how, name) for name in Settings.__dataclass_fields__}
            parts = {name: describe(shown[name]) for name in ("sampler", "threshold")}
            used[stage.name] = {"resolution": stage.resolution, **shown, **parts}
        return used

    def _spread(self, name: str, value: Any, stages: Sequence[CascadeStage]) -> list[Any]:
        """One value a stage. A list of one for each stage of the cascade serves any part of it."""
        if not isinstance(value, list):
            return [value] * len(stages)
        if len(value) == len(self.stages):
            return [v for v, stage in zip(value, self.stages) if stage in stages]
        if len(value) == len(stages):
            return value
        raise ValueError(
            f"{name}={value}: {len(value)} values for {len(stages)} stages; give one for all, or one each"
        )

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> list[Tensor]:
        """Token embeddings (L, D) of each prompt. Each distinct prompt goes through the language model once
        and by itself, so that its embedding does not depend on the padding that its neighbours would
        cause."""
        found: dict[str, Tensor] = {}
        for prompt in prompts:
            if not prompt.strip():
                raise ValueError(
                    f"prompt {list(prompts).index(prompt)} is empty; every picture needs a description"
                )
            if prompt not in found:
                emb, mask = self.encoder([prompt])
                found[prompt] = emb[0, mask[0]].to(self.device)
        return [found[prompt] for prompt in prompts]

    @torch.no_grad()
    def _run(
        self,
        stages: Sequence[CascadeStage],
        prompts: Sequence[str],
        seeds: Sequence[int],
        pictures: Tensor | None,
        batch_size: int,
        progress: Progress | None,
        given: dict[str, Any],
    ) -> list[Tensor]:
        if not prompts or len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts and {len(seeds)} seeds: give one seed a picture")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        settings = self.settings(stages, **given)
        tokens = self.embed(prompts)
        made: list[list[Tensor]] = [[] for _ in stages]
        for start in range(0, len(prompts), batch_size):
            part = slice(start, start + batch_size)
            text = pad(tokens[part])
            below = None if pictures is None else pictures[part].to(self.device, torch.float32)
            for stage, how, out in zip(stages, settings, made):
                report = progress and _report(progress, stage.name, start, len(text[0]), len(prompts))
                below = sample_stage(stage, text, seeds[part], below, how, report)
                out.append(below.cpu())
        return [torch.cat(parts) for parts in made]


def check_ascending(stages: Sequence[tuple[str, int, int | None]]) -> None:
    """`stages`: (name, resolution, resolution of the low-resolution input or None), in order. ValueError,
    naming both stages, when they do not make a cascade: resolutions ascend and each takes up where the one
    before ends."""
    if not stages:
        raise ValueError("a cascade needs at least one stage")
    for (low, resolution, _), (name, higher, lowres) in pairwise(stages):
        if higher <= resolution:
            raise ValueError(
                f"stages must ascend in resolution: {name} makes {higher} after {low} makes {resolution}"
            )
        if lowres is None:
            raise ValueError(
                f"{name} ({higher}) is a second base stage beside {low} ({resolution}): one is enough"
            )
        if lowres != resolution:
            raise ValueError(
                f"{name} starts from {lowres} x {lowres}, but the stage before it, {low}, makes {resolution}"
            )


def check_stage(name: str, resolution: int, lowres: bool, net: Any, text_dim: int) -> None:
    """ValueError when the network of stage `name` cannot make pictures of `resolution`, with or without a
    low-resolution input, from text of width `text_dim`."""
    if net.arguments["lowres"] != lowres:
        raise ValueError(
            f"stage {name}: its network's lowres={net.arguments['lowres']} and its description "
            "of the low-resolution input contradict each other"
        )
    if net.text_dim != text_dim:
        raise ValueError(
            f"stage {name}: made for text of width {net.text_dim}, the text encoder gives "
            f"{text_dim}; use the encoder it was trained with"
        )
    if resolution % net.downsampling:
        raise ValueError(f"stage {name}: resolution {resolution} must divide by {net.downsampling}")


def check_encoder(encoder: TextEncoder, trained: Key, where: str) -> None:
    """ValueError with the entries that differ, when `encoder` is not the one of key `trained`. The encoder's
    weights are looked at only when that key has more than its configuration."""
    found = encoder.configured if trained.keys() <= encoder.configured.keys() else encoder.key
    differing = [
        f"{k}: {found.get(k)!r}, trained with {v!r:.80}" for k, v in trained.items() if found.get(k) != v
    ]
    if differing:
        raise ValueError(
            f"{where}: another text encoder than the stages were trained with: {'; '.join(differing)}"
        )


def _report(progress: Progress, name: str, start: int, size: int, total: int) -> Callable[[float], None]:
    return lambda share: progress(name, start + size * share, total)
