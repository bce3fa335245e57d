"""imagen-rate: a study in which people judge pictures: new, serve, results, invite, revoke, export, erase."""

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from imagen.data.sources.source import plain
from imagen.files import write_text
from imagen.programs.build import program
from imagen.programs.settings import SETTINGS
from imagen.programs.words import positional
from imagen.progress import bar
from imagen.provenance import software

TAKES = {
    "new": ("out",),
    "serve": ("database",),
    "invite": ("out", "n", "days", "url", "database"),
    "revoke": ("rater", "database"),
    "export": ("out", "rater", "database"),
    "erase": ("rater", "database"),
    "results": ("out", "database"),
}
NEEDS = {"new": ("out",), "invite": ("n",), "revoke": ("rater",), "export": ("out",), "erase": ("rater",)}
OPTIONAL = ("out", "n", "days", "rater", "url", "database")
LIBRARIES = ("fastapi", "uvicorn", "sqlalchemy", "jinja2", "scipy", "statsmodels")


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
    if action != "new" and any(find_spec(name) is None for name in LIBRARIES):
        raise ValueError(f"{action} needs pip install 'imagen-cascade[rate]' ({', '.join(LIBRARIES)})")
    {
        "new": _new,
        "serve": _serve,
        "invite": _invite,
        "revoke": _revoke,
        "export": _export,
        "erase": _erase,
        "results": _results,
    }[action](cfg)


def main() -> None:
    """`new PATH` is short for action=new path=PATH, and so are the other actions."""
    sys.argv[1:] = spelled_out(sys.argv[1:])
    rate()


def spelled_out(words: Sequence[str]) -> list[str]:
    """The first two of the words that are no option and no key=value of this program, as action= and path=."""
    return positional(words, ["action", "path"], "|".join(SETTINGS["rate"].__annotations__))


def _new(cfg: DictConfig) -> None:
    from imagen.rating.study.making import drawn_up, make, refuse_place, try_first
    from imagen.rating.study.outlook import outlook
    from imagen.rating.study.reading import read_design

    design = read_design(Path(cfg.path))
    if not cfg.dry_run:
        refuse_place(Path(cfg.out))
    study, wanted = drawn_up(design, secrets.token_hex(16))
    for line in outlook(study, len(wanted)):
        print(plain(line))
    try_first(study, wanted)
    if cfg.dry_run:
        return
    make(Path(cfg.out), study, wanted, lambda pictures: bar(pictures, desc="pictures", unit=""))
    print(plain(f"made {cfg.out}; imagen-rate invite {cfg.out} n=..., then imagen-rate serve {cfg.out}"))


def _serve(cfg: DictConfig) -> None:
    import uvicorn

    from imagen.rating.server.app import app, new_token

    admin = new_token()
    with _store(cfg) as store, _listening(cfg.host, cfg.port) as listening:
        print(
            plain(f"{store.study.design.name}: {_address(cfg)}; admin: {_address(cfg)}/admin/{admin}"),
            flush=True,
        )
        served = app(store, admin)
        settings = uvicorn.Config(served, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(settings).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """ValueError when the port cannot be had, before anything is served."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ValueError(
            f"port={port}: {host} cannot be listened on ({error.strerror}); give another"
        ) from None
    return listening


def _invite(cfg: DictConfig) -> None:
    if cfg.out is not None and Path(cfg.out).exists():
        raise ValueError(
            f"out={cfg.out}: is there already, and links that it has are nowhere else; give a new file"
        )
    with _store(cfg) as store:
        invited = store.invite(cfg.n, cfg.days or store.study.design.expires)
    base = (cfg.url or _address(cfg)).rstrip("/")
    lines = [f"{rater},{base}/i/{token}" for rater, token in invited]
    if cfg.out is None:
        print("\n".join(lines))
    else:
        with _private():
            write_text(Path(cfg.out), "\n".join(["rater,link", *lines]) + "\n")
        print(f"wrote {cfg.out}: {cfg.n} links; whoever has one can answer by it, so hand out each once")


def _revoke(cfg: DictConfig) -> None:
    with _store(cfg) as store:
        store.revoke(cfg.rater)
    print(f"{cfg.rater}: the link works no longer; the answers stay")


def _erase(cfg: DictConfig) -> None:
    with _store(cfg) as store:
        count = store.erase(cfg.rater)
    print(f"{cfg.rater}: {count} answers and all else are erased; the link works no longer")


def _export(cfg: DictConfig) -> None:
    from imagen.rating.answers import write_answers
    from imagen.rating.server.exporting import answers_of, kept_of

    out = Path(cfg.out)
    with _store(cfg) as store:
        if cfg.rater is not None:
            with _private():
                write_text(out, json.dumps(kept_of(store, cfg.rater), indent=1, ensure_ascii=False) + "\n")
            print(f"wrote {out}: all that is kept of {cfg.rater}")
            return
        answers = answers_of(store)
    write_answers(out, answers)
    print(f"wrote {out}: {len(answers):,} answers of {len({a.rater for a in answers})} raters")


def _results(cfg: DictConfig) -> None:
    from imagen.rating.server.exporting import answers_of
    from imagen.rating.statistics.figure import draw_categories, draw_preferences
    from imagen.rating.statistics.results import results
    from imagen.rating.statistics.sheets import sheets
    from imagen.rating.statistics.summary import summary
    from imagen.rating.study.study import facts

    with _store(cfg) as store:
        answers, study = answers_of(store), store.study
    found = results(answers, cfg.seed, cfg.resamples, study.design.purposes, cfg.half_width)
    found = {"study": {**facts(study), "software": software()}, **found}
    words = summary(found)
    print(words)
    if cfg.out is None:
        return
    out = Path(cfg.out)
    write_text(out / "results.json", json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "results.md", words + "\n")
    wrote = ["results.json", "results.md"]
    for name, sheet in sheets(found).items():
        write_text(out / name, sheet)
        wrote.append(name)
    if found["preferences"] and draw_preferences(found["preferences"], [out / "preferences.png"]):
        wrote.append("preferences.png")
    for number, one in enumerate(found["preferences"]):
        if draw_categories(one, [out / f"categories-{number}.png"]):
            wrote.append(f"categories-{number}.png")
    figures = "" if find_spec("matplotlib") else "; figures need pip install 'imagen-cascade[figures]'"
    print(plain(f"wrote {out}: {', '.join(wrote)}{figures}"))


@contextmanager
def _store(cfg: DictConfig) -> Iterator[Any]:
    from sqlalchemy.exc import DatabaseError

    from imagen.rating.server.store import Store

    store = Store(Path(cfg.path), cfg.database)
    try:
        yield store
    except DatabaseError as error:
        raise ValueError(f"{cfg.path}: its database cannot be used ({error.orig!s:.200})") from None
    finally:
        store.close()


@contextmanager
def _private() -> Iterator[None]:
    """Files that are made meanwhile are their owner's alone."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def _address(cfg: DictConfig) -> str:
    host = f"[{cfg.host}]" if ":" in cfg.host else cfg.host
    return f"http://{host}:{cfg.port}"


if __name__ == "__main__":
    main()
