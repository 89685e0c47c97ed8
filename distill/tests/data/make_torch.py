"""Writes torch/: what torch.save makes of tiny-bert's weights under the names of an old checkpoint, and of tensors that are views.

`target/venv-bench/bin/python distill/tests/data/make_torch.py`, after `make target/venv-bench/bin/python`.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "torch"


def old_name(name):
    """As BERT's first checkpoints call it."""
    return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def views():
    """The tensors that distill/src/student/weights/torch/tests.rs expects, all of small whole numbers."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "whole": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 1::2],
        "permuted": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).permute(2, 0, 1),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
        "half": torch.tensor([1.0, -2.5, 65504.0], dtype=torch.float16),
        "bfloat": torch.tensor([1.0, -2.5, 2.0**100], dtype=torch.bfloat16),
        "double": torch.tensor([1.0, -2.5], dtype=torch.float64),
        "long": torch.arange(4)[None],
        "parameter": torch.nn.Parameter(torch.tensor([[3.0]])),
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    weights = {old_name(name): tensor for name, tensor in load_file(HERE / "tiny-bert" / "model.safetensors").items()}
    torch.save(weights, FOLDER / "pytorch_model.bin")
    torch.save(views(), FOLDER / "views.bin")
    torch.save({"epoch": 3, "state_dict": views()}, FOLDER / "nested.bin", pickle_protocol=4)
    torch.save({"a": torch.zeros(2)}, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
