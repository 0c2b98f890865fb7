"""Which part of a commit a file of a folder belongs to, told by the names that training tools give.

Transformers, Accelerate, PEFT, Diffusers, DeepSpeed, Megatron, FSDP and the original Llama files. What is not listed
here belongs to the part of the folder itself.
"""

from __future__ import annotations

import re
from fnmatch import translate

from deltackpt.content.steps import unnumbered

ROOT = ""
MODEL = "model"
OPTIMIZER = "optimizer"

# Any step of a path may match, the folder's first; of two lines that match, the upper one counts.
_PATTERNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (ROOT, ("model_optim_rng.*",)),
    (OPTIMIZER, ("optimizer.*", "optimizer_[0-9]*", "*optim_states.*", "distrib_optim.*", "optim.*")),
    ("scheduler", ("scheduler.*", "scheduler_[0-9]*", "lr_scheduler.*")),
    ("scaler", ("scaler.*", "scaler_[0-9]*", "grad_scaler.*")),
    ("rng", ("rng_state*", "random_states_*")),
    (
        MODEL,
        (
            "model.*",
            "model-[0-9]*",
            "model_[0-9]*",
            "pytorch_model.*",
            "pytorch_model[-_]*",
            "adapter_model.*",
            "diffusion_pytorch_model*",
            "*model_states.*",
            "consolidated.*",
        ),
    ),
)

ROLES = tuple(dict.fromkeys(role for role, _ in _PATTERNS))

# Descriptions of models and their training, which are no weights.
_NOT_WEIGHTS = re.compile(r".*\.(py|md|txt|log|yaml|yml|toml|cfg|ini|jinja)\Z", re.IGNORECASE | re.DOTALL)
_RULES = tuple((role, re.compile("|".join(map(translate, patterns)), re.IGNORECASE)) for role, patterns in _PATTERNS)

# Keys of the state in a file of Megatron, which holds the parts of a rank; a model in several pieces numbers them.
_OF_ALL = re.compile(translate("model_optim_rng.*"), re.IGNORECASE)
_KEYS = (
    (MODEL, re.compile(r"model\d*")),
    (OPTIMIZER, re.compile(r"optimizer")),
    ("scheduler", re.compile(r"opt_param_scheduler|lr_scheduler")),
    ("rng", re.compile(r"rng_state")),
)

# Of the names in a folder of torch.distributed.checkpoint.
_FIRST_WORDS = {"model": MODEL, "optim": OPTIMIZER, "optimizer": OPTIMIZER}

# Variables of TensorFlow: slots of an optimizer, and all that it has, by object or, as version 1 has it, by name.
_OF_OPTIMIZER = re.compile(
    r"(?:.*/)?(?:\.OPTIMIZER_SLOT|[^/]*optimizer|opt)/.*"
    r"|.*/(?:Adam|AdamW|LAMB|Momentum|RMSProp|Adagrad|Adadelta|Ftrl)(?:_[0-9]+)?|beta[12]_power(?:_[0-9]+)?",
    re.DOTALL,
)


def role_of(path: str) -> str:
    """The part of the file at ``path``, which is relative."""
    if _NOT_WEIGHTS.match(path):
        return ROOT
    for step in (step for text in dict.fromkeys((path, unnumbered(path))) for step in text.split("/")):
        for role, pattern in _RULES:
            if pattern.match(step):
                return role
    return ROOT


def role_of_name(name: str) -> str:
    """The part of a tensor that a file of many roles names so: ``optim.state.w.exp_avg``, ``model.w``."""
    return _FIRST_WORDS.get(name.split(".", 1)[0], ROOT)


def role_of_variable(name: str) -> str:
    """The part of a variable in a TensorFlow checkpoint; counters such as ``save_counter`` have none."""
    if _OF_OPTIMIZER.fullmatch(name):
        # An optimizer of Keras lists the weights that it trains, and TensorFlow names them by the shortest way.
        return MODEL if "/_trainable_variables/" in name else OPTIMIZER
    return MODEL if "/" in name else ROOT


def holds_all_parts(path: str) -> bool:
    """Whether the file at ``path`` is one with all parts of a rank, each under a key."""
    return _OF_ALL.match(path.rsplit("/", 1)[-1]) is not None


def role_of_key(key: str) -> str:
    """The part of what stands under ``key`` in such a file."""
    return next((role for role, pattern in _KEYS if pattern.fullmatch(key)), ROOT)
