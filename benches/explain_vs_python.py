"""Explanations: bie's `auto` against Python's shap (Partition) and lime, on the same model, the same decisions and the same stand-in for deleted words, in one run.

Decisions are what libbie reports of the texts, relations and entities in turn, at most one of each a text. For each: bie, shap, lime, bie again.
  bie   bie_explain through the C interface, one thread
  shap  shap.explainers.Partition over the words, its text masker, 500 evaluations
  lime  LimeTextExplainer over the words by position, 5000 samples, all words in its model
shap and lime call the bundle's own graphs, int8 where they are, through ONNX Runtime's Python package with one thread. Neither reads the text again:
bie has the extraction's result, they have the window's tokens. What each needs only once in a process is done before.
Prints for each tool the median seconds and forward passes of an explanation, the mean comprehensiveness and sufficiency (measured by bundle.py, not by the
tools), and against bie the median ratio of the decisions' times and the mean difference of comprehensiveness with its 95 % bootstrap interval over texts.
`words differing` counts decisions whose words bie and the tokenizer's Python package see differently: they are left out, as are those whose score Python does not reproduce.
Interrupted (Ctrl-C, or by `timeout`), it reports the decisions that are complete.
"""

import os

os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}  # before numpy is loaded

import argparse
import gzip
import json
import signal
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import shap
from lime.lime_text import LimeTextExplainer

from bundle import Bundle, Relation, faithfulness
from libbie import ENTITY, RELATION, Bie

TOLERANCE = 1e-3  # between a reported score and Python's


