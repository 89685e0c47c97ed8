"""Extraction speed: a bundle's encoder graph against an ordinary PyTorch export of the same encoder after `quantize_dynamic`, in one run.

The encoder is exported as a user would (torch.onnx.export with attention mask and dynamic axes), quantised with ONNX Runtime's
`quantize_dynamic` as it comes, and run with ONNX Runtime's defaults but one intra-op thread: the same settings as for the bundle's graph. The
export computes the last hidden states only; the bundle's graph also computes the entity logits and hands out the last attention.
There is more than one ordinary way to export, and each is timed:
  dynamo-sdpa        what PyTorch's exporter and the usual BERT implementation do when nothing else is asked for
  dynamo-eager       the same with attention written out: the fastest
  torchscript-*      PyTorch's older exporter
--exporter and --attention choose one; the summary gives the ratio against each.
Each round times one block of runs of every graph in turn. Prints milliseconds a run (median over the blocks' medians) and the ratios (median
over rounds) as one line of JSON.
"""

import argparse
import contextlib
import io
import json
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import quantize_dynamic

from bert import Bert, Config, load

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def export(folder, exporter, attention, model_dir):
    """Writes the quantised export into `folder` and returns its path."""
    torch.manual_seed(0)
    sdpa = attention == "sdpa"
    model = load(model_dir, sdpa) if model_dir else Bert(Config(), sdpa).eval()
    example = tuple(torch.ones(1, 16, dtype=torch.int64) for _ in INPUTS)
    plain = folder / f"{exporter}-{attention}.onnx"
    options = {"input_names": INPUTS, "output_names": ["last_hidden_state"]}
    if exporter == "dynamo":
        length = torch.export.Dim("length", min=3, max=512)
        options |= {"dynamo": True, "dynamic_shapes": tuple({1: length} for _ in INPUTS)}
    else:
        options |= {"dynamo": False, "opset_version": 17, "dynamic_axes": {n: {0: "batch", 1: "length"} for n in INPUTS}}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, example, str(plain), **options)
        quantised = plain.with_suffix(".int8.onnx")
        quantize_dynamic(str(plain), str(quantised))
    session = open_session(plain)
    ids = torch.arange(1000, 1032)[None]
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        expected = model(*inputs).numpy()
    error = np.abs(session.run(None, dict(zip(INPUTS, (i.numpy() for i in inputs))))[0] - expected).max()
    if not error < 1e-4:
        raise SystemExit(f"{plain.name}: the export differs from PyTorch by {error:.1e}")
    return quantised


def open_session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def prepare(path, tokens, clock):
    """A function that runs the graph `n` times and returns the median milliseconds of a run."""
    session = open_session(path)
    ids = np.random.default_rng(0).integers(1000, 30000, tokens)
    feed = {}
    for entry in session.get_inputs():
        value = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}.get(entry.name, ids)
        feed[entry.name] = value if len(entry.shape) == 1 else value[None]

    def run(n):
        times = []
        for _ in range(n):
            begin = clock()
            session.run(None, feed)
            times.append(clock() - begin)
        return 1000 * statistics.median(times)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", nargs="?", help="encoder.onnx of an int8 bundle; without it the exports alone are timed")
    parser.add_argument("--model", help="Hugging Face folder with the encoder's weights (default: random weights of MiniLM-L6's size)")
    parser.add_argument("--exporter", choices=("dynamo", "torchscript", "all"), default="all")
    parser.add_argument("--attention", choices=("eager", "sdpa", "all"), default="all")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: the calling thread's time, for a machine that is busy")
    parser.add_argument("--runs", type=int, default=40, help="runs of a block")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()

    clock = time.thread_time if args.clock == "cpu" else time.perf_counter
    logging.disable(logging.WARNING)
    exporters = ("dynamo", "torchscript") if args.exporter == "all" else (args.exporter,)
    attentions = ("eager", "sdpa") if args.attention == "all" else (args.attention,)
    with tempfile.TemporaryDirectory() as folder:
        graphs = {}
        for exporter in exporters:
            for attention in attentions:
                graphs[f"{exporter}-{attention}"] = prepare(export(Path(folder), exporter, attention, args.model), args.tokens, clock)
        if args.encoder:
            graphs["bundle"] = prepare(args.encoder, args.tokens, clock)
        blocks = {name: [] for name in graphs}
        for run in graphs.values():
            run(10)
        for _ in range(args.rounds):
            for name, run in graphs.items():
                blocks[name].append(run(args.runs))
    summary = {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__, "tokens": args.tokens}
    summary["milliseconds"] = {name: round(statistics.median(times), 2) for name, times in blocks.items()}
    if args.encoder:
        pairs = {name: zip(times, blocks["bundle"]) for name, times in blocks.items() if name != "bundle"}
        summary["ratio"] = {name: round(statistics.median(a / b for a, b in pair), 3) for name, pair in pairs.items()}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
