"""imagen-inspect: what is in a folder of shards or a pattern of tars, and what is wrong with it, before it is trained
on."""

from pathlib import Path

from omegaconf import DictConfig

from imagen.data.inspect.inspection import inspect
from imagen.data.inspect.problems import NOTE, counted, problems
from imagen.evaluation.inspect_page import speed_in_words, write_inspection
from imagen.files import printable
from imagen.programs.build import build, program


@program("inspect", data="data.path")
def main(cfg: DictConfig) -> None:
    """Look, write the page, say the worst in the last line."""
    out, cache = Path(cfg.out), build(cfg.cache)
    found = inspect(cfg.data.path, cfg.resolution, cfg.samples, cfg.seed, cache=cache)
    wrong = problems(found.report)
    where = write_inspection(out, found, wrong, cfg.seed)
    report = found.report
    for name, split in report["splits"].items():
        side, words = split["short_side"]["summary"], split["wording"]["words"]["summary"]
        _say(
            f"{name}: {split['pairs']:,} pairs, {split['captions']:,} captions, {split['bytes'] / 1e6:,.1f} MB in "
            f"{split['shards']['count']:,} shards"
            + (f"; short side {side['min']:g} to {side['max']:g} pixels" if side else "")
            + (f"; {words['median']:g} words a caption" if words else "")
        )
    print(f"read {report['read']:,} of {report['pairs']:,} pairs: {where}")
    if report["speed"]:
        print(speed_in_words(report))
    real = [problem for problem in wrong if problem.level != NOTE]
    if notes := len(wrong) - len(real):
        print(f"{counted(notes, 'note')}: on the page alone")
    for problem in reversed(real):  # the worst is the last line, which stays to be seen
        _say(f"{problem.level}: {problem.what} {problem.remedy}")
    if not real:
        print("no problem found")


def _say(text: str) -> None:
    """One line, also of words of the data, with nothing that a terminal obeys."""
    print(" ".join(printable(text, len(text)).splitlines()))


if __name__ == "__main__":
    main()