def texts(path):
    """A text file's one text, or the documents of a PubTator file."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as file:
        if "pubtator" not in path.name.lower():
            return [file.read()]
        documents = {}
        for line in file:
            fields = line.rstrip("\n").split("|", 2)
            if len(fields) == 3 and fields[1] in ("t", "a"):
                documents.setdefault(fields[0], []).append(fields[2])
        return [" ".join(parts) for parts in documents.values()]


def by_shap(game, text, spans, evaluations, batch, seed):
    """Owen values of a balanced tree of the words: what shap does with text.

    The masker gives numbers of words, not strings: as a string it would glue a stand-in to the next word, and its tokens would be others.
    """

    def tokenizer(given, return_offsets_mapping=True):
        words = spans if given else []
        return {"input_ids": list(range(len(words))), "offset_mapping": words}

    masker = shap.maskers.Text(tokenizer, mask_token=-1, collapse_mask_token=False, output_type="token_ids")
    explainer = shap.explainers.Partition(lambda rows: np.array([game(np.asarray(row) >= 0) for row in rows]), masker)
    np.random.seed(seed)  # it breaks ties by the global generator
    return explainer([text], max_evals=evaluations, batch_size=batch, silent=True).values[0]


def by_lime(game, spans, samples, seed):
    """Coefficients of the weighted ridge regression. LIME sees words of a text by their place only, so it gets their numbers instead of the words."""

    def classify(given):
        rows = []
        for text in given:
            present = np.zeros(len(spans), dtype=bool)
            present[[int(word) for word in text.split() if word != "-"]] = True
            rows.append([game(present)])
        return np.array(rows)

    explainer = LimeTextExplainer(bow=False, split_expression=r"\s+", mask_string="-", random_state=seed)
    numbers = " ".join(map(str, range(len(spans))))
    found = explainer.explain_instance(numbers, classify, labels=(0,), num_features=len(spans), num_samples=samples)
    weights = np.zeros(len(spans))
    for word, weight in found.local_exp[0]:
        weights[word] = weight
    return weights


class Progress:
    """Counts forward passes and says now and then, on stderr, how long it will take."""

    def __init__(self, expected):
        self.begin, self.expected, self.passes, self.said = time.monotonic(), expected, 0, time.monotonic()

    def counted(self, game):
        def play(present):
            self.passes += 1
            if time.monotonic() - self.said > 30:
                self.say("")
            return game(present)

        return play

    def say(self, what):
        self.said = time.monotonic()
        spent = self.said - self.begin
        left = spent * (self.expected - self.passes) / max(self.passes, 1)
        print(f"{what or '...'}  {self.passes} of about {self.expected} passes, {spent / 60:.1f} min, {max(left, 0) / 60:.1f} min to go", file=sys.stderr, flush=True)


def timed(explain, repeats=1):
    """What `explain` returns, and the median wall and processor seconds of a call."""
    spent = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        found = explain()
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    return found, *(statistics.median(seconds) for seconds in zip(*spent))


def decisions(bie, bundle, args):
    """(number of the text, text, window, decision, its kind and index in libbie's result), and how many were left out and why."""
    rng = np.random.default_rng(args.seed)
    left_out = {"words differing": 0, "score differing": 0}
    found = []
    for number, text in enumerate(rng.permutation(np.array(texts(args.texts), dtype=object))):
        try:
            window = bundle.window(text)
        except ValueError:
            continue
        if not args.words[0] <= len(window.words) <= args.words[1]:
            continue
        reading = bie.read(text)
        reported = bundle.decisions(window, reading.extraction())
        reading.close()
        entities = sum(not isinstance(decision, Relation) for decision, _ in reported)
        scores = bundle.scores(window.ids, [decision for decision, _ in reported]) if reported else []
        for kind, first, past in ((RELATION, entities, len(reported)), (ENTITY, 0, entities)):
            for at in rng.permutation(np.arange(first, past)):
                decision, score = reported[at]
                if sum(one[4] == kind for one in found) * 2 >= args.decisions + (kind == RELATION and args.decisions % 2):
                    break
                if abs(score - scores[at]) > TOLERANCE:
                    left_out["score differing"] += 1
                    continue
                found.append((number, text, window, decision, kind, int(at - first)))
                break
        if len(found) >= args.decisions:
            break
    # relations and entities in turn, so that an interrupted run has both
    turns = [[one for one in found if one[4] == kind] for kind in (RELATION, ENTITY)]
    order = sorted((place, kind) for kind in (0, 1) for place in range(len(turns[kind])))
    return [turns[kind][place] for place, kind in order], left_out


def compare(bie, bundle, chosen, left_out, args):
    """One row for each decision: what every tool spent and how faithful its weights are."""
    progress = Progress(len(chosen) * sum({"shap": args.shap_evaluations, "lime": args.lime_samples}[tool] for tool in args.tools))
    rows = []
    try:
        for number, text, window, decision, kind, index in chosen:
            spans = [window.word_span(word) for word in range(len(window.words))]
            game = bundle.game(window, decision)
            counted = progress.counted(game)
            tools = {
                "shap": lambda: by_shap(counted, text, spans, args.shap_evaluations, args.shap_batch, args.seed),
                "lime": lambda: by_lime(counted, spans, args.lime_samples, args.seed),
            }
            row = {"text": number, "type": decision.name, "kind": "relation" if kind == RELATION else "entity", "words": len(spans)}
            reading = bie.read(text)
            reading.explain(kind, index)  # first use of this window's length
            (summary, words), *first = timed(lambda: reading.explain(kind, index), args.repeats)
            if [word[:2] for word in words] != spans:
                left_out["words differing"] += 1
                reading.close()
                continue
            if abs(summary.score - game(np.ones(len(spans), dtype=bool))) > TOLERANCE:
                left_out["score differing"] += 1
                reading.close()
                continue
            weights = {"bie": [word[2] for word in words]}
            for tool in args.tools:
                before = bundle.forwards
                weights[tool], wall, cpu = timed(tools[tool])
                row[tool] = {"seconds": wall, "cpu_seconds": cpu, "passes": bundle.forwards - before}
                progress.say(f"{row['kind']} {len(rows) + 1} of {len(chosen)}: {tool}")
            _, *last = timed(lambda: reading.explain(kind, index), args.repeats)
            reading.close()
            row["bie"] = {"seconds": (first[0] + last[0]) / 2, "cpu_seconds": (first[1] + last[1]) / 2, "passes": summary.evaluations, "method": summary.method}
            row["score"] = summary.score
            for tool, found in weights.items():
                row[tool]["comprehensiveness"], row[tool]["sufficiency"] = faithfulness(game, found)
            rows.append(row)
    except KeyboardInterrupt:
        print(f"interrupted: {len(rows)} of {len(chosen)} decisions are complete", file=sys.stderr)
    return rows


def interval(differences, groups, draws=10_000):
    """95 % bootstrap interval of the mean; whole groups are drawn. None of too few groups: it would look narrow and mean nothing."""
    sums = {}
    for difference, group in zip(differences, groups):
        total, count = sums.get(group, (0.0, 0))
        sums[group] = (total + difference, count + 1)
    if len(sums) < 5:
        return None
    table = np.array(list(sums.values()))
    drawn = table[np.random.default_rng(0).integers(0, len(table), (draws, len(table)))].sum(axis=1)
    return [round(float(bound), 4) for bound in np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))]


def summarised(rows, tools):
    """The medians and means of every tool, and its comparison with bie."""
    summary = {}
    for tool in ("bie", *tools):
        column = {name: [row[tool][name] for row in rows] for name in ("seconds", "cpu_seconds", "passes", "comprehensiveness", "sufficiency")}
        summary[tool] = {name: round(statistics.median(column[name]), 4) for name in ("seconds", "cpu_seconds", "passes")}
        summary[tool] |= {name: round(statistics.mean(column[name]), 4) for name in ("comprehensiveness", "sufficiency")}
        if tool == "bie":
            continue
        for name, clock in (("times_bie", "seconds"), ("times_bie_cpu", "cpu_seconds")):
            summary[tool][name] = round(statistics.median(row[tool][clock] / row["bie"][clock] for row in rows), 1)
        for name in ("comprehensiveness", "sufficiency"):
            differences = [row["bie"][name] - row[tool][name] for row in rows]
            summary[tool]["bie_minus_" + name] = round(statistics.mean(differences), 4)
            summary[tool]["bie_minus_" + name + "_95"] = interval(differences, [row["text"] for row in rows])
    return summary


