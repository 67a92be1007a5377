"""The charting library, Vega with Vega-Lite, out of vl-convert's wheel: the page inlines it and fetches nothing."""

import functools

import vl_convert

# vl-convert 1.9 gives null for `vega` and `vegaLite`; the two are inside `vegaEmbed`, which draws with them.
SNIPPET = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def charting_library() -> str:
    """One script that defines `vegaEmbed`."""
    script: str = vl_convert.javascript_bundle(SNIPPET)
    # Inside an element nothing but its own end tag ends a script; in strings and patterns the escape means the same.
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def versions() -> str:
    """Name and versions, for the page's last line."""
    return f"Vega {vl_convert.get_vega_version()}, Vega-Lite {vl_convert.get_vegalite_versions()[-1]}"
