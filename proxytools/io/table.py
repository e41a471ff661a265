"""Open a parquet or CSV file, or a frame, as named columns, with one clear error otherwise."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from proxytools.errors import InputError
from proxytools.io.column import At

BATCH_ROWS = 131_072
CSV_BLOCK_BYTES = 2 << 20
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Table:
    """A file of columns, opened but not yet read.

    Parameters
    ----------
    path : Path
    names : tuple of str
        The columns the file has.
    is_csv : bool
        CSV columns are read as text and converted here, so that an error can name its line.
    metadata : dict
        Key-value metadata of a parquet file.
    held : pyarrow.Table, optional
        The columns themselves, where they come from a frame in memory.
    """

    path: Path
    names: tuple[str, ...]
    is_csv: bool
    metadata: dict[bytes, bytes] = field(default_factory=dict)
    held: Any = None

    def at(self, row: int, column: str = "") -> str:
        """Name a place: a line as an editor counts (CSV), a row as pandas counts (parquet)."""
        place = f"{self.path}, line {row + 2}" if self.is_csv else f"{self.path}, row {row}"
        return f"{place}, column {column}" if column else place

    def places(self, row: int = 0, column: str = "") -> At:
        """Return what names the i-th row from ``row`` on."""
        return lambda i: self.at(row + i, column)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns from the first row to the last, in bounded memory."""
        if self.held is not None:
            yield from self.held.select(list(columns)).to_batches(BATCH_ROWS)
            return
        with _readable(self.path):
            if not self.is_csv:
                with pq.ParquetFile(self.path, pre_buffer=False) as file:
                    yield from file.iter_batches(BATCH_ROWS, columns=list(columns))
                return
            yield from pa.csv.open_csv(
                self.path,
                read_options=pa.csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types={name: pa.string() for name in columns},
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )

    def read(self, columns: Sequence[str]) -> dict[str, Any]:
        """Read the columns whole: a pyarrow array each. A file without rows is refused."""
        parts = list(self.batches(columns))
        rows = pa.Table.from_batches(parts) if parts else None
        if rows is None or not rows.num_rows:
            raise self.empty()
        with _readable(self.path):
            return {name: rows[name].combine_chunks() for name in columns}

    def empty(self) -> InputError:
        """Return the error for a file that has columns and no rows."""
        return InputError(str(self.path), got="no rows", expected="at least one row")


def open_frame(frame: Any, name: str) -> Table:
    """Open a frame of any library that speaks Arrow; its text columns become plain strings.

    Raises
    ------
    InputError
        Where it is no such frame, or holds what Arrow has no type for.
    """
    if not hasattr(frame, "__arrow_c_stream__"):
        raise InputError(
            name,
            got=f"a {type(frame).__name__}",
            expected="a frame of pandas, polars or pyarrow (anything with __arrow_c_stream__)",
        )
    try:
        held = pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            name,
            got=f"a column that Arrow cannot hold ({str(error).splitlines()[0].rstrip('.')})",
            expected="columns of numbers, texts, times, and lists of them",
        ) from error
    columns = [_plain(column) for column in held.columns]
    held = pa.table(columns, held.schema.names).replace_schema_metadata(held.schema.metadata)
    metadata = dict(held.schema.metadata or {})
    return Table(Path(name), _distinct(held.schema.names, name), False, metadata, held)


def open_table(path: str | os.PathLike[str] | Table) -> Table:
    """Open a file and look at its columns; parquet is known by its first bytes.

    What is open already is returned as it is.

    Raises
    ------
    InputError
        Where there is no such file, or it is a directory, empty, truncated or of another format.
    """
    if isinstance(path, Table):
        return path
    path = Path(path)
    if path.is_dir():
        raise InputError(str(path), got="a directory", expected="a parquet or CSV file")
    if not path.exists():
        near = _near_file(path)
        raise InputError(
            str(path),
            got="no such file",
            expected="a parquet or CSV file",
            fix=f"Did you mean {near}" if near else "",
        )
    with _readable(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise InputError(
                str(path), got="an empty file (0 bytes)", expected="a parquet or CSV file"
            )
        if magic == b"PAR1" or path.suffix in PARQUET_SUFFIXES:
            with pq.ParquetFile(path) as parquet:
                schema = parquet.schema_arrow
        else:
            # The type of each column is guessed from the first block and not used.
            with pa.csv.open_csv(path) as reader:
                schema = reader.schema
    is_csv = magic != b"PAR1"
    names = _distinct([name.removeprefix("\ufeff") for name in schema.names], str(path))
    return Table(path, names, is_csv, dict(schema.metadata or {}))


def require(table: Table, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Refuse a table that lacks a needed column, or seems to misspell an optional one.

    An optional column that is passed over because of a typing error would change the result
    without a word: a misspelt parent, for one, lets windows of one parent straddle a split.
    """
    known = {*needed, *optional}
    strange = {name.lower().strip(): name for name in table.names if name not in known}
    for name in (*needed, *optional):
        if name in table.names:
            continue
        must = name in needed
        near = difflib.get_close_matches(name, strange, n=1, cutoff=0.6 if must else 0.8)
        if must or near:
            raise InputError(
                str(table.path),
                got=f"the columns {', '.join(table.names)}",
                expected=f"a column {name}" if must else f"no column like {name}, or {name} itself",
                fix=f"Rename {strange[near[0]]!r} to {name}" if near else "",
            )


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what pyarrow and the system raise on an unreadable file into an `InputError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            str(path),
            got=f"an unreadable file ({str(error).splitlines()[0].rstrip('.')})",
            expected="a complete parquet or CSV file",
        ) from error


def _distinct(names: Sequence[str], where: str) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                where, got=f"{names.count(name)} columns {name}", expected="one of each name"
            )
    return tuple(names)


def _plain(column: Any) -> Any:
    """Return the column without text views, which not all of pyarrow knows and polars hands out."""
    kind = column.type
    if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(pa.large_string()))
            for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, pa.dictionary(kind.index_type, pa.large_string()))
    return column.cast(_without_views(kind))


def _without_views(kind: Any) -> Any:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_without_views(kind.value_type))
    return kind


def _near_file(path: Path) -> str:
    """Name a file in the same folder that the reader may have meant, "" for none."""
    if not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    return near[0] if near else ""
