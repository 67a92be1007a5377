"""Where downloaded and parsed data are kept, and the error for data that are not there."""

import os
from functools import cache
from pathlib import Path

DATA_DIR_VARIABLE = "L2OBENCH_DATA"


class DataMissing(FileNotFoundError):
    """Data that a task needs are not on this machine, or are not what they should be."""

    exit_code = 2


def data_dir() -> Path:
    """The folder for downloaded and parsed data: $L2OBENCH_DATA, or `l2obench` in the user's cache.

    Returns:
        The folder, which need not exist. The cache is $XDG_CACHE_HOME, or `~/.cache`.
    """
    return _data_dir(os.environ.get(DATA_DIR_VARIABLE), os.environ.get("XDG_CACHE_HOME"))


# Cached, because minibatches ask for it at every step and the home folder is looked up in the password file.
@cache
def _data_dir(chosen: str | None, caches: str | None) -> Path:
    return Path(chosen) if chosen else Path(caches or Path.home() / ".cache") / "l2obench"
