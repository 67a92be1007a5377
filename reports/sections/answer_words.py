"""The answer in words: one claim for each learned optimizer, and what speaks for and against it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats.verdict import ENOUGH
from l2obench.reports.formats import join_lines
from l2obench.reports.numbers.answer import Answer, cannot_decide
from l2obench.reports.numbers.tally import Tally
from l2obench.reports.sections.answer_facts import Fact, count_tasks, make_facts, name_baselines
from l2obench.reports.sections.words import format_ratio, format_short


@dataclass(frozen=True)
class Card:
    """What is said of one learned optimizer."""

    name: str
    """With its track, and its run where there are several."""
    claim: str
    """Training loss against the best baseline, as a sentence without the name."""
    brief: str
    """The same where a heading says what is compared, and `against` what with."""
    against: str
    """The best baseline, or that it differs between tasks."""
    verdicts: str
    """How many tasks have which verdict, as a sentence; or that none can have one."""
    decided: bool
    """Whether a task can have a verdict."""
    facts: tuple[Fact, ...]

    def sentences(self, favours: bool) -> list[str]:
        """Give what speaks for it, or against it.

        Args:
            favours: True for what speaks for it.
        """
        return [fact.sentence for fact in self.facts if fact.favours == favours]

    def fact(self, name: str) -> Fact | None:
        """Give the fact of a column; None where there is none.

        Args:
            name: of the column.
        """
        return next((fact for fact in self.facts if fact.name == name), None)


def make_card(answer: Answer, undecidable: bool = False, changes: Sequence[Fact] = ()) -> Card:
    """Say what an answer says.

    Args:
        answer: of one learned optimizer.
        undecidable: no comparison of the table can have a verdict, as `cannot_decide` finds.
        changes: what differs from other runs.
    """
    found = answer.training
    return Card(
        name=join_lines(name_answer(answer)),
        claim=join_lines(_claim(answer)),
        brief=join_lines(_brief(found)),
        against=join_lines(name_baselines(answer.baselines)) if found else "the best baseline",
        verdicts=_verdicts(found, undecidable),
        decided=bool(found and found.decided) and not undecidable,
        facts=tuple(
            Fact(fact.name, join_lines(fact.sentence), join_lines(fact.short), fact.favours)
            for fact in [*changes, *make_facts(answer)]
        ),
    )


def name_answer(answer: Answer) -> str:
    """Name a learned optimizer with its track, and its run where there are several.

    Args:
        answer: of the optimizer.
    """
    run = f" in {answer.run}" if answer.run else ""
    return f"{answer.optimizer}, {name_track(answer.track)}{run}"


def name_track(track: str) -> str:
    """Name a track as words: `default` is untuned.

    Args:
        track: of a cell.
    """
    return "untuned" if not is_tuned(track) else track


def explain(answers: Sequence[Answer], tasks: pd.DataFrame) -> list[str]:
    """What a reader must know of the numbers, each a sentence.

    Args:
        answers: all of them.
        tasks: as `l2obench.reports.numbers.by_task.by_task` gives them.
    """
    found = []
    counted = [answer.training for answer in answers if answer.training]
    few = tasks[tasks["verdict"].eq("too few seeds")]
    if len(few):
        all_few = len(few) == sum(item.tasks for item in counted)
        which = "the tasks have no verdict" if all_few else f"{len(few)} comparisons have no verdict"
        found.append(
            f"With {_span(few['seeds'])} seeds {which} of their own, which takes {ENOUGH} seeds. Their points are "
            "hollow, and their intervals reach from 0 to ∞."
        )
    if undecidable := cannot_decide(tasks):
        found.append(
            f"With {undecidable[0]} seeds and {undecidable[1]} comparisons no corrected p-value can fall below 0.05. "
            "“Not shown” does not mean that there is no difference. Read the intervals."
        )
    if len(few) or undecidable:
        found += [_sign_test(answer) for answer in answers if answer.training and answer.training.tasks > 1][:1]
    differences = sum(item.tasks - item.ratios for item in counted)
    if differences:
        have = "1 comparison has" if differences == 1 else f"{differences} comparisons have"
        found.append(f"{have} negative losses. They count by their difference, and have no place in the typical ratio.")
    return [join_lines(sentence) for sentence in found]


def _claim(answer: Answer) -> str:
    found = answer.training
    if found is None:
        return "no baseline ran on its tasks, so there is nothing to compare it with."
    other = name_baselines(answer.baselines)
    ratio = f"typical ratio {format_ratio(found.ratio)}" if found.ratios else "its losses are negative"
    if found.tasks == 1:
        word = "lower" if found.lower else "higher" if found.higher else "equal"
        than = "to" if word == "equal" else "than"
        return f"on its only task its training loss ends {word} {than} that of {other}; {ratio}."
    equal = f", equal on {found.equal}" if found.equal else ""
    return f"lower training loss than {other} on {found.lower} of {found.tasks} tasks{equal}; {ratio}."


def _brief(found: Tally | None) -> str:
    return "nothing to compare it with." if found is None else f"{count_tasks(found)}."


def _verdicts(found: Tally | None, undecidable: bool) -> str:
    if found is None:
        return ""
    if undecidable or not found.decided:
        return "No task has the seeds for a verdict of its own."
    if found.tasks == 1:
        return f"Verdict: {next(name for name, count in found.verdicts.items() if count)}."
    return f"Verdicts: {', '.join(f'{name} {count}' for name, count in _ordered(found.verdicts) if count)}."


def _ordered(verdicts: dict[str, int]) -> list[tuple[str, int]]:
    order = ["better", "no difference", "mixed", "worse", "too few seeds"]
    return [(name, verdicts[name]) for name in order]


def _sign_test(answer: Answer) -> str:
    found = answer.training
    assert found is not None
    return (
        f"A sign test over the {found.lower + found.higher} tasks of {answer.optimizer} gives p = "
        f"{format_short(found.sign_p)}. It takes tasks for independent, but those of one family are related."
    )


def _span(seeds: "pd.Series[int]") -> str:
    low, high = int(seeds.min()), int(seeds.max())
    return str(low) if low == high else f"{low} to {high}"
