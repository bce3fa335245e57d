"""How long work tells of itself: a bar on a terminal; in a log file, a line now and then."""

import sys
from typing import Any

from tqdm import tqdm

LOG_EVERY = 30.0  # seconds between lines that nobody watches


def bar(iterable: Any = None, **settings: Any) -> tqdm:
    """tqdm with its `settings`, at a pace that suits where its output goes."""
    return tqdm(iterable, mininterval=0.5 if sys.stderr.isatty() else LOG_EVERY, **settings)
