"""The protocol of a logger. Trainings and runs know nothing else of TensorBoard, Weights & Biases and MLflow."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = str | int | float | bool


class Logger(Protocol):
    """Takes numbers, figures and texts, and keeps them where a tool shows them."""

    run_id: str
    """What the tool calls this training or run; given again, it continues there."""

    def log_scalar(self, tag: str, value: float, step: int, line: str = "") -> None:
        """Keep one point of a curve.

        Args:
            tag: name of the chart, as in `validation/loss`.
            value: finite.
            step: where it is on the axis; from 0.
            line: name of the curve, where a chart has several.
        """

    def log_figure(self, tag: str, figure: "Figure", step: int) -> None:
        """Keep a picture.

        Args:
            tag: its name.
            figure: of matplotlib; it is not changed.
            step: when it was made.
        """

    def log_text(self, tag: str, text: str, step: int = 0) -> None:
        """Keep a text in Markdown.

        Args:
            tag: its name.
            text: of any length.
            step: when it was made.
        """

    def log_hyperparameters(self, values: Mapping[str, Value]) -> None:
        """Keep what was chosen before the start.

        Args:
            values: by name.
        """

    def flush(self) -> None:
        """Write what was logged so far, so that a kill loses none of it."""

    def close(self) -> None:
        """Write all, and end."""

    def abandon(self) -> None:
        """Let go after a failure, when nothing is written any more: wait for what is still ending."""
        return
