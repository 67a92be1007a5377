"""`l2obench import-weights`: published weights as a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException


def import_weights(
    source: Annotated[
        Path,
        typer.Argument(
            help="Published file: VeLO's or Celo's theta.state (or params), Celo2's weights as .safetensors, or "
            "Open-L2O's cw.l2l-0 or rp.l2l-0."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Checkpoint to write, a .safetensors file.")],
) -> None:
    """Convert published weights of VeLO, Celo, Celo-Adam, Celo2 or Open-L2O to a checkpoint.

    The file itself tells whose weights it holds. The checkpoint keeps the file's name, hash, source and licence.
    No code of a file is run: Open-L2O's pickles are read as data.

    Exit codes: 0 finished, 2 wrong usage or a file that holds no such weights.

    Examples:
        l2obench import-weights theta.state celo.safetensors
        l2obench run -t quadratic -o 'celo[checkpoint=celo.safetensors]'
    """
    from l2obench.bench.store.files import write_atomically
    from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX
    from l2obench.optimizers.published.conversion import convert

    if out.suffix != TENSOR_FILE_SUFFIX:
        raise TyperException(f"OUT must be a {TENSOR_FILE_SUFFIX} file, got {out}. Try: {out.stem}{TENSOR_FILE_SUFFIX}")
    name, content = convert(source)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise TyperException(f"{out} cannot be written: {error.strerror}") from error
    print(f"Checkpoint written to {out}. Use it as: -o '{name}[checkpoint={out}]'")
