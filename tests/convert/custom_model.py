"""A model with code of its own, as people put it beside its weights."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig, PreTrainedModel


class CustomConfig(PretrainedConfig):
    model_type = "custom-for-a-test"

    def __init__(self, width: int = 4, **others: object) -> None:
        self.width = width
        super().__init__(**others)


class CustomModel(PreTrainedModel):
    config_class = CustomConfig

    def __init__(self, config: CustomConfig) -> None:
        super().__init__(config)
        self.layer = torch.nn.Linear(config.width, config.width)
        self.post_init()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.layer(values)
