"""imagen-dashboard: the runs of a sweep on one page, from their folders alone; and as a W&B workspace and report."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from imagen.evaluation.dashboard.page import write_dashboard
from imagen.evaluation.dashboard.runs import read_runs
from imagen.programs.build import program
from imagen.training.run_folder import RunFolder, flat


@program("dashboard")
def main(cfg: DictConfig) -> None:
    """Read the runs, write the page, say where it is; then W&B."""
    publish = _publisher(cfg) if cfg.wandb else None
    folder = Path(cfg.runs)
    runs, problems = read_runs(folder, _settings)
    where, problems = write_dashboard(Path(cfg.out), runs, problems, folder)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    print(f"{len(runs)} run{'' if len(runs) == 1 else 's'}: {where}")
    if publish:
        for address in publish(folder.absolute().name, runs):
            print(address)


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return flat(RunFolder(folder).settings)
    except ValueError as error:  # whose remedy is for imagen-train
        raise ValueError(str(error).partition("; put")[0].replace(f"{folder}/", "")) from None


def _publisher(cfg: DictConfig) -> Any:
    """What saves the runs' workspace and report; ValueError for what is missing, before anything is read."""
    from imagen.evaluation.dashboard.wandb_views import Views

    return Views(cfg.project, cfg.entity).publish


if __name__ == "__main__":
    main()
