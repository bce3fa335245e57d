"""Where a sampled picture comes from, in the text of its PNG: Pillow alone. Pixels are not touched; whatever saves the picture
anew may drop it.

    Image.fromarray(pixels).save("a.png", pnginfo=chunks(Mark("a cat", 0, release_sha256)))
    read("a.png")     # Mark(prompt="a cat", seed=0, release="9f86d0...", software="imagen-cascade 0.1.0")
"""

import io
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from PIL import Image, PngImagePlugin

PREFIX = "imagen."  # of the keywords that are ours; Software is of the PNG specification


def software() -> str:
    """The name and version of this package."""
    return f"imagen-cascade {version('imagen-cascade')}"


@dataclass(frozen=True)
class Mark:
    """`prompt` and `seed`: None of a sheet of many. `release`: the sha256 of its cascade.json."""

    prompt: str | None
    seed: int | None
    release: str
    software: str = field(default_factory=software)


def chunks(mark: Mark) -> PngImagePlugin.PngInfo:
    """For `Image.save(..., pnginfo=...)`: a chunk of text each (iTXt, UTF-8), the same for the same mark."""
    info = PngImagePlugin.PngInfo()
    said = {"prompt": mark.prompt, "seed": mark.seed, "release": mark.release}
    for key, value in said.items():
        if value is not None:
            # half of a character, which a command line can hold and UTF-8 cannot
            info.add_itxt(PREFIX + key, str(value).encode("utf-8", "backslashreplace").decode())
    info.add_itxt("Software", mark.software)
    return info


def read(picture: str | Path | bytes) -> Mark | None:
    """The mark of a PNG, a file or its bytes; None where it has none. Anybody can write one: it is a label, and no proof.
    ValueError when it is no PNG."""
    try:
        with Image.open(
            io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=["PNG"]
        ) as image:
            image.load()  # text may also stand behind the pixels
            text = getattr(image, "text", {})
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        named = "picture" if isinstance(picture, bytes) else str(picture)
        raise ValueError(f"{named}: cannot be read as a PNG ({error!s:.80})") from None
    release, seed = text.get(f"{PREFIX}release"), text.get(f"{PREFIX}seed")
    if release is None or not (seed is None or (seed.isascii() and seed.isdigit() and len(seed) < 20)):
        return None
    number = None if seed is None else int(seed)
    return Mark(_plain(text.get(f"{PREFIX}prompt")), number, str(release), str(text.get("Software", "")))


def _plain(text: str | None) -> str | None:
    return None if text is None else str(text)
