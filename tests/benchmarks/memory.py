"""How much memory a call takes at its highest, beyond what the process held before."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def peak_bytes(run: Callable[[], object]) -> float | None:
    """Growth of the resident memory's peak; nothing where the system does not say (Linux does)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text(RESET_PEAK)
        before = _resident("VmRSS")
        run()
        return max(0.0, _resident("VmHWM") - before)
    except (OSError, AttributeError):
        run()
        return None


def _resident(what: str) -> float:
    found = re.search(rf"^{what}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return 1024.0 * int(found[1])
