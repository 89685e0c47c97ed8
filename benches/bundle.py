"""A bundle's graphs run by Python: what a decision scores when words of its window are deleted.

This is the model behind the comparisons with Python's explainers, and the one measure that judges all of them: it shares no code with libbie.
One window only: a text that does not fit into `max_tokens` is refused.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

CUTS = (0.01, 0.05, 0.1, 0.2, 0.5)  # ERASER's shares of deleted or kept words


@dataclass
class Window:
    """The tokens of a text. `ids` holds `[CLS]` first and `[SEP]` last; positions in `spans` are code points."""

    ids: np.ndarray
    spans: list  # (start, end) of each token; that of [CLS] and [SEP] is (0, 0)
    words: list  # (first token, one past the last token) of each word

    def tokens(self, start, end):
        """First and one past the last of the tokens that meet the text from `start` to `end`."""
        met = [at for at, span in enumerate(self.spans) if span[0] < end and start < span[1]]
        return met[0], met[-1] + 1

    def word_span(self, word):
        first, past = self.words[word]
        return self.spans[first][0], self.spans[past - 1][1]


@dataclass
class Entity:
    """A span of tokens and a type."""

    name: str
    label: int
    first: int
    past: int


@dataclass
class Relation:
    """A pair of entities and a relation; `admitted` are the relations that compete for the pair."""

    name: str
    label: int
    admitted: list
    head: list  # token ranges of the mentions of each end
    tail: list


class Bundle:
    """An opened bundle. Counts the encoder's runs in `forwards`; `deletion` is the token that stands in for a deleted one."""

    def __init__(self, folder, threads=1, deletion="[MASK]"):
        folder = Path(folder)
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.tokenizer.encode_special_tokens = True
        self.cls, self.sep, self.stand_in = (self.tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]", deletion))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.encoder = onnxruntime.InferenceSession(str(folder / "encoder.onnx"), options, providers=providers)
        relations = folder / "relations.onnx"
        self.relations = onnxruntime.InferenceSession(str(relations), options, providers=providers) if relations.exists() else None
        self.forwards = 0

    def window(self, text):
        """The text's only window."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        ids = [self.cls, *encoding.ids, self.sep]
        if not 3 <= len(ids) <= self.manifest["max_tokens"]:
            raise ValueError(f"a text of {len(ids)} tokens is not one window of 3 to {self.manifest['max_tokens']}")
        numbers = [-1, *encoding.word_ids, -2]
        starts = [at for at in range(1, len(ids)) if numbers[at] != numbers[at - 1]]  # of words; the last is [SEP]
        return Window(np.array(ids, dtype=np.int64), [(0, 0), *encoding.offsets, (0, 0)], list(zip(starts, starts[1:])))

    def decisions(self, window, extraction):
        """What `bie extract --format json --offset-unit utf32` reported of the window's text: entities, then relations, with their reported scores."""
        kinds = [kind["name"] for kind in self.manifest["entities"]]
        relations = [kind["name"] for kind in self.manifest["relations"]]
        mentions = [(kinds.index(e["type"]), *window.tokens(e["start"], e["end"])) for e in extraction["entities"]]
        found = []
        for reported, (label, first, past) in zip(extraction["entities"], mentions):
            found.append((Entity(reported["type"], label, first, past), reported["score"]))
        for reported in extraction["relations"]:
            ends = [extraction["entities"][reported[end]] for end in ("head", "tail")]
            ranges = [[m[1:] for e, m in zip(extraction["entities"], mentions) if e["group"] == end["group"]] for end in ends]
            label = relations.index(reported["type"])
            found.append((Relation(reported["type"], label, self.admitted(*ends), *ranges), reported["score"]))
        return found

    def admitted(self, head, tail):
        """The relations that compete for a pair of reported entities."""
        def admits(kind):
            if head["type"] not in kind["head"] or tail["type"] not in kind["tail"]:
                return False
            return not kind["symmetric"] or (head["type"] == tail["type"] and head["group"] < tail["group"])

        return [label for label, kind in enumerate(self.manifest["relations"]) if admits(kind)]

    def run(self, ids):
        """Entity logits `[L, K, 3]`, hidden `[L, d]`, attention `[heads, L, L]`."""
        self.forwards += 1
        return self.encoder.run(None, {"input_ids": ids})

    def relate(self, hidden, attention, relations):
        """Relation logits `[P, R+1]` and pair attention `[P, L]` of each relation's pair."""
        ranges = [end for relation in relations for end in (relation.head, relation.tail)]
        mentions = np.zeros((sum(map(len, ranges)), len(hidden)), dtype=np.float32)
        entities = np.zeros((len(ranges), len(mentions)), dtype=np.float32)
        row = 0
        for entity, tokens in enumerate(ranges):
            for first, past in tokens:
                mentions[row, first:past] = 1 / (past - first)
                entities[entity, row] = 1
                row += 1
        heads = np.arange(0, len(ranges), 2)
        feed = {"hidden": hidden, "attention": attention, "mention_tokens": mentions, "entity_mentions": entities}
        return self.relations.run(None, feed | {"pair_head": heads, "pair_tail": heads + 1})

    def scores(self, ids, decisions):
        """The score of each decision, before calibration, when the encoder reads `ids`."""
        logits, hidden, attention = self.run(ids)
        relations = [decision for decision in decisions if isinstance(decision, Relation)]
        rows = iter(self.relate(hidden, attention, relations)[0] if relations else ())
        scores = []
        for decision in decisions:
            if isinstance(decision, Entity):
                tags = log_softmax(logits[decision.first : decision.past, decision.label])
                scores.append(np.exp((tags[0, 1] + tags[1:, 2].sum()) / len(tags)))
            else:
                row = next(rows)
                kept = log_softmax(row[[0, *(label + 1 for label in decision.admitted)]])
                scores.append(np.exp(kept[1 + decision.admitted.index(decision.label)]))
        return np.array(scores, dtype=np.float64)

    def deleted(self, window, present):
        """The window's ids, the stand-in in place of every token of a word that is not present."""
        ids = window.ids.copy()
        for (first, past), stays in zip(window.words, present):
            if not stays:
                ids[first:past] = self.stand_in
        return ids

    def game(self, window, decision):
        """The decision's score as a function of which words of its window are present (a Boolean array)."""
        return lambda present: float(self.scores(self.deleted(window, present), [decision])[0])


def log_softmax(logits):
    """Along the last axis."""
    shifted = np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cuts(words):
    """How many words each of ERASER's shares is: at least one."""
    return [max(1, int(np.ceil(words * share - 1e-9))) for share in CUTS]


def faithfulness(value, weights):
    """Comprehensiveness and sufficiency (DeYoung et al. 2020) of one decision's word weights, both divided by its score.

    `value` gives the score when the words of a Boolean array are present. Equal weights go to the word that comes first.
    """
    words = len(weights)
    order = np.argsort(-np.asarray(weights), kind="stable")
    full = value(np.ones(words, dtype=bool))
    deleted, kept = [], []
    for count in cuts(words):
        heaviest = np.zeros(words, dtype=bool)
        heaviest[order[:count]] = True
        deleted.append(full - value(~heaviest))
        kept.append(full - value(heaviest))
    return float(np.mean(deleted) / full), float(np.mean(kept) / full)
