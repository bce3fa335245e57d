"""A picture classifier of transformers, from a local folder, that says which pictures may not be shown."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from imagen.evaluation.metrics.transformer import load, load_processor, prepared
from imagen.safety import Reasons
from imagen.text.weights import fingerprint


class Classifier:
    """`folder`: as `save_pretrained` writes it: config.json, preprocessor_config.json, *.safetensors; nothing is ever fetched,
    and no code of the folder is run. `refuse`: labels of its config.json. A picture is refused when one of those has a
    probability of at least `above`; labels are alternatives (softmax) unless config.json says that a picture may have several
    (problem_type). Of prompts it knows nothing, and lets them through.

    ValueError: no such folder, not such a model, or a label that it does not have."""

    def __init__(self, folder: str, refuse: list[str], above: float = 0.5) -> None:
        if not (Path(folder) / "config.json").is_file():
            raise ValueError(
                f"folder={folder}: no config.json there; give the folder of a model for image-classification, as "
                "save_pretrained writes it: none is downloaded"
            )
        if not 0 < above <= 1:
            raise ValueError(f"above={above}: a probability, above 0 and at most 1")
        self.model = load(Path(folder), "AutoModelForImageClassification", None)
        self.processor = load_processor(Path(folder))
        labels = {str(label): int(number) for number, label in self.model.config.id2label.items()}
        unknown = [label for label in refuse if label not in labels]
        if unknown or not refuse:
            wrong = f"{unknown[0]!r:.80} is none of its labels" if unknown else "names no label"
            raise ValueError(f"refuse={refuse}: {wrong}; it has {', '.join(sorted(labels))[:200]}")
        self.refuse, self.above = {label: labels[label] for label in refuse}, above
        self.several = self.model.config.problem_type == "multi_label_classification"
        files = [file for file in sorted(Path(folder).iterdir()) if file.suffix in (".json", ".safetensors")]
        self.identity: dict[str, Any] = {
            "kind": "classifier",
            "weights": fingerprint(files),
            "refuse": list(refuse),
            "above": above,
        }

    def prompts(self, prompts: list[str]) -> Reasons:
        """See `Safety`: all pass."""
        return [None] * len(prompts)

    @torch.no_grad()
    def pictures(self, pictures: np.ndarray) -> Reasons:
        """See `Safety`."""
        values = prepared(
            self.processor, torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
        )
        logits = self.model(pixel_values=values).logits.float()
        shares = logits.sigmoid() if self.several else logits.softmax(-1)
        return [self._reason(row.tolist()) for row in shares]

    def _reason(self, shares: list[float]) -> str | None:
        # "not below" rather than "at least": what is no number is no reason to let a picture through
        over = {label: shares[n] for label, n in self.refuse.items() if not shares[n] < self.above}
        if not over:
            return None
        label = max(over, key=lambda label: over[label])
        return f"looks like {label} ({over[label]:.2f})"
