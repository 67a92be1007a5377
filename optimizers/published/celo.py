"""Celo's and Celo-Adam's published weights, as amoudgl/celo writes them, under our names."""

from l2obench.foundation.tensor_file import require_tensors
from l2obench.foundation.tensor_metadata import TensorFileError
from l2obench.foundation.tensors import Tensors
from l2obench.optimizers.learned.celo import Celo
from l2obench.optimizers.learned.celo_adam import CeloAdam
from l2obench.optimizers.learned.progress_features import PROGRESS_FEATURES
from l2obench.optimizers.published.velo import STACK, perceptron, perceptron_shapes, schedule, schedule_shapes


def celo_from_flax(theirs: Tensors) -> Celo | CeloAdam:
    """Celo with published weights; Celo-Adam where the file has no perceptron.

    Args:
        theirs: arrays by their path, as `parse_flax_file` gives them.

    Raises:
        TensorFileError: they are not Celo's; the message says what differs.
    """
    cell = theirs.get("lstm_init_state/hidden")
    if cell is None or cell.ndim != 2 or not 1 <= cell.shape[1] <= 1024:
        raise TensorFileError("lstm_init_state/hidden must be a row of 1 to 1024 units")
    units = cell.shape[1]
    shapes = schedule_shapes(PROGRESS_FEATURES, units)
    if not any(name.startswith(STACK) for name in theirs):
        require_tensors(theirs, shapes)
        return CeloAdam(hidden=units).with_meta_parameters(schedule(theirs))
    # Controls of a bank of one: their softmax is 1 whatever it is given, so that these weights have no effect.
    unused = {"rnn_params/rnn_to_controls/w": (units, 1), "rnn_params/rnn_to_controls/b": (1,)}
    require_tensors(theirs, shapes | unused | perceptron_shapes(bank=1))
    alone = {name: tensor[0] for name, tensor in perceptron(theirs).items()}
    return Celo(hidden=units).with_meta_parameters(schedule(theirs) | alone)
