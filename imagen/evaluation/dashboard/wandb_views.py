"""The same panels at W&B: a workspace, which stays with the project, and a report of the sweep. This file alone knows the
package wandb-workspaces, which is imported when something is saved and not before."""

import os
import unicodedata
from collections.abc import Sequence
from typing import Any

from imagen.evaluation.dashboard.panels import Panel, sections, settings_that_differ
from imagen.evaluation.dashboard.runs import Run, one_line

PICTURES = "previews"  # what the loggers call the grids
ACROSS, WIDE, HIGH = 3, 8, 6  # panels side by side in a report, each of 24 columns


class Views:
    """Makes and saves them. `project`, `entity`: None takes those of the runs' logger settings.

    ValueError when the package or the key is missing.
    """

    def __init__(self, project: str | None = None, entity: str | None = None) -> None:
        try:
            import wandb_workspaces.reports.v2
            import wandb_workspaces.workspaces
        except ImportError as error:
            raise ValueError(
                f"wandb=true: the package wandb-workspaces cannot be imported ({one_line(str(error))}); pip install "
                "'imagen-cascade[dashboard]', or leave wandb= out"
            ) from None
        if not os.environ.get("WANDB_API_KEY"):
            raise ValueError(
                "wandb=true: there is no WANDB_API_KEY in the environment; export the key that "
                "https://wandb.ai/authorize shows, or leave wandb= out"
            )
        self.parts: Any = wandb_workspaces.reports.v2
        self.workspaces: Any = wandb_workspaces.workspaces
        self.project, self.entity = project, entity

    def publish(self, title: str, runs: Sequence[Run]) -> list[str]:
        """Save both; a line for each that says where it is. ValueError when W&B cannot be reached or refuses."""
        import wandb

        project = self.project or _only(runs, "project")
        if project is None:
            raise ValueError(
                "wandb=true: none of the runs was logged to W&B (logger=none); give project= if they are there all the same"
            )
        try:
            entity = self.entity or _only(runs, "entity") or wandb.Api().default_entity
            if not entity:
                raise ValueError("wandb=true: the key has no default entity; give entity=")
            workspace = self.workspace(title, runs, project, entity)
            report = self.report(title, runs, project, entity)
            return [f"W&B workspace: {workspace.save().url}", f"W&B report: {report.save().url}"]
        except (wandb.Error, OSError) as error:  # requests raises OSErrors
            raise ValueError(
                f"wandb=true: W&B could not be reached, or refused ({one_line(str(error)) or type(error).__name__}); the "
                "page is written, and the same command tries again"
            ) from None

    def workspace(self, title: str, runs: Sequence[Run], project: str, entity: str) -> Any:
        """A section for each head of the page, with line plots of the keys as they were logged."""
        ws, wr = self.workspaces, self.parts
        made = [
            ws.Section(name=head, panels=[self._plot(panel, runs) for panel in panels], is_open=True)
            for head, panels in _sections(runs)
        ]
        if any(run.previews for run in runs):
            pictures = wr.MediaBrowser(media_keys=[PICTURES], mode="gallery", gallery_axis="step")
            made.append(ws.Section(name="Previews", panels=[pictures], is_open=True))
        return ws.Workspace(
            entity=entity,
            project=project,
            name=_title(title),
            sections=made,
            settings=ws.WorkspaceSettings(x_axis="Step", max_runs=max(10, len(runs))),
            runset_settings=ws.RunsetSettings(
                filters=self.workspaces.And(self._filter(runs)),
                pinned_columns=[_column(key) for key in list(settings_that_differ(runs))[:10]],
            ),
        )

    def report(self, title: str, runs: Sequence[Run], project: str, entity: str) -> Any:
        """What was swept in words, then the panels of each head, over the runs of the sweep alone."""
        wr = self.parts
        differ = settings_that_differ(runs)
        names = one_line(", ".join(run.name for run in runs))
        swept = f" They differ in {one_line(', '.join(differ))}." if differ else ""
        blocks = [
            wr.P(f"{len(runs)} run{'' if len(runs) == 1 else 's'}: {names}.{swept}"),
            wr.TableOfContents(),
        ]
        for head, panels in _sections(runs):
            plots = [
                self._plot(panel, runs, wr.Layout(i % ACROSS * WIDE, i // ACROSS * HIGH, WIDE, HIGH))
                for i, panel in enumerate(panels)
            ]
            blocks += [wr.H2(head), self._grid(runs, project, entity, plots)]
        if any(run.previews for run in runs):
            pictures = wr.MediaBrowser(
                media_keys=[PICTURES],
                mode="grid",
                grid_x_axis="step",
                grid_y_axis="run",
                layout=wr.Layout(0, 0, ACROSS * WIDE, 3 * HIGH),
            )
            blocks += [wr.H2("Previews"), self._grid(runs, project, entity, [pictures])]
        return wr.Report(project=project, entity=entity, title=_title(title), blocks=blocks, width="fluid")

    def _grid(self, runs: Sequence[Run], project: str, entity: str, panels: list[Any]) -> Any:
        runset = self.parts.Runset(
            entity=entity, project=project, name="the sweep", filters=self.workspaces.And(self._filter(runs))
        )
        return self.parts.PanelGrid(runsets=[runset], panels=panels)

    def _plot(self, panel: Panel, runs: Sequence[Run], layout: Any = None) -> Any:
        given = {} if layout is None else {"layout": layout}
        return self.parts.LinePlot(
            title=panel.title,
            x="Step",
            y=[panel.key],
            log_y=panel.log,
            max_runs_to_show=max(10, len(runs)),
            **given,
        )

    def _filter(self, runs: Sequence[Run]) -> Any:
        """The group that the runs have in common, otherwise their names: a project holds other runs too."""
        groups = {run.settings.get("logger.group") for run in runs}
        group = groups.pop()
        if group and not groups:
            return self.workspaces.Metric("Group") == str(group)
        return self.workspaces.Metric("Name").isin(
            [str(run.settings.get("name") or run.name) for run in runs]
        )


def _sections(runs: Sequence[Run]) -> list[tuple[str, list[Panel]]]:
    return sections(key for run in runs for key, curve in run.curves.items() if curve.points)


def _column(setting: str) -> str:
    """W&B wraps each outermost setting: "stage.optimizer.lr" is the column config:stage.value.optimizer.lr."""
    first, _, rest = setting.partition(".")
    return f"config:{first}.value" + (f".{rest}" if rest else "")


def _only(runs: Sequence[Run], setting: str) -> str | None:
    """What all runs that were logged have; ValueError when they have not the same."""
    found = {str(value) for run in runs if (value := run.settings.get(f"logger.{setting}"))}
    if len(found) > 1:
        raise ValueError(
            f"wandb=true: the runs were logged to {setting}s {one_line(', '.join(sorted(found)))}; give {setting}= for one"
        )
    return found.pop() if found else None


def _title(title: str) -> str:
    """W&B takes up to 128 characters, and no signs such as + or emojis."""
    plain = "".join(" " if unicodedata.category(c)[0] in "SC" else c for c in title)
    return f"Runs of {' '.join(plain.split())[:100]}"
