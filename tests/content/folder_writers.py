"""Folders that libraries write of a training state, in every format: what stands in one checkpoint of a run."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import torch
import torch.distributed.checkpoint as dcp
import zarr
from onnx import helper, numpy_helper
from safetensors.torch import save_file

State = dict[str, Any]
Write = Callable[[Path, State], None]


def untied(state: State) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state["model"].items()}


def trainer(folder: Path, state: State) -> None:
    """The files of Transformers' Trainer, the model in two shards."""
    tensors, half = untied(state), len(state["model"]) // 2
    shards = [dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, folder / name, {"format": "pt"})
    index = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}, indent=2))
    torch.save(state["optimizer"], folder / "optimizer.pt")
    torch.save({"last_epoch": state["step"], "_last_lr": [0.1]}, folder / "scheduler.pt")
    torch.save({"python": (3, (1, 2), None), "cpu": state["rng"]["torch"]}, folder / "rng_state.pth")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": state["step"], "log_history": []}))


def deepspeed(folder: Path, state: State) -> None:
    """The layout of DeepSpeed's ZeRO: a folder of the step, and the name of the newest beside it."""
    step = folder / f"global_step{state['step']}"
    step.mkdir()
    torch.save({"module": state["model"], "global_steps": state["step"]}, step / "mp_rank_00_model_states.pt")
    for rank in range(2):
        optimizer = {"optimizer_state_dict": state["optimizer"], "zero_stage": 1, "rank": rank}
        torch.save(optimizer, step / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    (folder / "latest").write_text(step.name)


def distributed(folder: Path, state: State) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {"model": state["model"], "optim": state["optimizer"], "step": state["step"]}
        dcp.save(saved, checkpoint_id=folder, no_dist=True)


def megatron(folder: Path, state: State) -> None:
    """The one file that Megatron-LM writes for a rank of its model: weights, optimizer, random state, arguments."""
    (rank := folder / "mp_rank_00").mkdir()
    random_state = {"np_rng_state": np.random.RandomState(state["step"]).get_state(), "torch_rng_state": state["rng"]}
    saved = {
        "args": argparse.Namespace(iteration=state["step"], lr=1e-3),
        "checkpoint_version": 3.0,
        "iteration": state["step"],
        "model": {"language_model": state["model"]},
        "optimizer": {"optimizer": state["optimizer"]},
        "opt_param_scheduler": state["scheduler"],
        "rng_state": [random_state],
    }
    torch.save(saved, rank / "model_optim_rng.pt")


def legacy(folder: Path, state: State) -> None:
    torch.save(state["model"], folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    torch.save(state["optimizer"], folder / "optimizer.bin", _use_new_zipfile_serialization=False)


def array_files(folder: Path, state: State) -> None:
    for name, tensor in untied(state).items():
        np.save(folder / f"{name}.npy", tensor.numpy())


def arrays(folder: Path, state: State) -> None:
    with (folder / "weights.npz").open("wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in untied(state).items()})


def as_onnx(state: State) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in untied(state).items()]
    return helper.make_model(helper.make_graph([], "graph", [], [], initializers))


def onnx_model(folder: Path, state: State) -> None:
    path, data = folder / "m.onnx", "m.onnx.data"
    onnx.save(as_onnx(state), path, save_as_external_data=True, location=data, size_threshold=0)


def onnx_file(folder: Path, state: State) -> None:
    onnx.save(as_onnx(state), folder / "m.onnx")


def gguf_model(folder: Path, state: State) -> None:
    writer = gguf.GGUFWriter(folder / "m.gguf", "llama")
    for name, tensor in untied(state).items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def zarr_arrays(folder: Path, state: State) -> None:
    group = zarr.open_group(folder / "arrays.zarr", mode="w", zarr_format=3)
    for name, tensor in untied(state).items():
        array = tensor.numpy()
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=array.shape, compressors=None)[...] = (
            array
        )


WITH_OPTIMIZER = [trainer, deepspeed, distributed, megatron, legacy]
WRITERS = [*WITH_OPTIMIZER, arrays, array_files, onnx_model, onnx_file, gguf_model, zarr_arrays]
