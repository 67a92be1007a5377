"""How optimizers are drawn: apart for every kind of colour vision, on light and dark, and the same everywhere."""

import itertools

import numpy as np
import pytest

from l2obench.reports.figures.styles import (
    BACKGROUNDS,
    DASHES,
    HEAT,
    MARKERS,
    PALETTES,
    SHAPES,
    colour_variables,
    line_style,
    looks,
    page_styles,
)

# Of linear RGB, for people without one kind of cone: Machado, Oliveira & Fernandes 2009, table 1, severity 1.0.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
INKS = {"light": "#1b2430", "dark": "#e6eaf0"}


def linear(colour):
    """Linear RGB, as WCAG 2.2 defines it."""
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    dark, light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def oklab(rgb):
    """Ottosson 2020: distances are about as large as they look."""
    to_cones = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.6806995, 0.10739696],
        [0.08830246, 0.28171884, 0.6299787],
    ]
    to_lab = [
        [0.21045426, 0.7936178, -0.00407205],
        [1.9779985, -2.4285922, 0.4505937],
        [0.02590404, 0.78277177, -0.80867577],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ np.clip(rgb, 0, 1))


def test_contrast_is_that_of_wcag():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("background", ["light", "dark"])
def test_every_line_has_three_to_one_on_its_background(background):
    for colours in PALETTES[background].values():
        for colour, surface in itertools.product(colours, BACKGROUNDS[background]):
            assert contrast(colour, surface) >= 3, colour


@pytest.mark.parametrize("background", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart_by_every_kind_of_colour_vision(background, vision):
    seen = {
        colour: oklab(np.array(VISION[vision]) @ linear(colour))
        for colours in PALETTES[background].values()
        for colour in colours
    }
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 0.03, (one, other)


@pytest.mark.parametrize("background", ["light", "dark"])
def test_numbers_on_the_map_of_ratios_are_read(background):
    for colour in HEAT[background]:
        assert contrast(INKS[background], colour) >= 4.5, colour


@pytest.mark.parametrize("vision", VISION)
def test_the_two_ends_of_the_map_differ_for_every_kind_of_colour_vision(vision):
    for colours in HEAT.values():
        low, high = (oklab(np.array(VISION[vision]) @ linear(colour)) for colour in (colours[0], colours[-1]))
        assert np.linalg.norm(low - high) > 0.08


def test_learned_optimizers_and_baselines_differ_in_hue_dash_and_marker():
    assert not set(PALETTES["light"]["learned"]) & set(PALETTES["light"]["baseline"])
    assert not set(DASHES["learned"]) & set(DASHES["baseline"])
    assert not set(MARKERS["learned"]) & set(MARKERS["baseline"])
    style = {name: line_style(look) for name, look in looks({"lstm": True, "adam": False}).items()}
    assert style["lstm"]["markerfacecolor"] == style["lstm"]["color"]
    assert style["adam"]["markerfacecolor"] != style["adam"]["color"]


def test_optimizers_have_looks_of_their_own_whatever_order_they_come_in():
    names = {f"rule-{k}": False for k in range(24)} | {f"lstm-{k}": True for k in range(6)}
    found = looks(names)
    assert len(set(found.values())) == len(names)
    assert looks(dict(reversed(names.items()))) == found


def test_the_page_has_the_looks_of_the_figures():
    names = {"adam": False, "lstm": True, "sgd": False}
    for name, look in looks(names).items():
        here = page_styles(names)[name]
        colour = PALETTES["light"][look.kind][look.colour]
        assert f"{here['colour']}: {colour};" in colour_variables("light")
        assert here["shape"] == SHAPES[str(line_style(look)["marker"])]
        assert bool(here["dash"]) == (line_style(look)["linestyle"] != "-")
