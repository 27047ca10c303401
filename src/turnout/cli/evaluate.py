"""`turnout evaluate`: what routers would have scored and cost, on benchmarks or on outcomes of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout import registry
from turnout.cli.benchmark_data import benchmark_folder
from turnout.cli.settings import SEED, set_option
from turnout.errors import InvalidValueError
from turnout.types import JSON, ModelPair

if TYPE_CHECKING:
    from turnout.evaluation.candidates import Candidates
    from turnout.evaluation.footprint import Footprint
    from turnout.evaluation.golden import GoldenSplit
    from turnout.evaluation.pair_table import PairTable
    from turnout.evaluation.runner import Evaluation

FILE = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)
RESULTS = "results.json"


@click.command(epilog="Example: turnout evaluate my-router random --benchmark mmlu --data outcomes/ --plot curves.png")
@click.argument("routers", nargs=-1, required=True)
@click.option("--benchmark", "benchmarks", multiple=True, help="Such as mmlu, gsm8k, mt-bench; may be given again.")
@click.option(
    "--data", "data_dir", type=FILE, help="The folder with the benchmarks' outcomes; by default those pulled."
)
@click.option("--outcomes", "outcomes_path", type=FILE, help="Your own outcomes (JSON Lines) instead of a benchmark.")
@click.option("--pair", "pair_text", metavar="STRONG,WEAK", help="The two models; by default the benchmark's own.")
@click.option("--by-source", is_flag=True, help="Measure each source of --outcomes on its own.")
@click.option(
    "--golden-labels",
    "label_words",
    multiple=True,
    metavar="[BENCHMARK=]N",
    help="Train on N random questions, test on the others; may be given again.",
)
@click.option("--seeds", type=COUNT, default=5, show_default=True, help="How many times, with other questions.")
@click.option(
    "--development-seed", type=SEED, metavar="SEED", help="Test no seed on the questions that this one trains on."
)
@click.option("--encoder", "encoder_name", default="static", show_default=True, help="For routers that are trained.")
@click.option("--vectors", "vectors_path", type=FILE, help="Keep the encoders' vectors in this file for later runs.")
@set_option
@click.option(
    "--battles", "battles_path", type=FILE, help="Battles (JSON Lines) to train on: besides golden labels, or alone."
)
@click.option(
    "--decontaminate", "met_paths", type=FILE, multiple=True, help="Test no query that this training data has met."
)
@click.option(
    "--replicates",
    type=COUNT,
    default=1_000,
    show_default=True,
    help="Bootstrap draws for the intervals.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--compare", is_flag=True, help="Print a leaderboard: paired differences, time to train and to decide.")
@click.option("--against", metavar="ROUTER", help="Whom --compare compares all with; by default the best.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", "out_dir", type=FILE, help="Also write results.json to this folder.")
@click.option("--plot", "plot_path", type=FILE, help="Also draw the curves: .png, .pdf or .svg (extra 'plots').")
def evaluate(
    routers: tuple[str, ...],
    benchmarks: tuple[str, ...],
    data_dir: Path | None,
    outcomes_path: Path | None,
    pair_text: str | None,
    by_source: bool,
    label_words: tuple[str, ...],
    seeds: int,
    development_seed: int | None,
    encoder_name: str,
    vectors_path: Path | None,
    settings: tuple[str, ...],
    battles_path: Path | None,
    met_paths: tuple[Path, ...],
    replicates: int,
    seed: int,
    compare: bool,
    against: str | None,
    as_json: bool,
    out_dir: Path | None,
    plot_path: Path | None,
) -> None:
    """Measure ROUTERS on outcomes: PGR, APGR, CPT, quality, dollars, each with its 95 % interval.

    A router is a folder, a shipped router's name, or a baseline (random, always-strong, always-weak, length); with
    --golden-labels or --battles also the name of a router that is then trained, as NAME or NAME@ENCODER.
    """
    from turnout.atomic_write import check_writable_file
    from turnout.cli.training_plan import label_counts, unfitted_routers
    from turnout.data.battles import Battles
    from turnout.evaluation.candidates import Training, replay_candidates
    from turnout.evaluation.leaderboard import Leaderboard
    from turnout.evaluation.plots import check_can_plot, plot_curves
    from turnout.evaluation.report import json_report, text_report
    from turnout.evaluation.runner import check_has_gap
    from turnout.evaluation.runner import evaluate as measure

    if settings and not (label_words or battles_path):
        raise InvalidValueError("--set is for routers that are trained here: give --golden-labels or --battles too.")
    if against is not None and not (compare and against in routers):
        raise InvalidValueError("--against names one of the routers that --compare compares.")
    if by_source and outcomes_path is None:
        raise InvalidValueError("--by-source cuts a file of --outcomes; each benchmark stands alone anyway.")
    if plot_path is not None:
        check_can_plot(plot_path)
    if out_dir is not None:
        check_writable_file(out_dir / RESULTS)
    tables = load_tables(benchmarks, data_dir, outcomes_path, None if pair_text is None else ModelPair.parse(pair_text))
    if by_source:
        tables = tables[0].by_source()
    protocol: dict[str, JSON] = {}
    if met_paths:
        tables = [_without_met_queries(table, met_paths) for table in tables]
        protocol["decontaminated"] = {str(path): file_sha256(path) for path in met_paths}
    for table in tables:
        check_has_gap(table)
    counted = label_counts(label_words, tables)
    battles = None if battles_path is None else Battles.read_jsonl(battles_path)
    to_train, trains = {}, bool(label_words) or battles is not None
    if trains:
        n_texts = sum(map(len, tables)) + (0 if battles is None else len(battles))
        to_train = unfitted_routers(
            routers, encoder_name=encoder_name, settings=settings, n_texts=n_texts, vectors=vectors_path
        )
    if label_words:
        numbers = {table.title: number for table, number in counted}
        protocol |= {
            "golden_labels": counted[0][1] if len({*numbers.values()}) == 1 else numbers,
            "seeds": list(range(seeds)),
            "development_seed": development_seed,
        }
    if battles_path is not None:
        protocol["battles"] = {"file": str(battles_path), "sha256": file_sha256(battles_path)}
    evaluations: list[Evaluation] = []
    described: dict[str, JSON] = {}
    footprints: dict[str, Footprint] = {}
    for table, n_labels in counted:
        if to_train and n_labels is None and battles is None:
            raise InvalidValueError(
                f"There is nothing to train on for {table.title}: give --golden-labels {table.name}=N, N for all "
                "benchmarks, or --battles FILE."
            )
        training = Training(to_train, n_labels, seeds, battles, development_seed) if trains else None
        unmeasured = [name for name in routers if compare and name not in footprints]
        candidates = replay_candidates(routers, table, training, footprints=unmeasured, track=_with_bar)
        _warn(candidates)
        click.echo(f"measuring {table.title} …", err=True)
        evaluations.append(measure(candidates.table, candidates.replays, n_replicates=replicates, seed=seed))
        described |= candidates.described
        footprints |= candidates.footprints
    report = json_report(evaluations, protocol=protocol, routers=described, command=["turnout", *sys.argv[1:]])
    board = Leaderboard.of(evaluations, footprints, against=against) if compare else None
    if board is not None:
        report["leaderboard"] = board.to_json()
    if out_dir is not None:
        _write_json(out_dir / RESULTS, report)
    if plot_path is not None:
        plot_curves(evaluations, plot_path)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif board is not None:
        click.echo(board.markdown(), nl=False)
    else:
        click.echo("\n\n".join(text_report(one) for one in evaluations))


def load_tables(
    benchmarks: Sequence[str], data_dir: Path | None, outcomes_path: Path | None, pair: ModelPair | None
) -> list[PairTable]:
    """The tables that the options name; says what is missing or too much."""
    from turnout.evaluation.benchmarks.base import load_benchmark
    from turnout.evaluation.pair_table import PairTable

    if bool(benchmarks) == bool(outcomes_path):
        raise InvalidValueError(
            f"Give either --benchmark ({', '.join(registry.names('benchmark'))}) or --outcomes FILE, "
            f"got {'both' if benchmarks else 'neither'}."
        )
    if outcomes_path is not None:
        if pair is None:
            raise InvalidValueError("--outcomes needs --pair STRONG,WEAK: which two models are to be compared.")
        return [PairTable.of_file(outcomes_path, pair)]
    declared = [load_benchmark(name) for name in benchmarks]
    folder = benchmark_folder(data_dir)
    return [PairTable.of_benchmark(benchmark, folder, pair) for benchmark in declared]


def _without_met_queries(table: PairTable, training: tuple[Path, ...]) -> PairTable:
    """The table less the queries that are in the training data too, as the same text or as a near copy."""
    from turnout.cli.contamination import training_queries
    from turnout.data.contamination import find_contaminated, kept_rows
    from turnout.errors import EmptyDataError

    matches = find_contaminated(table.outcomes.queries, training_queries(training))
    kept = kept_rows(len(table), matches)
    if not kept.any():
        raise EmptyDataError(f"The training data has met every query of {table.title}: there is nothing to test on.")
    click.echo(f"{len(matches):,} {table.units} of {table.title} left out: the training data has met them.", err=True)
    return table.take(kept)


def _with_bar(splits: Sequence[GoldenSplit], label: str) -> Iterator[GoldenSplit]:
    with click.progressbar(splits, label=label, show_pos=True, file=sys.stderr) as bar:
        yield from bar


def _warn(candidates: Candidates) -> None:
    table = candidates.table
    for name in candidates.sat_out:
        click.echo(f"{name} sits {table.title} out: it learned from its {table.units}.", err=True)
    if candidates.n_seen_left_out:
        click.echo(
            f"{candidates.n_seen_left_out:,} {table.units} of {table.title} left out: a router learned from them.",
            err=True,
        )
    if candidates.n_battles_left_out:
        click.echo(
            f"{candidates.n_battles_left_out:,} battles left out: {table.title} asks the same queries.", err=True
        )
    if candidates.n_of_other_pairs:
        click.echo(
            f"{candidates.n_of_other_pairs:,} battles left out, except for routers that learn about many models: they "
            f"are not between {table.pair}.",
            err=True,
        )
    for name, description in candidates.described.items():
        scored = description.get("scored_pair", str(table.pair))
        if scored != str(table.pair):
            click.echo(f"{name} does not know both models: its win rates are about its own pair, {scored}.", err=True)


def _write_json(path: Path, value: JSON) -> None:
    from turnout.atomic_write import write_atomically

    with write_atomically(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def file_sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
