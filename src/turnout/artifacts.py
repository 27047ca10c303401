"""A fitted router as a folder: router.json, weights.safetensors, calibration.json and card.md. Never pickle.

This module moves bytes and checks them; which router they make is `turnout.routers.base`'s business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as dump_safetensors

from turnout.atomic_write import check_writable_folder, write_atomically, write_folder_atomically
from turnout.errors import ArtifactError, NotWritableError
from turnout.types import JSON

FORMAT = 1
ROUTER_FILE = "router.json"
WEIGHTS_FILE = "weights.safetensors"
CALIBRATION_FILE = "calibration.json"
CARD_FILE = "card.md"

_TYPES: dict[str, type] = {
    "router": str,
    "settings": dict,
    "learned": dict,
    "weights_sha256": str,
    "turnout_version": str,
    "extra": dict,
}
_WORDS: dict[type, str] = {str: "text", dict: "an object"}

MAX_JSON_BYTES = 64 * 2**20
MAX_WEIGHTS_BYTES = 64 * 2**30


@dataclass(frozen=True)
class Artifact:
    """All that a router folder holds."""

    router: str
    """The router's registered name."""
    settings: Mapping[str, JSON]
    """The arguments of its __init__, without the encoder."""
    learned: Mapping[str, JSON]
    """Learned attributes that are not arrays."""
    arrays: Mapping[str, np.ndarray[Any, Any]]
    """Learned attributes that are arrays."""
    encoder: Mapping[str, JSON] | None = None
    """name, identity and settings of the encoder that it was trained with."""
    turnout_version: str = ""
    calibration: Mapping[str, JSON] | None = None
    card: str = ""
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """Facts for people and tools, such as the data and its licences."""


def write_artifact(folder: str | Path, artifact: Artifact) -> None:
    """Write the folder whole or not at all; a router's folder that is there already is replaced.

    Raises:
        NotWritableError: see `check_replaceable`, or there is no room.
    """
    check_replaceable(folder)
    weights = dump_safetensors({name: np.ascontiguousarray(a) for name, a in artifact.arrays.items()})
    description = {
        "format": FORMAT,
        "router": artifact.router,
        "turnout_version": artifact.turnout_version,
        "settings": dict(artifact.settings),
        "learned": dict(artifact.learned),
        "encoder": None if artifact.encoder is None else dict(artifact.encoder),
        "extra": dict(artifact.extra),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    description["sha256"] = _seal(description)
    with write_folder_atomically(folder) as place:
        (place / ROUTER_FILE).write_text(_dump(description), encoding="utf-8")
        (place / WEIGHTS_FILE).write_bytes(weights)
        if artifact.calibration is not None:
            (place / CALIBRATION_FILE).write_text(_dump(artifact.calibration), encoding="utf-8")
        if artifact.card:
            (place / CARD_FILE).write_text(artifact.card, encoding="utf-8")


def check_replaceable(folder: str | Path) -> None:
    """Raise NotWritableError unless a router may be written here: to a new or an empty folder, or over a router.

    Ask before hours of training, not after. A folder that holds anything else is never replaced.
    """
    folder = Path(folder)
    check_writable_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ROUTER_FILE).exists():
        raise NotWritableError(folder, "it holds other things than a router, which would be lost. Name another folder")


def read_artifact(folder: str | Path) -> Artifact:
    """The folder's content, checked.

    Raises:
        ArtifactError: the folder is absent, damaged, or written by a later version of Turnout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(f"There is no router folder at {folder}. Train one with: turnout train")
    description = _read_json(folder / ROUTER_FILE)
    if description.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder / ROUTER_FILE} has format {description.get('format')!r}, but this version of Turnout "
            f"reads format {FORMAT}. Update Turnout, or train the router anew."
        )
    missing = [key for key in ("router", "settings", "learned", "weights_sha256") if key not in description]
    if missing:
        raise ArtifactError(f"{folder / ROUTER_FILE} lacks {', '.join(missing)}: it is damaged. Train anew.")
    for key, expected in _TYPES.items():
        if not isinstance(description.get(key, expected()), expected):
            raise ArtifactError(
                f"{folder / ROUTER_FILE}: '{key}' must be {_WORDS[expected]}, got {description[key]!r:.100}: "
                "it is damaged. Train anew."
            )
    if description.get("sha256", seal := _seal(description)) != seal:  # folders of before the seal have none
        raise ArtifactError(
            f"{folder / ROUTER_FILE} was changed after it was written, so that the router is no longer what was "
            "measured. Copy the folder again, or train the router anew."
        )
    card = folder / CARD_FILE
    calibration = folder / CALIBRATION_FILE
    return Artifact(
        router=description["router"],
        settings=description["settings"],
        learned=description["learned"],
        arrays=_read_weights(folder / WEIGHTS_FILE, description["weights_sha256"]),
        encoder=_encoder(description.get("encoder"), folder / ROUTER_FILE),
        turnout_version=description.get("turnout_version", ""),
        calibration=_read_json(calibration) if calibration.exists() else None,
        card=_read_text(card) if card.exists() else "",
        extra=description.get("extra", {}),
    )


def write_calibration(folder: str | Path, calibration: Mapping[str, JSON]) -> None:
    """Replace the calibration of a router folder, atomically; the rest stays as it is."""
    folder = Path(folder)
    if not (folder / ROUTER_FILE).exists():
        raise ArtifactError(f"There is no router folder at {folder}. Train one with: turnout train")
    with write_atomically(folder / CALIBRATION_FILE) as file:
        file.write(_dump(calibration).encode())


def _seal(description: Mapping[str, Any]) -> str:
    """The SHA-256 of what decides a win rate; facts for people may be added later."""
    sealed = {key: description.get(key) for key in ("router", "settings", "learned", "encoder", "weights_sha256")}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def _dump(value: Mapping[str, JSON]) -> str:
    return json.dumps(dict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise ArtifactError(f"{path} holds {size:,} bytes, but at most {limit:,} are read. Is it a router's?")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): the router is incomplete.") from error


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path, MAX_JSON_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 ({error.reason}): it is damaged. Copy the folder again.") from error


def _encoder(value: JSON, path: Path) -> dict[str, JSON] | None:
    if value is None:
        return None
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("name"), str)
        or not isinstance(value.get("identity"), str)
        or not isinstance(value.get("settings"), dict)
    ):
        raise ArtifactError(f"{path}: 'encoder' must hold name, identity and settings: it is damaged. Train anew.")
    return value


def _read_json(path: Path) -> dict[str, JSON]:
    try:
        value = json.loads(_read_bytes(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON ({error}): it is damaged. Train the router anew.") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} must hold a JSON object: it is damaged. Train the router anew.")
    return value


def _read_weights(path: Path, sha256: str) -> dict[str, np.ndarray[Any, Any]]:
    content = _read_bytes(path, MAX_WEIGHTS_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ArtifactError(
            f"{path} is damaged: its SHA-256 is {found[:12]}…, but {ROUTER_FILE} says {sha256[:12]}…. "
            "Copy the folder again, or train the router anew."
        )
    try:
        return parse_safetensors(content)
    except SafetensorError as error:
        raise ArtifactError(f"{path} cannot be read as safetensors ({error}).") from error
