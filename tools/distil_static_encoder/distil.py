"""Makes src/turnout/encoders/static.safetensors: see README.md beside this file."""

from __future__ import annotations

import collections
import json
import random
from pathlib import Path

import click
import corpus
import numpy as np
import student
from decontaminate import near_test_questions, test_questions
from safetensors.numpy import save_file
from teacher import Teacher

from turnout.encoders.base import tokens_of
from turnout.encoders.static import Vocabulary

VALIDATION_SHARE = 0.03


@click.command()
@click.option("--sources", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--teacher", "teacher_folder", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Keeps what is slow to make.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--dim", default=256, show_default=True)
@click.option("--words", "n_words", default=24_576, show_default=True)
@click.option("--buckets", "n_buckets", default=8_192, show_default=True)
@click.option("--epochs", default=12, show_default=True)
@click.option("--learning-rate", default=0.003, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--at-most", type=int, help="Train on so many texts only.")
@click.option("--encode-only", is_flag=True)
def main(
    sources: Path, data: Path, teacher_folder: Path, work: Path, output: Path, dim: int, n_words: int,
    n_buckets: int, epochs: int, learning_rate: float, seed: int, at_most: int | None, encode_only: bool,
) -> None:  # fmt: skip
    """Distil all-MiniLM-L6-v2 into a table of word vectors."""
    work.mkdir(parents=True, exist_ok=True)
    train, validation = read_texts(sources, data, work, seed)
    teacher = Teacher(teacher_folder / "model.safetensors", teacher_folder / "tokenizer.json")
    counts = collections.Counter(t for _, text in train for t in tokens_of(text, max_tokens=1024))
    pieces = {p for p in teacher.tokenizer.get_vocab() if not p.startswith(("##", "["))}
    items = sorted(pieces | {word for word, count in counts.items() if count >= 2})

    held_out = [text for _, text in validation]
    validation_targets = teacher.encode_to(work / "teacher", held_out)
    item_targets = teacher.encode_to(work / "teacher", items)
    train = train[:at_most]
    texts = [text for _, text in train]
    targets = teacher.encode_to(work / "teacher", texts)
    if encode_only:
        return

    # Known words: the most frequent ones of the texts, then the rest of the teacher's own whole words.
    ranked = sorted(items, key=lambda item: (-counts[item], item not in pieces, item))
    vocabulary = Vocabulary(ranked[:n_words], n_buckets)

    _, _, axes = np.linalg.svd(targets[:: max(1, len(targets) // 20_000)], full_matrices=False)
    axes = axes[:dim].T
    inputs = student.features(vocabulary, texts + items)
    wanted = student.unit(np.concatenate([targets, item_targets]) @ axes)
    weights = np.concatenate([np.ones(len(texts)), np.full(len(items), 0.5)]).astype(np.float32)

    share = np.array([counts[word] for word in vocabulary.words]) / max(1, sum(counts.values()))
    start = np.zeros((n_words + n_buckets, dim), dtype=np.float32)
    teacher_of = dict(zip(items, item_targets, strict=True))
    start[:n_words] = np.array([teacher_of[word] for word in vocabulary.words]) @ axes
    start[:n_words] *= (1e-3 / (1e-3 + share))[:, np.newaxis]
    start[n_words:] = np.random.default_rng(seed).normal(scale=0.02, size=(n_buckets, dim))

    held_out_inputs = student.features(vocabulary, held_out)
    held_out_wanted = student.unit(validation_targets @ axes)

    def report(table: np.ndarray) -> str:
        vectors = student.unit(held_out_inputs @ table)
        cosine = float(np.einsum("ij,ij->i", vectors, held_out_wanted).mean())
        ranks = student.measure(vectors, validation_targets, seed=seed)
        return f"cosine {cosine:.4f}, " + ", ".join(f"{name} {value:.4f}" for name, value in ranks.items())

    click.echo(f"start: {report(start)}", err=True)
    table = student.fit(
        inputs, wanted, weights, start,
        epochs=epochs, learning_rate=learning_rate, batch=1024, seed=seed, progress=report,
    )  # fmt: skip
    rounded, scales = student.quantise(table)
    click.echo(f"quantised: {report(rounded * scales[:, np.newaxis])}", err=True)
    by_source = collections.Counter(source for source, _ in train)
    words = np.frombuffer("\n".join(vocabulary.words).encode(), dtype=np.uint8)
    save_file({"words": words, "table": rounded, "scales": scales}, output)
    measures = {
        "texts": dict(by_source),
        "words": len(items),
        "validation texts": len(held_out),
        "validation": report(rounded * scales[:, np.newaxis]),
        "energy kept by the projection": float((np.linalg.norm(validation_targets @ axes, axis=1) ** 2).mean()),
        "by source": {
            source: report_source(source, validation, held_out_inputs, rounded * scales[:, np.newaxis], held_out_wanted)
            for source in sorted({source for source, _ in validation})
        },
    }
    output.with_suffix(".measures.json").write_text(json.dumps(measures, indent=1) + "\n", encoding="utf-8")


def report_source(
    source: str, validation: list[tuple[str, str]], inputs: object, table: np.ndarray, wanted: np.ndarray
) -> float:
    chosen = np.array([number for number, (name, _) in enumerate(validation) if name == source])
    vectors = student.unit(inputs[chosen] @ table)  # type: ignore[index]
    return round(float(np.einsum("ij,ij->i", vectors, wanted[chosen]).mean()), 4)


def read_texts(sources: Path, data: Path, work: Path, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Texts for training and for validation, with their sources; none near a test question, none on both sides."""
    kept = work / f"texts-{seed}.json"
    if not kept.exists():
        pairs = corpus.build(sources, data, seed=seed)
        near = near_test_questions([text for _, text in pairs], test_questions(data))
        dropped = collections.Counter(source for (source, _), drop in zip(pairs, near, strict=True) if drop)
        click.echo(f"dropped, near a test question: {dict(dropped)}", err=True)
        pairs = [pair for pair, drop in zip(pairs, near, strict=True) if not drop]
        sides = [random.Random(f"{seed} {text}").random() < VALIDATION_SHARE for _, text in pairs]
        held_out = [pair for pair, side in zip(pairs, sides, strict=True) if side]
        train = [pair for pair, side in zip(pairs, sides, strict=True) if not side]
        train += corpus.join(train, corpus.JOINED, seed)
        held_out += corpus.join(held_out, int(corpus.JOINED * VALIDATION_SHARE), seed)
        kept.write_text(json.dumps([corpus.in_random_order(train, seed), held_out]), encoding="utf-8")
    train, held_out = json.loads(kept.read_text(encoding="utf-8"))
    return [tuple(pair) for pair in train], [tuple(pair) for pair in held_out]


if __name__ == "__main__":
    main()
