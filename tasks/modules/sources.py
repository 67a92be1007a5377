"""Where the minibatches of a `ModuleTask` come from: tensors, a dataset, a `DataLoader`, or the user's function."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from l2obench.foundation.tensors import take_rows
from l2obench.tasks.base import Tensors
from l2obench.tasks.modules.batches import BadModule, Structure, flatten
from l2obench.tasks.modules.randomness import OwnRandomness, next_seed

HELDOUT_EXAMPLES = 1000
"""Examples of a held-out minibatch, where the data say none."""
END = object()


class Source(ABC):
    """Data that give minibatches; `structure` is known from the first one on."""

    structure: Structure | None = None

    @abstractmethod
    def stream(self, generator: torch.Generator) -> Iterator[Tensors] | None:
        """Minibatches without end; None where they are drawn by index.

        Args:
            generator: the source of all randomness.
        """

    @abstractmethod
    def once(self) -> Iterator[Tensors]:
        """All of the data, once, in their order."""

    def facts(self) -> dict[str, Any]:
        """What is known of the data, for the manifest; nothing where that would take a pass over them."""
        return {}

    def _flattened(self, batch: Any, what: str) -> Tensors:
        tensors, structure = flatten(batch, what)
        if self.structure is None:
            self.structure = structure
        if structure.names != self.structure.names:
            raise BadModule(
                f"{what}: every minibatch must hold the same tensors, got {', '.join(structure.names)} after "
                f"{', '.join(self.structure.names)}. Try: one structure for all"
            )
        return tensors


class Columns(Source):
    """Tensors of equal length, one row an example, drawn with replacement.

    Args:
        data: tensors or arrays, nested in tuples and dicts.
        what: whose it is, for errors.
        batch: examples in a minibatch.

    Raises:
        BadModule: their lengths differ, or are 0.
    """

    def __init__(self, data: Any, what: str, batch: int) -> None:
        self._tensors, self.structure = flatten(data, what)
        self._batch = batch
        lengths = {name: len(value) if value.ndim else 0 for name, value in self._tensors.items()}
        if len(set(lengths.values())) > 1 or not min(lengths.values()):
            listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise BadModule(
                f"{what}: all tensors must have one row an example, and one example at least, got lengths {listed}. "
                "Try: return x, y with as many rows in y as in x"
            )
        self._count = min(lengths.values())
        self._on_device: dict[torch.device, Tensors] = {}

    def stream(self, generator: torch.Generator) -> None:
        return None

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        """Rows of each minibatch.

        Args:
            generator: the source of all randomness.
            steps: how many minibatches.

        Returns:
            `index [steps, batch]`.
        """
        return {"index": torch.randint(self._count, (steps, self._batch), generator=generator)}

    def gathered(self, index: torch.Tensor) -> Tensors:
        """The examples of minibatches.

        Args:
            index: rows, `[seeds, batch]`, on the device of the run.

        Returns:
            `[seeds, batch, ...]` each, by name.
        """
        if index.device not in self._on_device:
            self._on_device[index.device] = {name: value.to(index.device) for name, value in self._tensors.items()}
        return {name: take_rows(value, index) for name, value in self._on_device[index.device].items()}

    def once(self) -> Iterator[Tensors]:
        for first in range(0, self._count, HELDOUT_EXAMPLES):
            yield {name: value[first : first + HELDOUT_EXAMPLES] for name, value in self._tensors.items()}

    def facts(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for name, value in self._tensors.items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return {"sha256": digest.hexdigest(), "examples": self._count}


class Stream(Source):
    """Epochs of an iterable. Whatever its iteration draws from global generators belongs to its seed.

    Args:
        epoch: gives the iterable of an epoch; it is called inside the seed's own randomness, with its generator.
        what: whose it is, for errors.
    """

    def __init__(self, epoch: Callable[[torch.Generator], Iterable[Any]], what: str) -> None:
        self._epoch = epoch
        self._what = what

    def stream(self, generator: torch.Generator) -> Iterator[Tensors]:
        own, theirs = OwnRandomness(next_seed(generator)), torch.Generator().manual_seed(next_seed(generator))
        while True:
            count = 0
            for batch in _in_own_randomness(own, lambda: self._epoch(theirs)):
                count += 1
                yield {**self._flattened(batch, self._what), "noise": torch.tensor(next_seed(generator))}
            if count == 0:
                raise BadModule(f"{self._what} must give minibatches, got none. Try: drop_last=False, or more examples")

    def once(self) -> Iterator[Tensors]:
        own, theirs = OwnRandomness(0), torch.Generator().manual_seed(0)
        for batch in _in_own_randomness(own, lambda: self._epoch(theirs)):
            yield self._flattened(batch, self._what)


class Items(Stream):
    """A dataset with numbered items, drawn with replacement and collated as a `DataLoader` does.

    Args:
        dataset: gives an item by number, and has a length.
        what: whose it is, for errors.
        batch: items in a minibatch.

    Raises:
        BadModule: it is empty.
    """

    def __init__(self, dataset: Any, what: str, batch: int) -> None:
        if not len(dataset):
            raise BadModule(
                f"{what} must hold examples, got an empty {type(dataset).__name__}. Try: a dataset with some"
            )
        self._dataset = dataset

        def epoch(generator: torch.Generator) -> Iterator[Any]:
            while True:
                rows = torch.randint(len(dataset), (batch,), generator=generator).tolist()
                yield default_collate([dataset[row] for row in rows])

        super().__init__(epoch, what)

    def once(self) -> Iterator[Tensors]:
        for batch in _in_own_randomness(OwnRandomness(0), lambda: DataLoader(self._dataset, HELDOUT_EXAMPLES)):
            yield self._flattened(batch, self._what)


def make_source(data: Any, what: str, batch: int, batch_given: bool) -> Source:
    """The source that fits what a user returned.

    Args:
        data: tensors or arrays in a tuple or dict, a `Dataset`, or a `DataLoader`.
        what: whose it is, for errors: `Mine.training_data`.
        batch: examples in a minibatch.
        batch_given: whether somebody asked for that many.

    Raises:
        BadModule: it is something else, or empty; or it has minibatches of its own size although `batch` was given.
    """
    if isinstance(data, DataLoader):
        if batch_given:
            raise BadModule(f"{what} gives a DataLoader, which has a batch size of its own, got batch={batch} as well")
        _refuse_shared_generator(data, what)
        return Stream(lambda _: data, what)
    if isinstance(data, TensorDataset):
        return Columns(data.tensors, what, batch)
    if isinstance(data, IterableDataset):
        return Stream(lambda _: DataLoader(data, batch), what)
    if isinstance(data, Dataset | list):
        return Items(data, what, batch)
    if isinstance(data, tuple | dict) or hasattr(data, "__array__"):
        return Columns(data, what, batch)
    raise BadModule(
        f"{what} must return tensors, a Dataset or a DataLoader, got {type(data).__name__}. Try: return x, y"
    )


def _refuse_shared_generator(loader: DataLoader[Any], what: str) -> None:
    """One generator for the streams of all seeds would make each depend on the others."""
    if loader.generator is not None or getattr(loader.sampler, "generator", None) is not None:
        raise BadModule(
            f"{what}: a DataLoader with a generator gives other minibatches in every run. "
            "Try: leave generator out, l2obench seeds it; or define minibatches(self, generator)"
        )
    if loader.persistent_workers:
        raise BadModule(f"{what}: a DataLoader with persistent_workers serves one seed at a time. Try: leave it out")


def _in_own_randomness(own: OwnRandomness, iterable: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """The items of an iterable, each step of whose iteration draws from `own`."""
    with own.active():
        iterator = iter(iterable())
    while True:
        with own.active():
            item = next(iterator, END)
        if item is END:
            return
        yield item
