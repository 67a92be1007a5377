"""The command line: the table of all commands, and how errors end it.

Exit codes: 0 fine, 1 a regression or a plugin that breaks its contract, 2 usage, 3 a run failed unexpectedly, 4 nothing
comparable, 5 inconclusive, 129, 130, 143 ended by a signal. A command's module is imported when the command is called.
"""

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.command_help import CONTEXT_SETTINGS
from l2obench.bench.commands.lazy_group import CommandEntry, LazyGroup
from l2obench.bench.commands.options import show_version
from l2obench.bench.commands.process import EXIT_FAILED, EXIT_USAGE, Terminated, install_signal_handlers, print_error
from l2obench.bench.commands.streams import lost_output, protect_streams

COMMANDS = {
    "Benchmark": {
        "run": CommandEntry("run:run", "Run optimizers on tasks and write the results."),
        "report": CommandEntry("report:report", "Write tables, figures and one HTML page from results."),
        "leaderboard": CommandEntry("leaderboard:leaderboard", "Rank the optimizers of several runs on one page."),
        "check": CommandEntry("check:check", "Check whether a run or a checkpoint got worse than another."),
        "pack": CommandEntry("pack:pack", "Put the files of a run into one Parquet file a kind."),
        "targets": CommandEntry("targets:targets", "Make fixed target losses from a run."),
        "updates": CommandEntry("updates:updates", "Plot the updates that optimizers propose for the same gradients."),
    },
    "Meta-training": {
        "train": CommandEntry("train:train", "Meta-train a learned optimizer and keep the best checkpoint."),
        "train-suite": CommandEntry(
            "train_suite:train_suite", "Meta-train all learned optimizers that a suite compares."
        ),
        "train-start": CommandEntry(
            "train_start:train_start", "Learn an initialization for the functions of a task family."
        ),
        "import-weights": CommandEntry(
            "import_weights:import_weights",
            "Convert published weights of VeLO, Celo, Celo-Adam, Celo2 or Open-L2O to a checkpoint.",
        ),
    },
    "Tasks, optimizers and data": {
        "list": CommandEntry("list:list_", "List tasks, optimizers, suites, checkpoints, starts and recipes."),
        "info": CommandEntry("info:info", "Describe a task, an optimizer, a suite, results or this machine."),
        "prepare": CommandEntry("prepare:prepare", "Download data sets and check them."),
        "test-plugin": CommandEntry(
            "test_plugin:check_plugin", "Test whether a task or an optimizer works with l2obench."
        ),
    },
}
"""Section of the help → command → its function in a module of this folder, and the first line of its help."""


class AllCommands(LazyGroup):
    """The commands of the table."""

    sections = COMMANDS


app = typer.Typer(
    name="l2obench",
    cls=AllCommands,
    context_settings=CONTEXT_SETTINGS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets are part of identities
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmark learned optimizers against well-tuned hand-designed ones.

    Each command explains itself: l2obench COMMAND --help

    First steps:
        l2obench run quick             # a few minutes; writes results/quick
        l2obench report quick          # writes results/quick/report/index.html

    Exit codes: 0 success, 1 a regression or a failed plugin check, 2 wrong usage, 3 a run failed,
    4 nothing comparable, 5 inconclusive, 129, 130, 143 ended by a signal.
    """


def main() -> None:
    """Run the command line; every error that a user can cause ends in one line and an exit code."""
    protect_streams()
    install_signal_handlers()
    sys.path.append(os.getcwd())  # where a dotted path such as `-o mine.MyRule` is looked for last
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False, prog_name="l2obench")
    except TyperException as error:
        print_error(error.format_message())
        code = EXIT_USAGE
    except Terminated as stopped:
        print_error(str(stopped))
        code = stopped.exit_code
    except Exception as error:
        # Errors that a user can cause say with which code they end; any other is a defect, shown with its traceback.
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        print_error(str(error))
    if (lost := lost_output()) is not None:
        print_error(lost)
        code = code or EXIT_FAILED
    # Imported by the first plugin; most commands never meet one.
    if (left := sys.modules.get("l2obench.bench.config.left_running")) is not None:
        # Where the command failed, a line says why already, and one mistake has one line.
        left.end_left_running(code or 0, print_error if not code else lambda _: None)
    sys.exit(code or 0)
