"""`l2obench prepare`: data sets, downloaded and checked."""

from typing import Annotated

import typer
from typer.exceptions import TyperException

from l2obench.bench.commands.completion import DATA_SETS, complete_data
from l2obench.bench.commands.options import DataDir
from l2obench.bench.commands.process import set_data_dir
from l2obench.foundation.names import explain_unknown


def prepare(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="Without download: mnist5k, photos10, mnist1d (the default). Downloads: mnist, cifar10, vgg16.",
            autocompletion=complete_data,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Download data sets and check them.

    Checksums are compared. Data that are slow to parse are parsed once, so that later runs start quickly.

    Files: below --data-dir, else below the folder in L2OBENCH_DATA, else below ~/.cache/l2obench.

    Exit codes: 0 finished, 2 wrong usage, a failed download or a wrong checksum.

    Examples:
        l2obench prepare
        l2obench prepare mnist cifar10 --data-dir /data
    """
    from l2obench.tasks.data.cifar10 import fetch_cifar10, read_cifar10
    from l2obench.tasks.data.digits import digits
    from l2obench.tasks.data.folder import data_dir as data_folder
    from l2obench.tasks.data.mnist import fetch_mnist
    from l2obench.tasks.data.mnist1d import mnist1d
    from l2obench.tasks.data.photos10 import crops
    from l2obench.tasks.data.vgg import fetch_vgg16

    set_data_dir(data_dir)
    folder = data_folder()
    for name in data or ["mnist5k", "photos10", "mnist1d"]:
        match name:
            case "mnist5k":
                train, test = len(digits("mnist5k", "train").labels), len(digits("mnist5k", "test").labels)
            case "mnist":
                fetch_mnist(folder)
                train, test = len(digits("mnist", "train").labels), len(digits("mnist", "test").labels)
            case "photos10":
                train, test = len(crops("train")[1]), len(crops("test")[1])
            case "mnist1d":
                train, test = len(mnist1d("train").labels), len(mnist1d("test").labels)
            case "cifar10":
                fetch_cifar10(folder)
                train, test = len(read_cifar10("train", folder)[1]), len(read_cifar10("test", folder)[1])
            case "vgg16":
                print(f"vgg16: convolutions of torchvision's weights, ready in {fetch_vgg16(folder)}")
                continue
            case _:
                raise TyperException(explain_unknown("data set", name, DATA_SETS))
        print(f"{name}: {train:,} train, {test:,} test, ready in {folder}")
