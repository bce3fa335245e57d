"""imagen-rate: a study in which people judge pictures: new, serve, results, invite, revoke, export, erase."""

import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from imagen.data.sources.source import plain
from imagen.programs.build import program
from imagen.programs.settings import SETTINGS
from imagen.progress import bar

TAKES = {
    "new": ("out",),
}
NEEDS = {"new": ("out",)}
OPTIONAL = ("out", "n", "days", "rater", "url", "database")


@program("rate")
def rate(cfg: DictConfig) -> None:
    """Do what the action says."""
    action = cfg.action
    for key in OPTIONAL:
        if cfg[key] is not None and key not in TAKES[action]:
            raise ValueError(f"{key}={cfg[key]}: {action} does not take it; leave it out")
    if missing := [key for key in NEEDS.get(action, ()) if cfg[key] is None and not cfg.dry_run]:
        raise ValueError(
            f"{action} needs {' '.join(f'{key}=...' for key in missing)}; see imagen-rate --help"
        )
    {"new": _new}[action](cfg)


def main() -> None:
    """`new PATH` is short for action=new path=PATH, and so are the other actions."""
    sys.argv[1:] = spelled_out(sys.argv[1:])
    rate()


def spelled_out(words: Sequence[str]) -> list[str]:
    """The first two of the words that are no option and no key=value of this program, as action= and path=."""
    known = "|".join(SETTINGS["rate"].__annotations__)
    keys, found = ["action", "path"], []
    for word in words:
        if keys and not re.match(rf"-|\+*({known}|hydra[\w.]*)=", word):
            escaped = word.replace("\\", "\\\\").replace("'", "\\'")
            found.append(f"{keys.pop(0)}='{escaped}'")
        else:
            found.append(word)
    return found


def _new(cfg: DictConfig) -> None:
    from imagen.rating.study.making import drawn_up, make, refuse_place
    from imagen.rating.study.outlook import outlook
    from imagen.rating.study.reading import read_design

    design = read_design(Path(cfg.path))
    if not cfg.dry_run:
        refuse_place(Path(cfg.out))
    study, wanted = drawn_up(design, secrets.token_hex(16))
    for line in outlook(study, len(wanted)):
        print(plain(line))
    if cfg.dry_run:
        return
    make(Path(cfg.out), study, wanted, lambda pictures: bar(pictures, desc="pictures", unit=""))
    print(plain(f"made {cfg.out}; imagen-rate invite {cfg.out} n=..., then imagen-rate serve {cfg.out}"))


if __name__ == "__main__":
    main()
