"""What names of files and folders say: step, epoch and metrics, and whether such a thing can be a checkpoint."""

from __future__ import annotations

import math
import os
import re
from fnmatch import translate

from deltackpt.errors import FormatError, StorageError
from deltackpt.formats.sniff import sniff
from deltackpt.formats.source_file import open_source

EPOCH = "epoch"

_STEP = re.compile(
    r"(?i)(?<![a-z0-9])(?:global_?)?(?:steps?|checkpoints?|ckpts?|iterations?|iters?)[-_=.]?(\d+)(?!\d*-of-)"
)
_EPOCH = re.compile(r"(?i)(?<![a-z0-9])(?:epochs?|ep)[-_=.]?(\d+)")
_METRIC_NAME = (
    r"(?:(?:train|val|valid|validation|eval|test|dev|avg|best)_)*"
    r"(?:loss|acc|accuracy|ppl|perplexity|bleu|f1|auc|score)"
)
_IS_METRIC = re.compile(_METRIC_NAME, re.IGNORECASE)
_METRIC = re.compile(rf"(?i)(?<![a-z0-9])({_METRIC_NAME})[=_-](-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")

# Accelerate's objects of the user's own, numbered within one checkpoint.
_NO_STEP = re.compile(r"custom_checkpoint_\d+\.pkl\Z")
_NUMBER = re.compile(r"\d+")

# What files of one checkpoint are for, where each has a file of its own.
_ROLE = re.compile(
    r"(?i)(?<![a-z0-9])(?:model|network|net|ema|optimizer|optim|opt|lr_scheduler|scheduler|sched|grad_scaler|scaler"
    r"|rng_state|rng|generator|discriminator|encoder|decoder|actor|critic|policy|adapter|lora)(?![a-z0-9])[-_.]?"
)

# What runs leave beside their checkpoints: pointers, logs, what another program has not finished writing.
_BESIDE = re.compile(
    "|".join(
        map(
            translate,
            (
                *(".*", "tmp-*", "*.tmp", "*.part", "*.partial", "*.lock", "*.orbax-checkpoint-tmp*"),
                *("latest", "latest_*", "latest-*", "checkpoint", "last_checkpoint"),
                *("wandb", "mlruns", "events.out.*", "__pycache__"),
            ),
        )
    )
)
_WEIGHTS = frozenset(
    [
        "safetensors",
        "pt",
        "pth",
        "bin",
        "ckpt",
        "distcp",
        "gguf",
        "onnx",
        "npz",
        "npy",
        "h5",
        "hdf5",
        "keras",
        "msgpack",
        "pkl",
        "pickle",
        "pdparams",
        "pdopt",
        "params",
        "nemo",
        "tflite",
    ]
)
_NOT_WEIGHTS = frozenset(
    [
        "json",
        "jsonl",
        "txt",
        "md",
        "rst",
        "py",
        "sh",
        "yaml",
        "yml",
        "toml",
        "cfg",
        "ini",
        "log",
        "csv",
        "tsv",
        "html",
        "xml",
        "ipynb",
        "png",
        "jpg",
        "jpeg",
        "svg",
        "pdf",
        "jinja",
        "model",
        "vocab",
    ]
)


def said_by_name(name: str) -> tuple[int | None, dict[str, float]]:
    """The step and the metrics in the name of a file or folder: ``checkpoint_step_10000_loss_2.3456.pt``.

    A name that is a number, as Orbax gives them, is the step.
    """
    if _NO_STEP.match(name):
        return None, {}
    said = [name] if name.isascii() and name.isdigit() else _STEP.findall(name)
    steps = [int(text) for text in said if len(text) < 19]
    metrics = {key: float(value) for key, value in _METRIC.findall(name)}
    if epochs := _EPOCH.findall(name):
        metrics[EPOCH] = float(epochs[-1])
    return (steps[-1] if steps else None), metrics


def is_metric(name: str) -> bool:
    """Whether something of that name is a metric: ``val_loss``."""
    return _IS_METRIC.fullmatch(name) is not None


def numbers_of(name: str) -> tuple[int | None, float | None] | None:
    """The step and the epoch in a name; None for a name that has neither."""
    step, metrics = said_by_name(name)
    epoch = metrics.get(EPOCH)
    return None if step is None and epoch is None else (step, epoch)


def apart_from_roles(name: str) -> tuple[str, tuple[str, ...]]:
    """A file's name without its suffix, metrics and words for what it is for, and these words.

    ``model_step_5.pt`` and ``optimizer_step_5.pt`` are both ``step_5``.
    """
    stem = _METRIC.sub("", os.path.splitext(name)[0])
    return _ROLE.sub("", stem).rstrip("-_."), tuple(word.lower().rstrip("-_.") for word in _ROLE.findall(stem))


def last_number(name: str) -> float:
    """The last number in a name without its suffix, which tells ``model_10.pt`` from ``model_9.pt``; or infinity."""
    found = _NUMBER.findall(os.path.splitext(name)[0])
    return float(found[-1][:300]) if found else math.inf


def is_beside(name: str) -> bool:
    """Whether a file or folder of that name stands beside checkpoints and is none: ``latest``, ``runs``, ``.x``."""
    return _BESIDE.match(name) is not None


def holds_weights(path: str) -> bool:
    """Whether the file at ``path`` is for tensors, told by its suffix, or its first bytes where that says nothing."""
    name = os.path.basename(path)
    if is_beside(name) or _suffix(name) in _NOT_WEIGHTS or not os.path.isfile(path):
        return False
    return has_weights_suffix(name) or _is_known_format(path)


def has_weights_suffix(name: str) -> bool:
    """Whether files of that name are for tensors, as a rule."""
    return _suffix(name) in _WEIGHTS


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def _is_known_format(path: str) -> bool:
    try:
        with open_source(path) as file:
            return sniff(file) is not None
    except (FormatError, StorageError):
        return False
