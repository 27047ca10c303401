"""`turnout data decontaminate` and `turnout data similarity`: what a test shares with training data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from turnout import registry
from turnout.data.inspection import read_data
from turnout.data.jsonl import write_jsonl
from turnout.errors import EmptyDataError
from turnout.types import Encoder

FILE = click.Path(path_type=Path)
NO_ENCODER = "none"


@click.command(epilog="Example: turnout data decontaminate test.jsonl --against train.jsonl --out clean.jsonl")
@click.argument("file", type=FILE)
@click.option("--against", "training", type=FILE, multiple=True, required=True, help="Training data; may be repeated.")
@click.option(
    "--encoder", "encoder_name", default=NO_ENCODER, show_default=True, help="Also drop what it finds similar."
)
@click.option("--threshold", type=float, help="The cosine from which it does; by default the encoder's own.")
@click.option("--out", required=True, type=FILE, help="The rows of FILE that training has not met.")
@click.option("--dropped", "dropped_path", type=FILE, help="Write which were dropped, and what they match.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def decontaminate(
    file: Path,
    training: tuple[Path, ...],
    encoder_name: str,
    threshold: float | None,
    out: Path,
    dropped_path: Path | None,
    as_json: bool,
) -> None:
    """Drop the rows of FILE (battles or outcomes) whose query training has met: the same, a near copy, or similar.

    Between two parts of one benchmark leave the encoder away: its questions are all similar, and only copies count.
    """
    from turnout.data.contamination import find_contaminated, kept_rows

    table = read_data(file)
    learned = training_queries(training)
    matches = find_contaminated(table.queries, learned, encoder=_encoder(encoder_name), threshold=threshold)
    kept = table.take(kept_rows(len(table), matches))
    if not len(kept):
        raise EmptyDataError("training has met every query: nothing would be left.", path=file)
    if dropped_path is not None:
        write_jsonl(
            dropped_path,
            (
                {
                    "query": table.queries[match.row],
                    "kind": match.kind,
                    "score": match.score,
                    "matches": learned[match.training_row],
                }
                for match in matches
            ),
        )
    kept.write_jsonl(out)
    kinds = Counter(match.kind for match in matches)
    if as_json:
        click.echo(json.dumps({"kept": len(kept), "dropped": dict(kinds)}))
        return
    click.echo(f"{len(kept):,} of {len(table):,} rows written to {out}")
    for kind, count in kinds.most_common():
        click.echo(f"dropped: {count:,} ({kind})")


@click.command(epilog="Example: turnout data similarity outcomes.jsonl --against battles.jsonl")
@click.argument("file", type=FILE)
@click.option("--against", "training", type=FILE, multiple=True, required=True, help="Training data; may be repeated.")
@click.option("--encoder", "encoder_name", default="static", show_default=True, help="Whose cosine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def similarity(file: Path, training: tuple[Path, ...], encoder_name: str, as_json: bool) -> None:
    """Say how near the queries of FILE are to training data: the mean of each query's highest cosine.

    The paper's table 5. Figures of two encoders do not compare.
    """
    from turnout.data.contamination import dataset_similarity
    from turnout.data.outcomes import Outcomes

    table = read_data(file)
    slices = table.slice if isinstance(table, Outcomes) else table.source
    encoder = _encoder(encoder_name)
    assert encoder is not None
    found = dataset_similarity(encoder, table.queries, training_queries(training), slices=slices)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    click.echo(f"{found.mean:.4f}  all {found.n_queries:,} queries")
    for name, (n_queries, mean) in found.by_slice.items():
        click.echo(f"{mean:.4f}  {name} ({n_queries:,})")


def training_queries(paths: tuple[Path, ...]) -> list[str]:
    """The queries of files of battles or outcomes."""
    return [query for path in paths for query in read_data(path).queries]


def _encoder(name: str) -> Encoder | None:
    if name == NO_ENCODER:
        return None
    encoder: Encoder = registry.load("encoder", name)()
    return encoder
