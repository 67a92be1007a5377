"""A meta-training on disk: it survives a kill at any moment, and resumes with the same numbers.

FOLDER/state.safetensors       everything between two trajectories; replaced atomically
FOLDER/log.csv                 one row a trajectory
FOLDER/meta-loss.png           the log as a picture
FOLDER/checkpoint.safetensors  the best meta-parameters so far, with the recipe
"""

import io
import json
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save

from l2obench.bench.config.recipe import Recipe, make_recipe
from l2obench.bench.config.registry import identify
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.metatrain import loss_scales
from l2obench.bench.metatrain.loop import train
from l2obench.bench.metatrain.plugin_errors import plugin_crash_said, plugin_errors, plugin_settings
from l2obench.bench.metatrain.process_group import SINGLE_PROCESS, ProcessGroup
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.trainer import MetaTrainingDiverged, OnValidation, Trainer, ignore_validation
from l2obench.bench.metatrain.validation import ONE_FAMILY, SEVERAL_FAMILIES
from l2obench.bench.rollout.seeds import SEEDS_VERSION
from l2obench.bench.store.environment import commit, versions
from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.results_file import StoreError
from l2obench.foundation.errors import describe_message
from l2obench.foundation.global_settings import settings_kept
from l2obench.foundation.regular_file import FileRefused, read_regular_file
from l2obench.foundation.tensor_file import parse_tensor_file, require_tensors
from l2obench.optimizers.learned.checkpoint import encode_checkpoint

# A kill loses at most these seconds of training; saving more often costs time.
SAVE_SECONDS = 20.0
# More than any state has: five copies of the meta-parameters. A file beyond it is not read into memory.
MAX_STATE_BYTES = 2**30
METADATA_KEY = "l2obench-training"
PARTS = ("phi", "mean", "square", "average", "best")
"""Fields of `Progress` with one tensor for each meta-parameter."""


