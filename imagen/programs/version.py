"""Which code a run was made with."""

import subprocess
from importlib.metadata import version
from pathlib import Path


def code_version() -> dict[str, str]:
    """The package's version, and of a checkout the commit, with a + when files differ from it."""
    found = {"version": version("imagen-cascade")}
    root = Path(__file__).parents[2]
    if (root / ".git").exists():
        git = ["git", "-C", str(root)]
        try:
            commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
            changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):  # no git here
            return found
        if commit.returncode == 0:
            found["commit"] = commit.stdout.strip() + ("+" if changed.returncode else "")
    return found
