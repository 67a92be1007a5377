"""All sections of the report, in the order of the page."""

from importlib import import_module

from l2obench.reports.sections.section import Section

NAMES = (
    "answer",
    "tasks",
    "between",
    "explore",
    "caveats",
    "headline",
    "pictures",
    "final_losses",
    "heldout",
    "heldout_means",
    "generalization",
    "wins",
    "horizon",
    "starts",
    "recipe_verdicts",
    "recipes",
    "budget",
    "trials_to_match",
    "trials_by_task",
    "side_by_side",
    "time_to_target",
    "against_adam",
    "profiles",
    "step_times",
    "costs",
    "amortization",
    "tuning",
    "failures",
    "unfinished",
    "environment",
)
"""Modules of this package. To add a section, add its module here."""


def load_sections(names: tuple[str, ...] = NAMES) -> tuple[Section, ...]:
    """Import the sections of these modules.

    Args:
        names: of modules in this folder, in the order of the report.

    Example:
        >>> [section.title for section in load_sections(("tuning", "failures"))]
        ['Tuning', 'Failures']
    """
    return tuple(import_module(f"l2obench.reports.sections.{name}").SECTION for name in names)
