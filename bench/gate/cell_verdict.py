"""The verdicts that a cell of a check can get, and what each means for the whole."""

from dataclasses import dataclass
from typing import Literal

from l2obench.bench.gate.effect import Effect

CellVerdict = Literal[
    "failed", "missing", "tail", "worse", "slower", "inconclusive", "not comparable", "new", "better", "same"
]
VERDICTS: tuple[CellVerdict, ...] = (
    *("failed", "missing", "tail", "worse", "slower", "inconclusive"),
    *("not comparable", "new", "better", "same"),
)
"""In the order in which they are shown."""
FAILING: frozenset[CellVerdict] = frozenset({"failed", "missing", "tail", "worse", "slower"})
NOT_COMPARED: frozenset[CellVerdict] = frozenset({"missing", "not comparable", "new"})
EXIT_FINE, EXIT_REGRESSION, EXIT_NOTHING_COMPARABLE, EXIT_INCONCLUSIVE = 0, 1, 4, 5


@dataclass(frozen=True)
class Settings:
    """What a check is asked for besides its two sides."""

    tolerance: float | None = None
    """Instead of what the tasks state."""
    allow_missing: bool = False
    """Cells and seeds that HEAD lacks do not fail."""
    time_limit: float | None = None
    """Step-time ratio above which a cell fails; none: step time is advisory."""


@dataclass(frozen=True)
class CellComparison:
    """What was found of one cell."""

    task: str
    optimizer: str
    track: str
    verdict: CellVerdict
    reason: str
    """Why, in words; empty where there is nothing to say."""
    seeds: int = 0
    """Seeds that both sides finished."""
    tolerance: float | None = None
    effects: tuple[Effect, ...] = ()
    """With p-values corrected by Holm's method."""
    step_time_ratio: float | None = None
    warnings: tuple[str, ...] = ()
    """What else differs between the sides."""
    best_of_class: str | None = None
    """HEAD's best baseline on the task among those that look at nothing more, with its track."""
    best_of_all: str | None = None
    """HEAD's best baseline on the task, with its track."""


@dataclass(frozen=True)
class Check:
    """What was found of all cells."""

    comparisons: list[CellComparison]

    @property
    def failing(self) -> list[CellComparison]:
        return [item for item in self.comparisons if item.verdict in FAILING]

    @property
    def compared(self) -> list[CellComparison]:
        return [item for item in self.comparisons if item.verdict not in NOT_COMPARED]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a regression, 4 nothing was comparable, whatever is missing, 5 no regression but a cell unclear."""
        if not self.compared:
            return EXIT_NOTHING_COMPARABLE
        if self.failing:
            return EXIT_REGRESSION
        unclear = any(item.verdict == "inconclusive" for item in self.comparisons)
        return EXIT_INCONCLUSIVE if unclear else EXIT_FINE
