"""What a number was measured on: versions, machine, threads, commit. Goes into every manifest and checkpoint."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

INITIAL = "(initial)"  # what git calls the commit of a checkout that has none yet
PACKAGES = ("l2obench", "torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "pytorch-optimizer")


def environment(device: str) -> dict[str, Any]:
    """Versions, processor, threads and commit, as they are now in this process.

    `load`: how many processes wanted a processor in the last minute; clocks mean little where it is near `processors`.
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
    """Versions of the packages that decide the numbers."""
    return {package: _version(package) for package in PACKAGES}


@functools.cache  # what is imported stays what it is, and looking it up takes longer than asking git
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def commit() -> dict[str, Any]:
    """The commit of the checkout that this code runs from, and whether it has changes; null outside a checkout.

    Results are no changes: a run that writes among the committed ones, or follows one that did, runs the same code.
    """
    here = Path(__file__).resolve().parent
    status = ["git", "-C", str(here), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    status += ["--", ":/", ":(top,exclude)results"]
    try:
        said = subprocess.run(status, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    about = dict(line.removeprefix("# ").split(" ", 1) for line in said if line.startswith("# "))
    commit = about.get("branch.oid", INITIAL)
    return {"commit": None if commit == INITIAL else commit, "dirty": any(not line.startswith("# ") for line in said)}


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):  # a system that does not say
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
