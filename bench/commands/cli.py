"""The command line: `l2obench run | report | check | train | train-suite | train-start | updates | list | info | …`.

Exit codes: 0 fine, 1 a regression or a plugin that breaks its contract, 2 usage, 3 a run failed unexpectedly, 4 nothing
comparable, 130 interrupted, 143 terminated. Heavy modules are imported by the commands that need them, so that help and
lists come at once.
"""

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.check import check
from l2obench.bench.commands.import_weights import import_weights
from l2obench.bench.commands.info import info
from l2obench.bench.commands.list import list_
from l2obench.bench.commands.options import show_version
from l2obench.bench.commands.prepare import prepare
from l2obench.bench.commands.process import EXIT_USAGE, Terminated, complain, heed_signals
from l2obench.bench.commands.report import report
from l2obench.bench.commands.run import run
from l2obench.bench.commands.targets import targets
from l2obench.bench.commands.test_plugin import check_plugin
from l2obench.bench.commands.train import train
from l2obench.bench.commands.train_start import train_start
from l2obench.bench.commands.train_suite import train_suite
from l2obench.bench.commands.updates import updates

app = typer.Typer(
    name="l2obench",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets are part of identities
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Does a learned optimizer beat a well-tuned hand-designed one: where, by how much, at what cost?"""


app.command()(run)
app.command()(report)
app.command()(train)
app.command("train-suite")(train_suite)
app.command("train-start")(train_start)
app.command()(check)
app.command()(updates)
app.command()(targets)
app.command("list")(list_)
app.command()(info)
app.command()(prepare)
app.command("import-weights")(import_weights)
app.command("test-plugin")(check_plugin)


def main() -> None:
    """Run the command line; every error that a user can cause ends in one line and an exit code."""
    heed_signals()
    sys.path.append(os.getcwd())  # where a dotted path such as `-o mine.MyRule` is looked for last
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TyperException as error:
        complain(error.format_message())
        code = EXIT_USAGE
    except Terminated as stopped:
        complain(str(stopped))
        code = stopped.exit_code
    except Exception as error:
        # Errors that a user can cause say with which code they end; any other is a defect, shown with its traceback.
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        complain(str(error))
    sys.exit(code or 0)
