"""The charting library, Vega with Vega-Lite, out of vl-convert's wheel: the page inlines it and fetches nothing."""

import functools
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import vl_convert

# vl-convert 1.9 gives null for `vega` and `vegaLite`; the two are inside `vegaEmbed`, which draws with them.
SNIPPET = "window.vegaEmbed = vegaEmbed;"
PROGRAM = f"import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle({SNIPPET!r}).encode())"


def start_bundling() -> Future[str]:
    """Begin to make the library, so that it is there when the numbers are."""
    pool = ThreadPoolExecutor(1)
    found = pool.submit(charting_library)
    pool.shutdown(wait=False)
    return found


@functools.cache
def charting_library() -> str:
    """One script that defines `vegaEmbed`."""
    script = _bundled()
    # Inside an element nothing but its own end tag ends a script; in strings and patterns the escape means the same.
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def versions() -> str:
    """Name and versions, for the page's last line."""
    return f"Vega {vl_convert.get_vega_version()}, Vega-Lite {vl_convert.get_vegalite_versions()[-1]}"


def _bundled() -> str:
    """The library as vl-convert bundles it, in a process of its own: it takes two seconds and holds Python's lock."""
    try:
        made = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=120)
        return made.stdout.decode("utf-8")
    except (OSError, subprocess.SubprocessError):  # a frozen program, or no process to be had
        script: str = vl_convert.javascript_bundle(SNIPPET)
        return script
