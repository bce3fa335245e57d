"""Shared by all tests: no network, few threads, toy sizes."""

import os
from pathlib import Path

# before torch and transformers are imported: tests are offline, and two cores are shared with other tests' subprocesses
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true", TOKENIZERS_PARALLELISM="false")

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and prompt suites beside the checkout (IMAGEN_SHARED, else ../shared); skips when absent."""
    folder = Path(os.environ.get("IMAGEN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no photos and prompt suites at {folder}: set IMAGEN_SHARED to the folder that holds data/")
    return folder / "data"
