"""Weights & Biases, offline unless WANDB_MODE says otherwise. `wandb sync FOLDER/wandb/wandb/offline-run-*` uploads."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.bench.loggers.base import Logger, Value
from l2obench.bench.loggers.names import plain_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP = "step"


class WandbLogger(Logger):
    """Writes a run of Weights & Biases.

    Args:
        folder: of its files.
        name: of the run.
        run_id: of an earlier start, which continues; None: a new run begins.
    """

    def __init__(self, folder: Path, name: str, run_id: str | None) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        # `init` would ask for a key on the terminal. l2obench never asks.
        if mode == "online" and not wandb.login(prompt=False):
            raise RuntimeError("WANDB_MODE=online needs a key. Try: wandb login, or leave WANDB_MODE out")
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, save_code=False, disable_git=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "l2obench"),
            name=name,
            dir=str(folder),
            id=run_id,
            resume="allow" if run_id else None,
            mode=mode,
            settings=settings,
        )
        self.run_id = str(self._run.id)
        # Its own step counts calls and must not fall. Curves of several cells begin again at 0.
        self._run.define_metric("*", step_metric=STEP)

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        self._run.log({plain_name(tag, line): value, STEP: step})

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        import wandb
        from PIL import Image

        # Not the figure itself, which it would draw by pyplot, whose backend is the caller's.
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        self._run.log({plain_name(tag): wandb.Image(Image.open(drawn)), STEP: step})

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self._run.summary[plain_name(tag)] = text

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        self._run.config.update(dict(values), allow_val_change=True)

    def flush(self) -> None:
        """Nothing to do: another process writes, and this one's end does not stop it."""

    def close(self) -> None:
        self._run.finish()