class Session:
    """A training in its folder, begun or resumed.

    Args:
        folder: of the training; it is made if it does not exist.
        recipe: how to train.
        device: the torch device.
        force: begin anew even if the folder holds a training.
        group: the processes of this training.

    Raises:
        StoreError: the folder holds another recipe's training, is damaged, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        device: str = "cpu",
        force: bool = False,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        with plugin_errors(recipe):
            self.trainer = Trainer(recipe, device, group)
        self.origin = {"versions": versions(), **commit()}
        state = group.broadcast(self._read_state(force) if group.is_main else b"")
        self.resumed = bool(state)
        with plugin_errors(recipe):
            self.progress = self._restore(state) if state else self.trainer.begin()

    def run(
        self,
        on_trajectory: Callable[[Progress], Any] = lambda _: None,
        on_validation: OnValidation = ignore_validation,
    ) -> Progress:
        """Train to the end of the recipe, saving every few seconds and at every new best.

        A finished training stays as it is: its checkpoint states the commit that made it.

        Args:
            on_trajectory: called after each trajectory, before the state is saved.
            on_validation: as `Trainer.validate` takes it.

        Returns:
            The state at the end.

        Raises:
            MetaTrainingDiverged: too many meta-gradients in a row were not finite, or no validation loss was.
            TrainingStopped: a plugin that takes part failed.
            StoreError: the folder cannot be written.
        """
        if self.progress.trajectory == self.recipe.trajectories and os.path.exists(self.folder / CHECKPOINT):
            return self.progress
        saved_at, saved_best = time.monotonic(), self.progress.best_validation

        def after(progress: Progress) -> None:
            nonlocal saved_at, saved_best
            self.progress = progress
            on_trajectory(progress)
            if progress.best_validation < saved_best or time.monotonic() - saved_at > SAVE_SECONDS:
                self.save()
                saved_at, saved_best = time.monotonic(), progress.best_validation

        # Moments of gradients that have died out are denormal numbers, with which a processor is several times slower.
        with settings_kept(), plugin_errors(self.recipe), plugin_crash_said(self.recipe):
            torch.set_flush_denormal(True)
            train(self.trainer, self.progress, after, partial(plugin_settings, self.recipe), on_validation)
        self.save()
        if math.isinf(self.progress.best_validation):
            raise MetaTrainingDiverged(
                f"{self.folder} has no checkpoint: the loss on the validation functions was infinite at every "
                f"validation. Try: a lower --lr than {self.recipe.lr:g}, or another task"
            )
        return self.progress

    def save(self) -> None:
        """Write the state, the log, its figure and the best checkpoint; each one atomically, by rank 0 alone.

        Raises:
            StoreError: the folder cannot be written.
        """
        if not self.trainer.group.is_main:
            return
        progress = self.progress
        parts = {part: getattr(progress, part) for part in (*PARTS, "scales")}
        tensors = {f"{part}/{name}": tensor.clone() for part in parts for name, tensor in parts[part].items()}
        counters = {
            "recipe": self.recipe.model_dump(),
            "task_version": self.trainer.task.version,
            "family_versions": self._family_versions(),
            "seeds_version": SEEDS_VERSION,
            "best_validation": None if math.isinf(progress.best_validation) else progress.best_validation,
            "trajectory": progress.trajectory,
            "meta_steps": progress.meta_steps,
            "setbacks": progress.setbacks,
            "seconds": progress.seconds,
            "log": progress.log,
        }
        state = save(tensors, metadata={METADATA_KEY: json.dumps(counters)})
        log = pd.DataFrame(progress.log)
        try:
            write_atomically(self.folder / "state.safetensors", state)
            write_atomically(self.folder / "log.csv", log.to_csv(index=False).encode())
            write_atomically(self.folder / "meta-loss.png", _draw_log(log, self.recipe))
            # The checkpoint comes last: where a kill left none, `run` knows the training as unfinished and saves again.
            if not math.isinf(progress.best_validation):
                write_atomically(self.folder / CHECKPOINT, self.checkpoint())
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from error

    def checkpoint(self) -> bytes:
        """The best meta-parameters as a checkpoint file, with everything that is needed to reproduce them."""
        rule, progress = self.trainer.rule, self.progress
        recipe = {
            **self.recipe.model_dump(),
            "task": identify(self.trainer.task),
            "mixture": [family.identity for family in self.trainer.families] if self.recipe.mixture else None,
            "task_version": self.trainer.task.version,
            "optimizer_version": rule.version,
            "seeds_version": SEEDS_VERSION,
            "validation_loss": progress.best_validation,
            "validation_criterion": ONE_FAMILY if len(self.trainer.validated) == 1 else SEVERAL_FAMILIES,
            "trajectories_done": progress.trajectory,
            "meta_steps": progress.meta_steps,
            "seconds": round(progress.seconds, 1),
            "sources": {key: value for family in self.trainer.families for key, value in family.task.sources().items()},
            "started_from": {**rule.recipe, "sha256": rule.checkpoint_sha256} if rule.recipe else None,
            **({"learned_weights": loss_scales.weights_at_points(progress.scales)} if progress.scales else {}),
            **self.origin,
        }
        return encode_checkpoint(rule.name, rule.describe_architecture(), recipe, progress.best)

    def _family_versions(self) -> dict[str, int]:
        return {family.identity: family.task.version for family in [*self.trainer.families, *self.trainer.validated]}

    def _read_state(self, force: bool) -> bytes:
        """Make the folder and read the state in it; empty where a training begins."""
        path = self.folder / "state.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if force or not os.path.lexists(path):
                return b""
            content = read_regular_file(path, MAX_STATE_BYTES)
        except FileRefused as error:
            raise StoreError(f"{path} is damaged ({error}); --force begins anew") from error
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}; choose another --out") from error
        if not content:
            raise StoreError(f"{path} is damaged (it is empty); --force begins anew")
        return content

    def _restore(self, content: bytes) -> Progress:
        path = self.folder / "state.safetensors"
        shapes = dict.fromkeys(PARTS, self.trainer.rule.meta_shapes())
        shapes |= {"scales": loss_scales.SHAPES} if self.recipe.weighting == "learned" else {}
        try:
            file = parse_tensor_file(content, METADATA_KEY)
            saved = _SavedCounters.model_validate(file.metadata)
            # In the order of the rule: sums over the meta-parameters round by it, and resuming is exact.
            parts = {
                part: {name: file.tensors[f"{part}/{name}"] for name in of_part} for part, of_part in shapes.items()
            }
            for part, of_part in shapes.items():
                require_tensors(parts[part], of_part)
            recipe = make_recipe(saved.recipe)  # what an earlier version did not know keeps its default
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged ({describe_message(error)}); --force begins anew") from error
        families = self._family_versions()
        now = {**self.recipe.model_dump(), "task_version": self.trainer.task.version, "family_versions": families}
        now["seeds_version"] = SEEDS_VERSION
        known = families if saved.family_versions is None else saved.family_versions
        then = {**recipe.model_dump(), "task_version": saved.task_version, "family_versions": known}
        then["seeds_version"] = saved.seeds_version
        if now != then:
            different = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
            changes = ", ".join(f"{key} was {then.get(key)!r}, now {now.get(key)!r}" for key in different)
            raise StoreError(f"{self.folder} holds another training ({changes}); choose another --out, or --force")
        device = self.trainer.device
        here: dict[str, Any] = {part: {name: value.to(device) for name, value in parts[part].items()} for part in parts}
        counters = saved.model_dump(
            exclude={"recipe", "task_version", "family_versions", "seeds_version", "best_validation"}
        )
        best = math.inf if saved.best_validation is None else saved.best_validation
        return Progress(**here, **counters, best_validation=best)


class _SavedCounters(BaseModel):
    """The metadata of a state file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recipe: dict[str, Any]
    task_version: int
    family_versions: dict[str, int] | None = None
    """None where an earlier version wrote it."""
    seeds_version: int = 1
    best_validation: float | None
    trajectory: int = Field(ge=0)
    meta_steps: int = Field(ge=0)
    setbacks: int = Field(ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    log: list[dict[str, float | int | str | None]]


def _draw_log(log: pd.DataFrame, recipe: Recipe) -> bytes:
    """A figure of meta-loss and validation loss by trajectory, as PNG."""
    # Not through pyplot: its backend is the caller's, who may sit in a notebook.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if "meta_loss" in log:
        axes.plot(
            log["trajectory"],
            log["meta_loss"],
            color="#9aa7b8",
            linewidth=0.8,
            label="meta-loss (mean over a trajectory)",
        )
    if "validation" in log:
        validated = log.dropna(subset=["validation"])
        axes.plot(
            validated["trajectory"],
            validated["validation"],
            "o-",
            color="#c1440e",
            markersize=3,
            label="validation (final loss)",
        )
    others = f" and {len(recipe.mixture) - 1} other families" if recipe.mixture else ""
    axes.set(xlabel="trajectory", ylabel="loss", yscale="log", title=f"{recipe.optimizer} on {recipe.task}{others}")
    if axes.lines:  # none before the first trajectory is over
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
