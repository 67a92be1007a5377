"""MLflow: in files beside the results, unless MLFLOW_TRACKING_URI names a server."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from l2obench.bench.loggers.base import Logger, Value
from l2obench.bench.loggers.names import plain_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "l2obench"
# MLflow refuses a parameter with a longer value.
LONGEST_VALUE = 6000


class MlflowLogger(Logger):
    """Writes a run of MLflow.

    Args:
        folder: of its files, where no server is named.
        name: of the run.
        run_id: of an earlier start, which continues; None: a new run begins.
    """

    def __init__(self, folder: Path, name: str, run_id: str | None) -> None:
        from mlflow import MlflowClient

        server = os.environ.get("MLFLOW_TRACKING_URI")
        if not server:
            # Without it, MLflow 3 refuses a folder. Its other way, SQLite, is missing in mlflow-skinny.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = MlflowClient(server or folder.resolve().as_uri())
        if run_id is None:
            found = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = self._client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
            run_id = self._client.create_run(experiment, run_name=name).info.run_id
        else:
            self._client.update_run(run_id, status="RUNNING")
        self.run_id = run_id

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        self._client.log_metric(self.run_id, plain_name(tag, line), value, step=step)

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        self._client.log_figure(self.run_id, figure, f"{plain_name(tag)}-{step:06d}.png")

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        self._client.log_text(self.run_id, text, f"{plain_name(tag)}{f'-{step:06d}' if step else ''}.md")

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            self._client.log_param(self.run_id, name, str(value)[:LONGEST_VALUE])

    def flush(self) -> None:
        """Nothing to do: every call writes."""

    def close(self) -> None:
        self._client.set_terminated(self.run_id)
