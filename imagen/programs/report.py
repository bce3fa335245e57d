"""imagen-report: evaluations on one page, from their folders alone; FOLDER... out=FILE.html."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from imagen.data.sources.source import plain
from imagen.files import size_in_words
from imagen.programs.build import program


@program("report")
def report(cfg: DictConfig) -> None:
    """Read the folders, write the page, say where it is."""
    from imagen.evaluation.report.reporting import write_report  # not at the top: --help need not wait for it

    folders, out = [Path(folder) for folder in cfg.folders], Path(cfg.out)
    if not folders:
        raise ValueError("no folder: give those of evaluations, imagen-report FOLDER... out=FILE.html")
    refuse_place(out)
    difficulty = None if cfg.difficulty is None else Path(cfg.difficulty)
    found = write_report(folders, out, cfg.pictures, cfg.side, difficulty)
    for problem in found.problems:
        sys.stderr.write(f"{plain(problem)}\n")
    count = f"{found.evaluations} evaluation{'' if found.evaluations == 1 else 's'}"
    print(plain(f"{count}, {found.pictures:,} pictures, {size_in_words(out.stat().st_size)}: {out}"))


def main() -> None:
    """Words that are no key=value are folders: `A B` is short for 'folders=[A,B]'."""
    sys.argv[1:] = spelled_out(sys.argv[1:])
    report()


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words that are no option and no key=value of this program, as folders=."""
    folders, found = [], []
    after_option = False
    for word in words:
        if after_option or re.match(r"-|\+*(folders|out|pictures|side|difficulty|hydra[\w.]*)=", word):
            after_option = word in (
                "--cfg",
                "-c",
                "--package",
                "-p",
                "--config-name",
                "-cn",
                "--config-dir",
                "-cd",
            )
            found.append(word)
        else:
            escaped = re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"\\+$", lambda m: 2 * m[0], word))
            folders.append(f"'{escaped}'")
    return [f"folders=[{','.join(folders)}]", *found] if folders else found


def refuse_place(out: Path) -> None:
    """ValueError for a file that could not be written, before anything is read."""
    if out.is_dir():
        raise ValueError(
            f"out={out}: is a folder; give the name of a file, such as out={out / 'report.html'}"
        )
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out={out}: give the name of a file that ends in .html")
    there = next(path for path in out.absolute().parents if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"out={out}: {there} is no folder that can be written; give another out=")


if __name__ == "__main__":
    main()
