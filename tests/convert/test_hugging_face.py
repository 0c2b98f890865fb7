"""``--format hf`` on the command line: Transformers loads model, tokenizer and code from the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_program import environment, program
from safetensors.torch import load_file

transformers = pytest.importorskip("transformers")
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

TEXT = "the cat sat on the mat"
WORDS = ["<unk>", "<s>", "</s>", *dict.fromkeys(TEXT.split())]
CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def run(path: Path) -> dict[str, torch.Tensor]:
    """A checkpoint of a run: model, generation settings, tokenizer with templates, and files of the trainer."""
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.generation_config.max_length = 77
    model.save_pretrained(path)
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = {"default": CHAT, "tools": f"tools: {CHAT}"}
    tokenizer.save_pretrained(path)
    torch.save({"lr": 0.1}, path / "scheduler.pt")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": 500}))
    return dict(model.state_dict())


@pytest.mark.parametrize("options", [(), ("--max-shard-size", "8KB"), ("--dtype", "bf16")])
def test_the_folder_has_all_that_from_pretrained_needs(tmp_path: Path, options: tuple[str, ...]) -> None:
    weights = run(tmp_path / "checkpoint-500")
    commands: dict[str, tuple[Any, ...]] = {
        "direct": ("convert", "checkpoint-500", "direct"),
        "stored": ("checkout", "main", "-o", "stored"),
    }
    assert program("init", "store", cwd=tmp_path).code == 0
    assert program("--store", "store", "commit", "checkpoint-500", cwd=tmp_path).code == 0
    for name, command in commands.items():
        done = program("--store", "store", *command, "--format", "hf", *options, cwd=tmp_path)
        assert (done.code, done.err) == (0, "trainer_state.json: no tensors there; left behind\n")
        folder = tmp_path / name
        loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        dtype = torch.bfloat16 if "bf16" in options else torch.float32
        found = {name: one.to(dtype) for name, one in loaded.state_dict().items()}
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], one.to(dtype)) for name, one in weights.items())
        assert loaded.generation_config.max_length == 77
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        assert tokenizer.decode(tokenizer(TEXT)["input_ids"]) == TEXT
        assert tokenizer.chat_template == {"default": CHAT, "tools": f"tools: {CHAT}"}
        assert not (folder / "scheduler.pt").exists()
        assert not (folder / "trainer_state.json").exists()
    assert (tmp_path / "direct" / "model.safetensors.index.json").exists() == ("--max-shard-size" in options)


def test_a_model_with_code_of_its_own_loads(tmp_path: Path) -> None:
    from custom_model import CustomConfig, CustomModel

    CustomConfig.register_for_auto_class()
    CustomModel.register_for_auto_class("AutoModel")
    CustomModel(CustomConfig(width=3)).save_pretrained(tmp_path / "run")
    assert (tmp_path / "run" / "custom_model.py").exists()
    done = program("convert", "run", "out", "--format", "hf", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    script = (
        "import sys, transformers; from safetensors.torch import save_file;"
        "model = transformers.AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True);"
        "save_file(model.state_dict(), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out"), str(tmp_path / "seen.safetensors")]
    subprocess.run(command, env=environment(HF_HOME=str(tmp_path / "cache")), check=True, capture_output=True)
    seen, saved = load_file(tmp_path / "seen.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    assert seen.keys() == saved.keys() == {"layer.weight", "layer.bias"}
    assert all(torch.equal(seen[name], saved[name]) for name in saved)
