"""killed_saving.py SETTINGS...: imagen-train whose first process dies by SIGKILL in its second checkpoint: as it begins
to be written, in the middle of that, or as it is put in the place of the last one (KILLED_AT=begin, middle, end)."""

import os
import signal
from typing import Any

import torch

from imagen.programs import train

where, saves = os.environ["KILLED_AT"], 0
torch_save, replace = torch.save, os.replace


def die() -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.kill(os.getpid(), signal.SIGKILL)


def saving(content: Any, file: Any, *args: Any, **kwargs: Any) -> None:
    global saves
    saves += 1
    if saves == 2 and where == "begin":
        die()
    torch_save(content, file, *args, **kwargs)
    if saves == 2 and where == "middle":
        with open(file, "r+b") as half:
            half.truncate(100)
        die()


def replacing(source: Any, to: Any, *args: Any) -> None:
    if saves == 2 and where == "end" and str(to).endswith("last.ckpt"):
        die()
    replace(source, to, *args)


def main() -> None:
    patched: dict[str, Any] = {"save": saving, "replace": replacing}
    torch.save, os.replace = patched["save"], patched["replace"]
    train.main()


if __name__ == "__main__":
    main()
