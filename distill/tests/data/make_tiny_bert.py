"""Writes tiny-bert/: a BERT of random weights in the layout of a Hugging Face folder, and what PyTorch computes with it.

tiny-bert/vocab.txt is written by hand and read here. Weights are drawn wide enough that attention is far from uniform. The reference has the shape that
distill/tests/reference.rs compares with: token ids and code-point offsets of some texts, last hidden states, and for the first text every hidden layer, the
attentions and one gradient. `target/venv-bench/bin/python distill/tests/data/make_tiny_bert.py`, after `make target/venv-bench/bin/python`.
"""

import json
import sys
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "benches"))
import bert  # noqa: E402

FOLDER = HERE / "tiny-bert"
TEXTS = [
    "Naloxone reverses the antihypertensive effect of clonidine.",
    "Metformin 500 mg twice daily was started for type 2 diabetes mellitus; she denies chest pain.",
    "Naïve T-cells — β-blockade ↑ p < 0.05 漢.",
]


def words(text):
    """Words as BERT splits them, lower case without accents: lists of (character, offset of its code point)."""
    word = []
    for offset, original in enumerate(text):
        for c in unicodedata.normalize("NFD", original.lower()):
            category = unicodedata.category(c)
            alone = category.startswith("P") or (c.isascii() and category.startswith("S")) or 0x4E00 <= ord(c) <= 0x9FFF
            if (c.isspace() or alone) and word:
                yield word
                word = []
            if alone:
                yield [(c, offset)]
            elif category != "Mn" and not c.isspace():
                word.append((c, offset))
    if word:
        yield word


def tokenize(text, vocabulary):
    """Greedy longest match first (WordPiece): ids and offsets, [CLS] and [SEP] included."""
    ids, offsets = [vocabulary["[CLS]"]], [(0, 0)]
    for word in words(text):
        pieces, at = [], 0
        while at < len(word):
            candidates = (("##" if at else "") + "".join(c for c, _ in word[at:end]) for end in range(len(word), at, -1))
            piece = next((p for p in candidates if p in vocabulary), None)
            if piece is None:
                pieces, at = [("[UNK]", 0, len(word))], len(word)
            else:
                end = at + len(piece.removeprefix("##") if at else piece)
                pieces.append((piece, at, end))
                at = end
        ids += [vocabulary[piece] for piece, _, _ in pieces]
        offsets += [(word[start][1], word[end - 1][1] + 1) for _, start, end in pieces]
    return ids + [vocabulary["[SEP]"]], offsets + [(0, 0)]


def make_model(vocabulary):
    c = bert.Config(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=128, type_vocab_size=2,
    )
    model = bert.Bert(c)
    torch.manual_seed(20261122)
    for name, weight in sorted(model.state_dict().items()):
        norm = name.endswith("LayerNorm.weight")
        weight.normal_(float(norm), 0.1 if norm or name.endswith("bias") or "position" in name else 0.2)
    # The published files carry both; a reader must pass over them.
    unread = {"embeddings.position_ids": torch.arange(c.max_position_embeddings)[None], "pooler.dense.weight": torch.zeros(32, 32),
              "pooler.dense.bias": torch.zeros(32)}
    save_file(model.state_dict() | unread, str(FOLDER / "model.safetensors"))
    config = {name: getattr(c, name) for name in bert.Config.__dataclass_fields__ if name != "dropout"}
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"} | config
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def attention(layer, x):
    """The probabilities [heads, length, length] of one layer whose input is x [1, length, width]."""
    a = layer.attention["self"]
    length, width = x.shape[1:]
    q, k = (f(x)[0].view(length, a.heads, width // a.heads).transpose(0, 1) for f in (a.query, a.key))
    return (q @ k.transpose(1, 2) * (width // a.heads) ** -0.5).softmax(-1)


def main():
    vocabulary = {piece: number for number, piece in enumerate((FOLDER / "vocab.txt").read_text(encoding="utf-8").split())}
    make_model(vocabulary)
    model = bert.load(FOLDER, sdpa=False)
    ids, offsets = zip(*(tokenize(text, vocabulary) for text in TEXTS))
    tensors = {}
    for number, text in enumerate(ids):
        text = torch.tensor([text])
        start = model.embeddings(text, torch.zeros_like(text)).detach().requires_grad_()
        hidden, attentions = [start], []
        for layer in model.encoder["layer"]:
            attentions.append(attention(layer, hidden[-1]))
            hidden.append(layer(hidden[-1], None))
        last = hidden[-1][0]
        tensors[f"{number}.last_hidden_state"] = last
        if number == 0:
            target = (torch.linspace(-1, 1, last.shape[1]) * last[1]).sum()
            target.backward()
            tensors |= {f"0.hidden.{i}": h[0] for i, h in enumerate(hidden)} | {f"0.attention.{i}": a for i, a in enumerate(attentions)}
            tensors |= {"0.embedding_output": start[0], "0.grad_embedding_output": start.grad[0]}
            value = target.item()
            print("largest attention:", max(a.max().item() for a in attentions), "largest gradient:", start.grad.abs().max().item())
    save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, str(FOLDER / "reference.safetensors"))
    reference = {
        "texts": TEXTS, "ids": ids, "offsets": offsets,
        "gradient_target": "sum_j linspace(-1,1,32)[j] * last_hidden_state[token 1][j], text 0; with respect to the embedding output (after its LayerNorm)",
        "gradient_target_value": value,
    }
    (FOLDER / "reference.json").write_text(json.dumps(reference, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
