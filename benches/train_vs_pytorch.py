"""Training speed: `distill` against plain PyTorch, alternating, in one run.

Both train the same model (a BERT encoder of the size that --model names, two BIO heads on top) on random tokens: forward, backward, AdamW;
dropout 0.1; same batch, length and thread count. PyTorch runs as users run it eagerly on a CPU, but with the faster of its own choices (fused AdamW; no
padding mask where no window is padded; attention as given by --attention), and without the gradient clipping that distill's step contains.
--lengths trains on windows of these lengths, a whole epoch a block, each side batching as it does: distill windows of similar length; PyTorch at random
(--order random, the default of the usual trainer) or by its grouping by length (--order grouped). Batches are padded to their longest window, and only tokens that
are no padding count.
--clock cpu counts processor time instead of time: for one thread on a busy machine, where the clock on the wall measures the others.
Each round times one block of PyTorch steps, then one of `distill bench-train`, which warms up by itself and prints {"tokens_per_second": x, ...}.
Prints each round and, at the end, the medians and the median of the rounds' ratios as one line of JSON.
"""

import argparse
import json
import random
import statistics
import subprocess
import time
from pathlib import Path

import torch

from bert import Config, Tagger

IGNORED = -100  # cross-entropy's own default
SIZES = {"minilm-l6": (384, 6), "bert-6x768": (768, 6), "bert-base": (768, 12)}


def pytorch(args):
    """A function that trains `steps` steps and returns tokens per second."""
    torch.manual_seed(0)
    width, layers = SIZES[args.model]
    config = Config(hidden_size=width, num_hidden_layers=layers, intermediate_size=4 * width)
    model = Tagger(config, types=2, sdpa=args.attention == "sdpa").train()
    for layer in model.bert.encoder["layer"]:
        layer.attention["self"].p = args.attention_dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=args.adamw == "fused")

    clock = time.process_time if args.clock == "cpu" else time.perf_counter

    def run(batches):
        begin = clock()
        for lengths in batches:
            shape = (len(lengths), max(lengths))
            ids = torch.randint(config.vocab_size, shape)
            labels = torch.randint(3, (*shape, 2))
            mask = None
            if min(lengths) < max(lengths):
                mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
                ids[~mask], labels[~mask] = 0, IGNORED
            loss = model(ids, labels, mask)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return sum(map(sum, batches)) / (clock() - begin)

    return run


def epoch(args, lengths, shuffle):
    """The lengths of each batch of an epoch."""
    order = shuffle.sample(lengths, len(lengths))
    if args.order == "grouped":
        # As the usual trainer groups: sorted within at most 50 batches, longest first.
        group = args.batch * max(1, min(len(order) // (4 * args.batch), 50))
        order = [n for i in range(0, len(order), group) for n in sorted(order[i : i + group], reverse=True)]
    return [order[i : i + args.batch] for i in range(0, len(order), args.batch)]


def distill(args):
    """What one block of `distill bench-train` reports."""
    command = [args.distill, "bench-train", "--json"] + ["--cpu"] * (args.clock == "cpu")
    chosen = ("lengths",) if args.lengths else ("tokens", "steps")
    for name in ("model", "batch", "threads", *chosen):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distill", default="target/release/distill", help="the binary; empty: PyTorch alone")
    parser.add_argument("--model", choices=SIZES, default="minilm-l6")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: with --threads 1")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--lengths", help="a file: the length of each window of an epoch, a number a line")
    parser.add_argument("--order", choices=("random", "grouped"), default="random", help="with --lengths: PyTorch's batches")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a block")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--attention", choices=("eager", "sdpa"), default="eager")
    parser.add_argument("--attention-dropout", type=float, default=0.0, help="distill drops no attention; BERT's own recipe is 0.1")
    parser.add_argument("--adamw", choices=("fused", "plain"), default="fused")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    train = pytorch(args)
    shuffle = random.Random(0)
    if args.lengths:
        lengths = [int(line) for line in Path(args.lengths).read_text().split()]
        batches = lambda: epoch(args, lengths, shuffle)
    else:
        batches = lambda: [[args.tokens] * args.batch] * args.steps
    train(batches()[:1])
    theirs, ours, ratios, shares = [], [], [], []
    for number in range(args.rounds):
        theirs.append(train(batches()))
        line = f"round {number + 1}: PyTorch {theirs[-1]:.0f} tokens/s"
        if args.distill:
            report = distill(args)
            ours.append(report["tokens_per_second"])
            shares.append(report["share_outside_graph"])
            ratios.append(ours[-1] / theirs[-1])
            line += f", distill {ours[-1]:.0f} tokens/s, ratio {ratios[-1]:.3f}"
        print(line, flush=True)
    summary = {"pytorch_tokens_per_second": round(statistics.median(theirs)), "torch": torch.__version__}
    summary |= {name: getattr(args, name) for name in ("model", "batch", "tokens", "threads", "clock", "attention", "attention_dropout", "adamw")}
    if args.lengths:
        del summary["tokens"]
        summary |= {"lengths": args.lengths, "order": args.order}
    if args.distill:
        summary |= {"distill_tokens_per_second": round(statistics.median(ours)), "ratio": round(statistics.median(ratios), 3)}
        summary |= {"ratios": [round(r, 3) for r in ratios], "share_outside_graph": round(statistics.median(shares), 4)}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
