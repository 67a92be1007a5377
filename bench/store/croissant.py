"""A run as a data set that others can find and load: Croissant, the JSON-LD of MLCommons (version 1.0).

The file stands beside the manifest, and names the Parquet files of the run with their hashes and columns.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from l2obench.bench.store.column_words import COLUMNS, KINDS
from l2obench.bench.store.files import write_atomically
from l2obench.bench.store.packed_file import PACKED
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS

FILE = "croissant.json"
CHUNK = 2**20
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives for all files."""
COLLECTION = (
    "Each row of `cells` is one optimization of one function by one optimizer. "
    "All optimizers of a task and seed had the same function, start and minibatches."
)
LIMITATIONS = (
    "Seconds hold for the machine of the run. "
    "Losses of failed rows are not results: `status` says which failed, and `reason` why."
)


def write_croissant(run: RunFolder, license_url: str | None = None) -> Path:
    """Describe a run whose files are packed.

    Args:
        run: its folder; the file is written there.
        license_url: under which the results may be used; None: the file says nothing about it.

    Returns:
        The file. The same results give the same bytes.

    Raises:
        StoreError: the folder is no run, has files that are not packed, or cannot be written.
    """
    content = json.dumps(describe_run(run, license_url), indent=2, ensure_ascii=False) + "\n"
    try:
        write_atomically(run.folder / FILE, content.encode())
    except OSError as error:
        raise StoreError(f"{run.folder} cannot be written: {error.strerror}") from error
    return run.folder / FILE


def describe_run(run: RunFolder, license_url: str | None = None) -> dict[str, Any]:
    """Give the description of a run as JSON-LD.

    Args:
        run, license_url: as `write_croissant` takes them.

    Raises:
        StoreError: as `write_croissant` says.
    """
    manifest, files = run.manifest, _packed_files(run)
    suite = str(manifest.get("suite") or run.folder.name)
    environment = manifest.get("environment") or {}
    version = (environment.get("versions") or {}).get("l2obench")
    commit = environment.get("commit") or "unknown"
    facts = {
        "version": version,
        "datePublished": manifest.get("started"),
        "license": license_url,
        "citeAs": f"l2obench {version or ''}, results of suite {suite}, commit {commit}",
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"l2obench-{suite}",
        "description": f"Results of l2obench, suite {suite}: {manifest.get('description') or 'no description'}",
        **{name: str(value) for name, value in facts.items() if value},
        "rai:dataCollection": COLLECTION,
        "rai:dataLimitations": LIMITATIONS,
        "distribution": [_describe_file(kind, path) for kind, path in files.items()],
        "recordSet": [_describe_rows(kind, path) for kind, path in files.items()],
    }


def _packed_files(run: RunFolder) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for kind in SCHEMAS:
        folder = run.folder / kind
        found = sorted(path.name for path in folder.glob("*.parquet"))
        if found and found != [f"{PACKED}.parquet"]:
            raise StoreError(f"{folder} has files that are not packed. Try: l2obench pack {run.folder}")
        if found:
            files[kind] = folder / found[0]
    return files


def _describe_file(kind: str, path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
            size += len(part)
    place = f"{kind}/{path.name}"
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": place,
        "description": KINDS[kind],
        "contentUrl": place,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": digest.hexdigest(),
    }


def _describe_rows(kind: str, path: Path) -> dict[str, Any]:
    place = f"{kind}/{path.name}"
    return {
        "@type": "cr:RecordSet",
        "@id": kind,
        "name": kind,
        "description": KINDS[kind],
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{kind}/{column.name}",
                "name": column.name,
                "description": COLUMNS[column.name],
                **_data_type(column.type),
                "source": {"fileObject": {"@id": place}, "extract": {"column": column.name}},
            }
            for column in pq.read_schema(path)
        ],
    }


def _data_type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {**_data_type(kind.value_type), "repeated": True}
    if pa.types.is_boolean(kind):
        return {"dataType": "sc:Boolean"}
    if pa.types.is_integer(kind):
        return {"dataType": "sc:Integer"}
    if pa.types.is_floating(kind):
        return {"dataType": "sc:Float"}
    # The only column of bytes holds images.
    return {"dataType": "sc:ImageObject" if pa.types.is_binary(kind) else "sc:Text"}
