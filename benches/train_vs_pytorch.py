"""Training speed: `distill` against plain PyTorch, alternating, in one run.

Both train the same model (BERT encoder of MiniLM-L6's size, two BIO heads on top) on random tokens: forward, backward, AdamW; dropout 0.1;
same batch, length and thread count. PyTorch runs as users run it eagerly on a CPU, but with the faster of its own choices (fused AdamW; no
padding mask, as no window is padded; attention as given by --attention), and without the gradient clipping that distill's step contains.
Each round times one block of PyTorch steps, then one of `distill bench-train`, which warms up by itself and prints {"tokens_per_second": x}.
Prints each round and, at the end, the medians and the median of the rounds' ratios as one line of JSON.
"""

import argparse
import json
import statistics
import subprocess
import time

import torch

from bert import Config, Tagger


def pytorch(args):
    """A function that trains `steps` steps and returns tokens per second."""
    torch.manual_seed(0)
    config = Config()
    model = Tagger(config, types=2, sdpa=args.attention == "sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=args.adamw == "fused")

    def run(steps):
        begin = time.perf_counter()
        for _ in range(steps):
            ids = torch.randint(config.vocab_size, (args.batch, args.tokens))
            labels = torch.randint(3, (args.batch, args.tokens, 2))
            loss = model(ids, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return steps * args.batch * args.tokens / (time.perf_counter() - begin)

    return run


def distill(args):
    """Tokens per second of one block of `distill bench-train`."""
    command = [args.distill, "bench-train"]
    for name in ("batch", "tokens", "threads", "steps"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distill", default="target/release/distill", help="the binary; empty: PyTorch alone")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a block")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--attention", choices=("eager", "sdpa"), default="eager")
    parser.add_argument("--adamw", choices=("fused", "plain"), default="fused")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    train = pytorch(args)
    train(2)
    theirs, ours, ratios = [], [], []
    for number in range(args.rounds):
        theirs.append(train(args.steps))
        line = f"round {number + 1}: PyTorch {theirs[-1]:.0f} tokens/s"
        if args.distill:
            ours.append(distill(args))
            ratios.append(ours[-1] / theirs[-1])
            line += f", distill {ours[-1]:.0f} tokens/s, ratio {ratios[-1]:.3f}"
        print(line, flush=True)
    summary = {"pytorch_tokens_per_second": round(statistics.median(theirs)), "torch": torch.__version__}
    summary |= {name: getattr(args, name) for name in ("batch", "tokens", "threads", "attention", "adamw")}
    if args.distill:
        summary |= {"distill_tokens_per_second": round(statistics.median(ours)), "ratio": round(statistics.median(ratios), 3)}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