def table(name, rows, tools):
    print(f"\n{name}: {len(rows)} decisions of {len({row['text'] for row in rows})} texts, {statistics.median(row['words'] for row in rows):g} words")
    print("| tool | s | cpu s | passes | comp/p | suff/p | time / bie | cpu / bie | comp: bie − tool | suff: bie − tool |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for tool, one in summarised(rows, tools).items():
        cells = [f"{one['seconds']:.3f}", f"{one['cpu_seconds']:.3f}", f"{one['passes']:g}", f"{one['comprehensiveness']:.3f}", f"{one['sufficiency']:.3f}"]
        if tool != "bie":
            cells += [f"{one['times_bie']:.0f}", f"{one['times_bie_cpu']:.0f}"]
            for metric in ("comprehensiveness", "sufficiency"):
                bounds = one[f"bie_minus_{metric}_95"]
                cells.append(f"{one['bie_minus_' + metric]:+.3f} " + ("[{:+.3f}, {:+.3f}]".format(*bounds) if bounds else "(too few texts)"))
        print(f"| {tool} | {' | '.join(cells)} |" + (" | | | |" if tool == "bie" else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="a text, or a PubTator file (its name has `pubtator` in it; .gz is read too)")
    parser.add_argument("--bundle", type=Path, default=Path("models/default"))
    parser.add_argument("--library", type=Path, default=Path("target/release/libbie.so"))
    parser.add_argument("--runtime", type=Path, help="ONNX Runtime for libbie (default: beside the library)")
    parser.add_argument("--decisions", type=int, default=12, help="so many, half of them relations")
    parser.add_argument("--words", type=int, nargs=2, default=(60, 150), metavar=("LEAST", "MOST"), help="texts of so many words")
    parser.add_argument("--deletion", choices=("pad", "mask"), default="pad", help="what stands in for a deleted token, for all tools")
    parser.add_argument("--option", nargs="+", default=[], metavar="KEY=VALUE", help="bie's options of include/bie.h, such as method=occlusion")
    parser.add_argument("--tools", nargs="*", choices=("shap", "lime"), default=["shap", "lime"])
    parser.add_argument("--shap-evaluations", type=int, default=500, help="shap's default for text")
    parser.add_argument("--shap-batch", type=int, default=50, help="shap's choice of what to look at next is made so often")
    parser.add_argument("--lime-samples", type=int, default=5000, help="lime's default for text")
    parser.add_argument("--repeats", type=int, default=3, help="bie's explanations before and again after the others, for its time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    args = parser.parse_args()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runtime = args.runtime or args.library.parent / "libbie_onnxruntime.so"
    options = {key: int(value) if value.isdigit() else value for key, value in (option.split("=", 1) for option in args.option)}
    bie = Bie(args.library, args.bundle, runtime, **{"deletion": args.deletion, "baseline": args.deletion} | options)
    bundle = Bundle(args.bundle, threads=1, deletion=f"[{args.deletion.upper()}]")
    chosen, left_out = decisions(bie, bundle, args)
    if not chosen:
        raise SystemExit(f"{args.texts}: no decision in a text of {args.words[0]} to {args.words[1]} words that fits into one window; see --words")
    _, text, window, _, kind, index = chosen[0]  # what is needed only once in a process: bie's gradients, numba's compiler
    reading = bie.read(text)
    reading.explain(kind, index)
    reading.close()
    by_shap(np.mean, text, [window.word_span(word) for word in range(len(window.words))], 20, 10, 0)
    rows = compare(bie, bundle, chosen, left_out, args)
    if not rows:
        raise SystemExit(f"no decision to compare; left out: {left_out}")
    settings = {"bie": bie.version, **{name: version(name) for name in ("shap", "lime", "onnxruntime")}, "deletion": args.deletion, "options": options, "left_out": left_out}
    parts = {kind: [row for row in rows if row["kind"] == kind] for kind in ("relation", "entity")}
    if args.json:
        summary = {kind: summarised(part, args.tools) for kind, part in {"all": rows, **parts}.items() if part}
        print(json.dumps(settings | {"summary": summary, "decisions": rows}))
        return
    print(json.dumps(settings))
    for kind, part in {**parts, "all": rows}.items():
        if part:
            table(kind, part, args.tools)
    bie.close()


if __name__ == "__main__":
    main()
