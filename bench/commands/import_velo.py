"""`l2obench import-velo`: published weights as a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException


def import_velo(
    source: Annotated[
        Path, typer.Argument(help="VeLO's weights as google/learned_optimization writes them: params, or theta.state.")
    ],
    out: Annotated[Path, typer.Argument(help="The checkpoint to write, a .safetensors file.")],
) -> None:
    """Convert VeLO's weights to a checkpoint.

    Then -o 'velo[checkpoint=FILE]' runs it.
    """
    from l2obench.bench.store.files import write_atomically
    from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX
    from l2obench.optimizers.learned.velo_weights import convert

    if out.suffix != TENSOR_FILE_SUFFIX:
        raise TyperException(f"{out} is to be a {TENSOR_FILE_SUFFIX} file")
    content = convert(source)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise TyperException(f"{out} cannot be written: {error.strerror}") from error
    print(f"{out}: velo[checkpoint={out}]")
