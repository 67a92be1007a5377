"""What a number was measured on: versions, machine, threads, commit. Every manifest and checkpoint has it."""

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

# What git calls the commit of a checkout that has none yet.
INITIAL = "(initial)"
# Where this file is in a repository of l2obench.
PLACE = "bench/store/environment.py"
# Packages whose version can change a number.
PACKAGES = ("l2obench", "torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "pytorch-optimizer", "numba")


def environment(device: str) -> dict[str, Any]:
    """Describe this process and its machine as they are now.

    Args:
        device: the torch device that computes.

    Returns:
        Versions, system, processor, threads, device and commit. `load` is the number of processes that wanted a
        processor in the last minute: step times mean little where it is near `processors`.
    """
    import torch

    on_gpu = device.startswith("cuda")
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "load": _load(),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        **commit(),
    }


def versions() -> dict[str, str]:
    """Give the versions of the packages that decide the numbers, by package."""
    return {package: _version(package) for package in PACKAGES}


# What is imported stays what it is, and looking a version up takes longer than asking git.
@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> dict[str, Any]:
    """Find the commit of the checkout that this code runs from.

    Returns:
        `commit`, and whether tracked files differ from it (`dirty`); both null where the code is not in a checkout of
        l2obench, as in a `.venv` inside a repository of the user's. A package that pip installed from a repository
        has the commit that pip noted. Changed results do not count: a run that writes among the committed ones runs
        the same code.
    """
    here = Path(__file__).resolve().parent
    if not _is_in_our_repository(here):
        return {"commit": _installed_commit(), "dirty": None}
    status = ["git", "-C", str(here), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    status += ["--", ":/", ":(top,exclude)results"]
    try:
        lines = subprocess.run(status, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    about = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# "))
    commit = about.get("branch.oid", INITIAL)
    return {"commit": None if commit == INITIAL else commit, "dirty": any(not line.startswith("# ") for line in lines)}


def _is_in_our_repository(here: Path) -> bool:
    """Whether git tracks this file at the place that it has in a repository of l2obench."""
    tracked = ["git", "-C", str(here), "ls-files", "--full-name", "--error-unmatch", "--", Path(__file__).name]
    try:
        found = subprocess.run(tracked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return False
    return found == PLACE


def _installed_commit() -> str | None:
    """What pip notes of a package from a repository (PEP 610)."""
    try:
        noted = importlib.metadata.distribution("l2obench").read_text("direct_url.json")
        commit = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    return commit if isinstance(commit, str) else None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    # Windows has no load average.
    except (OSError, AttributeError):
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
