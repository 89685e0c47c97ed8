"""The BERT encoder in plain PyTorch: what the comparisons in this folder measure distill and libbie against.

Written as the common implementation is laid out (separate query, key and value projections, attention mask, post-layer-norm blocks, dropout on embeddings, attention probabilities and both sublayer outputs), with the parameter names of a Hugging Face folder, so that
`load` reads `model.safetensors` as it is. Agreement with the published weights' reference is checked by `python benches/bert.py FOLDER`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Config:
    """Sizes; the defaults are MiniLM-L6."""

    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1

    @staticmethod
    def read(folder):
        """From a Hugging Face folder's config.json."""
        raw = json.loads((Path(folder) / "config.json").read_text())
        known = {name: raw[name] for name in Config.__dataclass_fields__ if name in raw}
        return Config(**known)


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = nn.Embedding(c.vocab_size, c.hidden_size)
        self.position_embeddings = nn.Embedding(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = nn.Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, input_ids, token_type_ids):
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(x))


class SelfAttention(nn.Module):
    def __init__(self, c, sdpa):
        super().__init__()
        self.heads, self.sdpa, self.p = c.num_attention_heads, sdpa, c.dropout
        self.query = nn.Linear(c.hidden_size, c.hidden_size)
        self.key = nn.Linear(c.hidden_size, c.hidden_size)
        self.value = nn.Linear(c.hidden_size, c.hidden_size)

    def forward(self, x, mask):
        batch, length, width = x.shape

        def split(t):
            return t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        if self.sdpa:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.p if self.training else 0.0)
        else:
            scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
            if mask is not None:
                scores = scores + mask
            out = F.dropout(scores.softmax(-1), self.p, self.training) @ v
        return out.transpose(1, 2).reshape(batch, length, width)


class Output(nn.Module):
    """Projection, dropout, residual, layer norm: closes both sublayers."""

    def __init__(self, c, width_in):
        super().__init__()
        self.dense = nn.Linear(width_in, c.hidden_size)
        self.LayerNorm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x, residual):
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Layer(nn.Module):
    def __init__(self, c, sdpa):
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(c, sdpa), "output": Output(c, c.hidden_size)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(c.hidden_size, c.intermediate_size)})
        self.output = Output(c, c.intermediate_size)

    def forward(self, x, mask):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """`input_ids`, `attention_mask`, `token_type_ids`: i64 [batch, length]; returns the last layer, f32 [batch, length, hidden]."""

    def __init__(self, c, sdpa=True):
        super().__init__()
        self.sdpa = sdpa
        self.embeddings = Embeddings(c)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(c, sdpa) for _ in range(c.num_hidden_layers))})
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        mask = None
        if attention_mask is not None:
            # As the common implementation does: a boolean mask for the fused attention, an additive one where it is written out.
            mask = attention_mask[:, None, None, :].bool().expand(-1, 1, input_ids.shape[1], -1)
            if not self.sdpa:
                mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x


class Tagger(nn.Module):
    """The encoder and `types` independent BIO heads: loss = mean cross-entropy over tokens and heads."""

    def __init__(self, c, types=2, sdpa=True):
        super().__init__()
        self.bert = Bert(c, sdpa)
        self.dropout = nn.Dropout(c.dropout)
        self.head = nn.Linear(c.hidden_size, 3 * types)

    def forward(self, input_ids, labels, attention_mask=None):
        logits = self.head(self.dropout(self.bert(input_ids, attention_mask)))
        return F.cross_entropy(logits.reshape(-1, 3), labels.reshape(-1))


def load(folder, sdpa=True):
    """The encoder with a Hugging Face folder's weights, in evaluation mode."""
    from safetensors.torch import load_file

    model = Bert(Config.read(folder), sdpa)
    weights = {k.removeprefix("bert."): v for k, v in load_file(str(Path(folder) / "model.safetensors")).items()}
    weights = {k: v for k, v in weights.items() if not k.endswith("position_ids") and not k.startswith("pooler.")}
    model.load_state_dict(weights)
    return model.eval()


def main():
    """Compares with `reference.safetensors` in the folder: the last hidden states of its texts."""
    from safetensors.torch import load_file

    folder = Path(sys.argv[1])
    reference = load_file(str(folder / "reference.safetensors"))
    ids = json.loads((folder / "reference.json").read_text())["ids"]
    worst = 0.0
    for sdpa in (False, True):
        model = load(folder, sdpa)
        for number, text in enumerate(ids):
            text = torch.tensor([text])
            with torch.no_grad():
                hidden = model(text, torch.ones_like(text))[0]
            worst = max(worst, (hidden - reference[f"{number}.last_hidden_state"]).abs().max().item())
    print(f"largest difference of a last hidden state: {worst:.2e}")
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()
