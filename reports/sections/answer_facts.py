"""What speaks for a learned optimizer, and what speaks against it, each as a sentence and as a few words."""

import math
from dataclasses import dataclass

from l2obench.reports.numbers.answer import Answer, Baselines
from l2obench.reports.numbers.familiarity import KIN, OTHERS, TRAINED
from l2obench.reports.numbers.tally import Tally
from l2obench.reports.sections.words import format_ratio, format_short

SHOWN_LOSSES = 2
"""Tasks where it ends higher that a card names."""
WORTH = 2.0
"""Trials to match from which a learned optimizer saves some."""
PARTS = {TRAINED: "tasks it was trained on", KIN: "others of these families", OTHERS: "tasks of new families"}


@dataclass(frozen=True)
class Fact:
    """One thing that speaks for a learned optimizer, or against it."""

    name: str
    """What it is about: the heading of its column."""
    sentence: str
    short: str
    """The same for a column."""
    favours: bool


def make_facts(answer: Answer) -> list[Fact]:
    """Say what speaks for and against a learned optimizer, beside the claim on its training loss.

    Args:
        answer: of the optimizer.
    """
    found = answer.training
    # The first ones are what a short text has room for: what speaks against the optimizer is not to be cut off.
    facts: list[Fact | None] = [_say_heldout(answer), _say_times(answer), _say_losses(answer)]
    facts += [_say_baselines(answer.baselines), _say_familiar(answer), _say_trials(answer)]
    if found is not None and found.families > 1:
        lower, families = found.families_lower, found.families
        words = f"It ends lower on most tasks in {lower} of {families} families."
        facts.append(Fact("Families of tasks", words, f"lower in {lower} of {families}", 2 * lower > families))
    if found is not None and answer.in_class is None:
        facts.append(Fact("Best of its class", f"No baseline of its class ({answer.uses}) ran.", "none ran", False))
    elif found is not None and answer.in_class is not None and answer.other_class:
        words = f"Against the best of its class ({answer.uses}): {count_tasks(answer.in_class)}."
        facts.append(Fact("Best of its class", words, count_tasks(answer.in_class), _wins_most(answer.in_class)))
    if answer.failed:
        words = f"{answer.failed} of {answer.ran} seeds failed. They count as infinite losses."
        facts.append(Fact("Failures", words, f"{answer.failed} of {answer.ran} seeds", False))
    return [fact for fact in facts if fact is not None]


def name_baselines(baselines: Baselines) -> str:
    """Name the best baseline where one is the best of all tasks.

    Args:
        baselines: the best ones of the tasks.
    """
    tuned = "tuned " if baselines.tuned else "untuned " if baselines.untuned else ""
    return f"{tuned}{baselines.names[0]}" if len(baselines.names) == 1 else f"the best {tuned}baseline"


def _say_baselines(found: Baselines) -> Fact | None:
    """Where the comparison is an easy one: a single baseline, or none that was tuned."""
    if found.ran == 1:
        words = f"{name_baselines(found)} is the only baseline that ran."
        return Fact("Baselines", words[0].upper() + words[1:], f"only {name_baselines(found)}", False)
    if found.ran and not found.any_tuned:
        return Fact("Baselines", f"None of the {found.ran} baselines was tuned.", "none was tuned", False)
    return None


def _say_heldout(answer: Answer) -> Fact | None:
    if (found := answer.heldout) is not None:
        words = count_tasks(found)
        return Fact("Held-out loss", f"Held-out loss: {words}.", words, _wins_most(found))
    if (found := answer.accuracy) is not None:
        words = f"higher on {found.lower} of {found.tasks} tasks"
        return Fact("Held-out accuracy", f"Held-out accuracy: {words}.", words, _wins_most(found))
    return None


def _say_familiar(answer: Answer) -> Fact | None:
    """What training saw, where it is known."""
    parts = answer.familiar
    others = parts.get(OTHERS) or parts.get(KIN)
    if others is None:
        if parts or answer.training is None:
            return None
        return Fact("New families", "What it was trained on is not recorded.", "not recorded", False)
    shown = [f"{parts[name].lower} of {parts[name].tasks} {words}" for name, words in PARTS.items() if name in parts]
    name = "New families" if OTHERS in parts else "New tasks"
    short = f"lower on {others.lower} of {others.tasks}"
    return Fact(name, f"It ends lower on {', '.join(shown)}.", short, _wins_most(others))


def _say_trials(answer: Answer) -> Fact | None:
    """Trials of the best baseline until it matches, and whether that is more than one."""
    found, other = answer.trials, name_baselines(answer.baselines)
    if found is None:
        return None
    if math.isinf(found.median):
        where = f"on {found.never} of {found.tasks} tasks"
        return Fact("Trials to match", f"No trial of {other} matches it {where}.", f"no trial does {where}", True)
    never = f", on {found.never} none does" if found.never else ""
    count = format_short(found.median)
    words = f"{count} {'trial' if count == '1' else 'trials'} of {other} match it in the median task{never}."
    return Fact("Trials to match", words, f"{count}{never}", found.median >= WORTH)


def _say_times(answer: Answer) -> Fact:
    """Wall-clock time, and whether the learned optimizer is the faster one."""
    name, found, baselines = "Wall-clock time", answer.times, answer.baselines
    if found is None:
        return Fact(name, "Wall-clock time is not known: there are no step times to quote.", "not known", False)
    other = f"{baselines.names[0]}’s" if len(baselines.names) == 1 else "the best baseline’s"
    if found.adam:
        other = "Adam’s"
    step, update = format_short(found.step), format_short(found.update)
    words = f"A step takes {step} times {other}, its update {update} times"
    short = f"step {step}×, update {update}×"
    if found.targets:
        reaches = math.isfinite(found.to_target)
        times = f"the target loss takes {format_short(found.to_target)} times as long"
        words += f"; {times if reaches else 'it does not reach the target loss'}"
        short += f", to target {format_ratio(found.to_target)}"
    favours = found.to_target < 1 if found.targets else found.step < 1
    load = "" if found.load_known else " The load of the machine was not recorded."
    return Fact(name, f"{words}{' (medians)' if found.tasks > 1 else ''}.{load}", short, favours)


def _say_losses(answer: Answer) -> Fact | None:
    """Where it ends higher; the claim says that of a single task."""
    name, count = "Ends higher on", len(answer.losses)
    if answer.training is None or answer.training.tasks < 2:
        return None
    if not count:
        return Fact(name, "It ends higher on no task.", "no task", True)
    named = [
        f"{loss.task} ({format_ratio(loss.typical) if loss.measure == 'ratio' else f'+{format_short(loss.typical)}'})"
        for loss in answer.losses[:SHOWN_LOSSES]
    ]
    short = named[0] if count == 1 else f"{count} tasks, most {named[0]}"
    if count <= SHOWN_LOSSES:
        return Fact(name, f"It ends higher on {' and '.join(named)}.", short, False)
    return Fact(name, f"It ends higher on {count} tasks, most on {' and '.join(named)}.", short, False)


def count_tasks(found: Tally) -> str:
    """Say on how many tasks an optimizer is lower, with the typical ratio.

    Args:
        found: its comparisons.
    """
    tasks = "its only task" if found.tasks == 1 else f"{found.lower} of {found.tasks} tasks"
    word = "lower" if found.tasks > 1 or found.lower else "higher" if found.higher else "equal"
    return f"{word} on {tasks}" + (f", typical ratio {format_ratio(found.ratio)}" if found.ratios else "")


def _wins_most(found: Tally) -> bool:
    """Whether it is lower on more tasks than higher."""
    return found.lower > found.higher
