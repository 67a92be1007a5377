"""The rows of `make benchmark`: a table to print, a Parquet file, and a part of docs/performance.md."""

import datetime
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from l2obench.bench.measure.load import Load
from l2obench.bench.store.environment import environment
from l2obench.reports.formats import to_markdown
from tests.benchmarks.floor import Floor


@dataclass(frozen=True)
class Row:
    """One path against one peer."""

    path: str
    peer: str
    seconds: float
    """Median of ours, processor time."""
    ratio: float | None
    """Median of the peer over median of ours; none: the peer is not installed."""
    reach: str
    aim: str
    floor_seconds: float | None
    peak_bytes: float | None
    coordinates: int | None = None
    """How many coordinates are updated, each step counted, where that is what the path does."""

    @property
    def coordinate_seconds(self) -> float | None:
        """Ours, of one coordinate."""
        return None if self.coordinates is None else self.seconds / self.coordinates


def to_frame(rows: list[Row], load: Load) -> pd.DataFrame:
    """The rows as numbers, with the processor and what else it did."""
    found = pd.DataFrame([asdict(row) for row in rows])
    return found.assign(processor=environment("cpu")["processor"], **load.columns())


def to_table(rows: list[Row]) -> pd.DataFrame:
    """The rows as words, for people."""
    return pd.DataFrame(
        [
            {
                "path": row.path,
                "peer": row.peer,
                "peer ÷ ours": "peer not installed" if row.ratio is None else f"{row.ratio:.3g}",
                "reach": row.reach,
                "aim": row.aim,
                "ours, ms": f"{1e3 * row.seconds:.3g}",
                "ours, ns a coordinate": "" if (own := row.coordinate_seconds) is None else f"{1e9 * own:.3g}",
                "ours ÷ floor": "" if row.floor_seconds is None else f"{row.seconds / row.floor_seconds:.3g}",
                "peak memory, MiB": "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}",
            }
            for row in rows
        ]
    )


def describe_load(load: Load) -> str:
    """Whether the machine was quiet while a table was measured, as the timing pass of a run defines it."""
    if load.under_load is None:
        return "The load is unknown: this system does not say what other processes did."
    found = f"Other processes kept {load.others_busy:.2g} of {load.processors} processors busy"
    return f"{found}: measured under load, do not quote it." if load.under_load else f"{found}: measured quiet."


def about(floor: Floor, load: Load) -> str:
    """The machine, the day and the load, for under the table."""
    found = environment("cpu")
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("torch", "numpy"))
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {found['processor']}, one thread, Python "
        f"{platform.python_version()}, {versions}. Floor of this run: {floor.flops / 1e9:.0f} GFLOP/s in products, "
        f"{floor.bytes / 1e9:.1f} GB/s in copies, {floor.sigmoids / 1e9:.2f} G sigmoids/s.\n{describe_load(load)}"
    )


def write(page: Path, rows: list[Row], floor: Floor, load: Load) -> None:
    """Put the table into `page`, and its numbers beside it as Parquet."""
    put_between(page, "rows", f"{to_markdown(to_table(rows))}\n{about(floor, load)}")
    floors = {f"floor_{key}_per_second": value for key, value in asdict(floor).items()}
    to_frame(rows, load).assign(**floors).to_parquet(page.with_suffix(".parquet"), index=False)


def put_between(page: Path, mark: str, text: str) -> None:
    """Replace what stands in `page` between the two comments of this name; the prose around it stays."""
    begin, end = f"<!-- begin: {mark} -->", f"<!-- end: {mark} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
