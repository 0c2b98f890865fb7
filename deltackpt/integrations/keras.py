"""Keras on TensorFlow: a callback that commits the model and its optimizer as a checkpoint of TensorFlow.

Each commit is a folder with what ``tf.train.Checkpoint(model=model).write("ckpt")`` makes, whose tensors are stored by
name, and the random states of layers beside it, so that a run goes on with the numbers it would have drawn.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from deltackpt.errors import InvalidInputError, brief
from deltackpt.history.commits import Commit
from deltackpt.integrations.folder_line import FolderLine
from deltackpt.maintenance.keep import Keep
from deltackpt.store import Ref, Store
from deltackpt.training.preflight import opened

PREFIX = "ckpt"
"""The name that a checkpoint's files begin with."""

_EPOCH = "epoch"


class DeltackptCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """``model.fit(..., callbacks=[DeltackptCallback("runs/store")])``.

    Commits at the end of every epoch, and with ``every`` also after so many steps of the optimizer. What Keras logs
    are the metrics. The branch must be new, or :meth:`resume` be called before ``fit``. For one process that trains.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        branch: str = "main",
        every: int | None = None,
        keep: Keep | None = None,
    ) -> None:
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise InvalidInputError(f"the callback needs Keras on TensorFlow, not on {keras.backend.backend()}")
        if every is not None and every < 1:
            raise InvalidInputError(f"every is a number of steps from 1 on, not {every}")
        self._path = os.path.abspath(os.fspath(store))
        self._branch = branch
        self._every = every
        self._keep = keep
        self._resumed: Commit | None = None
        self._line: FolderLine | None = None
        self._epoch = self._last = 0

    def resume(self, model: Any, ref: Ref | None = None) -> int:
        """Put a commit, the branch's newest unless told otherwise, into a compiled model that has been built.

        Returns the epoch to go on from: ``fit(initial_epoch=...)``; 0 when the branch does not exist yet. A commit
        within an epoch goes on at its beginning. InvalidInputError when the model is of another make.
        """
        _check(model)
        with opened(self._path) as store:
            if ref is None and self._branch not in store.branches():
                return 0
            self._resumed = store.resolve(self._branch if ref is None else ref)
            restore(model, store, self._resumed)
        meta = self._resumed.meta
        return int(meta.get(_EPOCH, 0)) if isinstance(meta, Mapping) else 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.on_train_end()  # Of a training that ended with an error Keras says nothing.
        resumed, self._resumed = self._resumed, None
        self._last = _step(self.model)
        self._line = FolderLine(self._path, self._branch, keep=self._keep)
        self._line.begin(None if resumed is None else lambda _: resumed)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._every is None:
            return
        before, self._last = self._last, _step(self.model)
        ends = batch + 1 == self.params.get("steps")  # The end of the epoch is another one's matter.
        # Keras takes several steps at once where it is told to (steps_per_execution).
        if self._last // self._every > before // self._every and not ends:
            self._commit(self._epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._commit(epoch + 1, logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _commit(self, epoch: int, logs: Mapping[str, Any] | None) -> None:
        assert self._line is not None
        with tempfile.TemporaryDirectory() as folder:
            _checkpoint(self.model).write(os.path.join(folder, PREFIX))
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            step, message = _step(self.model), f"epoch {epoch}"
            self._line.commit(folder, step=step, metrics=metrics, message=message, meta={_EPOCH: epoch})


def restore(model: Any, store: Store, ref: Ref) -> None:
    """Put a commit of the callback into a compiled model that has been built, in place.

    InvalidInputError when the model is of another make.
    """
    _check(model)
    commit = store.resolve(ref)
    with tempfile.TemporaryDirectory() as above:
        store.checkout(commit, folder := os.path.join(above, "commit"))
        try:
            status = _checkpoint(model).read(os.path.join(folder, PREFIX))
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.NotFoundError) as error:
            raise InvalidInputError(
                f"commit {commit.description} does not fit the model: {brief(str(error))}; make it as it was"
            ) from error


def _check(model: Any) -> None:
    """InvalidInputError unless all variables are there; those of the optimizer are made here."""
    if getattr(model, "optimizer", None) is None or not model.built:
        raise InvalidInputError("the model is not compiled or not built; call compile() and build() first")
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _checkpoint(model: Any) -> Any:
    """Model and optimizer, as TensorFlow tracks them, and what it does not: the random states of layers."""
    tracked = {id(variable) for variable in (*model.weights, *model.metrics_variables)}
    seeds = [variable.value for variable in model.variables if id(variable) not in tracked]
    return tf.train.Checkpoint(model=model, seeds=seeds)


def _step(model: Any) -> int:
    return int(model.optimizer.iterations)
