"""A plugin imported and made so that neither can end the command, hold it up or change its settings."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from l2obench.bench.config.left_running import noted
from l2obench.bench.config.trial_import import ProcessEnded, try_apart
from l2obench.foundation.deadline import DeadlinePassed, deadline
from l2obench.foundation.errors import describe_error

IMPORT_SECONDS = 120.0  # torch and a large package take a tenth of it on a busy machine

Made = TypeVar("Made")
_survived = set[str]()


class PluginEnded(ValueError):
    """A plugin's code ended its process, or took too long, when it was imported or made."""

    exit_code = 2


def call_foreign(who: str, action: Callable[[], Made], key: str) -> Made:
    """Call a function that imports a plugin's module or makes its class.

    The first call with a key is tried in a copy of this process, which may die. The settings of this process are put
    back afterwards, and what the code prints goes to stderr: a command's answer may be JSON.

    Args:
        who: what the error names.
        action: the function.
        key: of what was tried already, and is not tried again.

    Returns:
        What the function returns.

    Raises:
        PluginEnded: the code exits, crashes or interrupts, or takes longer than `IMPORT_SECONDS`.

    Example:
        The second is skipped as a test: where other threads run, nothing is tried apart.

        >>> import os
        >>> call_foreign("my rule", lambda: 3, "my rule")
        3
        >>> call_foreign("your rule", lambda: os._exit(5), "your rule")  # doctest: +SKIP
        Traceback (most recent call last):
        l2obench.bench.config.foreign_code.PluginEnded: your rule cannot be imported or made: its code ended its ...
    """
    # Imported here, since it brings torch: a plugin does that anyway, and a list of names should not.
    from l2obench.foundation.global_settings import settings_kept

    try:
        with settings_kept(), _streams_kept(), deadline(IMPORT_SECONDS):
            if key in _survived:
                return action()
            try_apart(action, IMPORT_SECONDS)
            _survived.add(key)
            with noted():
                return action()
    except ProcessEnded as error:
        raise PluginEnded(
            f"{who} cannot be imported or made: its code {error}. Try: python -c 'import …' on its module to see why"
        ) from error
    except DeadlinePassed as error:
        raise PluginEnded(f"{who} must be imported and made within {IMPORT_SECONDS:g} s, took longer") from error
    except BaseException as error:
        if isinstance(error, Exception) or hasattr(error, "exit_code"):  # ours have one, as after Ctrl-C
            raise
        raise PluginEnded(f"{who} cannot be imported or made: {describe_error(error)}") from error


@contextlib.contextmanager
def _streams_kept() -> Iterator[None]:
    """Standard output leads to standard error, also for other languages and processes; both are there again afterwards.

    A file that is opened where one of them was closed would be written into by whoever prints.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    kept = list[tuple[int, int]]()
    try:
        for descriptor in (0, 1, 2):
            with contextlib.suppress(OSError):  # the command was started without it
                kept.append((descriptor, os.dup(descriptor)))
        if len(kept) == 3:
            os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for descriptor, copy in kept:
            os.dup2(copy, descriptor)
            os.close(copy)
