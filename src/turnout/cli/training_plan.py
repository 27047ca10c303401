"""What `turnout evaluate` trains before it measures: which routers, with which encoder, on how many labels of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout import registry
from turnout.cli.settings import parse_settings
from turnout.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from turnout.evaluation.candidates import Unfitted
    from turnout.evaluation.pair_table import PairTable


def unfitted_routers(
    names: Sequence[str], *, encoder_name: str, settings: Sequence[str], n_texts: int, vectors: Path | None = None
) -> dict[str, Unfitted]:
    """What is to be trained, by the name it was given: a router's, or ROUTER@ENCODER.

    Args:
        names: folders, shipped routers and baselines among them are passed over.
        encoder_name: for routers that name none.
        settings: each KEY=VALUE, for all of them.
        n_texts: how many texts may be asked for. Routers share their encoders, and each text is encoded once.
        vectors: the file in which vectors are kept for later runs.

    Raises:
        UnknownNameError: no router, encoder or setting has this name.
        InvalidValueError: a setting is not KEY=VALUE.
    """
    from turnout.encoders.cache import CachedEncoder
    from turnout.evaluation.candidates import Unfitted, needs_no_training

    encoders: dict[str, CachedEncoder] = {}
    found = {}
    for name in names:
        if needs_no_training(name):
            continue
        router_name, _, own_encoder = name.partition("@")
        router_class = registry.load("router", router_name)
        chosen = own_encoder or encoder_name
        if chosen not in encoders:
            encoders[chosen] = CachedEncoder(registry.load("encoder", chosen)(), capacity=n_texts, path=vectors)
            click.get_current_context().call_on_close(encoders[chosen].close)
        given = parse_settings(f"router '{router_name}'", router_class, settings)
        found[name] = Unfitted(router_name, encoders[chosen], given)
    return found


def label_counts(words: Sequence[str], tables: Sequence[PairTable]) -> list[tuple[PairTable, int | None]]:
    """Each table with each number of golden labels that is asked for it; with None where none is.

    Args:
        words: numbers, for each table that has none of its own, and BENCHMARK=NUMBER.
        tables: what is measured. Where several numbers are about, the titles of the tables returned hold theirs.

    Raises:
        UnknownNameError: a number is for a benchmark that is not measured.
        InvalidValueError: a number is none.

    >>> label_counts([], [])
    []
    """
    names = {table.name for table in tables}
    for_all: list[int] = []
    own: dict[str, list[int]] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not number.isdecimal():
            raise InvalidValueError(f"--golden-labels takes a whole number or BENCHMARK=NUMBER, got '{word}'.")
        if name and name not in names:
            raise UnknownNameError("benchmark in this run", name, names)
        (own.setdefault(name, []) if name else for_all).append(int(number))
    if len(for_all) <= 1 and not own:
        return [(table, for_all[0] if for_all else None) for table in tables]
    found: list[tuple[PairTable, int | None]] = []
    for table in tables:
        counts = dict.fromkeys(own.get(table.name, for_all))
        found += [(replace(table, title=f"{table.title}, {count:,} labels"), count) for count in counts]
        found += [] if counts else [(table, None)]
    return found
