"""Writes mini.pubtator, mini-odd.pubtator, mini-eval.pubtator and mini-teacher.jsonl: invented abstracts, so that training runs without a corpus.

Mentions are every occurrence of a name below; offsets count code points of title + one space + abstract. `python make_mini.py` with nothing installed.
"""

import json
import random
import re
from pathlib import Path

HERE = Path(__file__).parent

CHEMICALS = [
    "aspirin", "ibuprofen", "metformin", "warfarin", "lithium", "haloperidol", "naloxone", "morphine", "clonidine", "cisplatin", "amiodarone",
    "propranolol", "phenytoin", "penicillin", "heparin", "insulin", "digoxin", "furosemide", "captopril", "cocaine", "ketamine", "simvastatin",
    "verapamil", "lactic acid",
]
DISEASES = [
    "nausea", "headache", "heart failure|HF", "diabetes mellitus|DM", "hypertension", "hypotension", "bleeding", "seizures|seizure", "rash",
    "renal failure", "tremor", "asthma", "angina", "cough", "myopathy", "bradycardia", "pain", "gastric ulcer", "psychosis", "hypoglycemia",
    "thrombosis", "lactic acidosis", "deafness", "fever", "arrhythmia",
]
NAMES = {
    name: (kind, f"D9{group}{number:03}")
    for group, (kind, concepts) in enumerate([("Chemical", CHEMICALS), ("Disease", DISEASES)])
    for number, names in enumerate(concepts, 1)
    for name in names.split("|")
}
# Longer names first: "lactic acidosis" is no "lactic acid". Any case, but an abbreviation only in capitals.
PATTERN = re.compile(
    r"\b(?:" + "|".join(n if n.isupper() else f"(?i:{n})" for n in sorted(NAMES, key=len, reverse=True)) + r")\b"
)

# Title, abstract, then what it says: "head relation tail".
TRAINING = [
    ("Gastric ulcer after aspirin.", "Aspirin caused gastric ulcer in three patients. Bleeding was seen in one patient. Nausea was not seen.",
     ["aspirin causes gastric ulcer"]),
    ("Ibuprofen for headache.", "Ibuprofen was given for headache. Headache was relieved by ibuprofen in most patients. No rash was seen.",
     ["ibuprofen treats headache"]),
    ("Metformin and lactic acidosis.", "A patient with diabetes mellitus (DM) was treated with metformin. Metformin induced lactic acidosis. DM was "
     "then treated with insulin.", ["metformin causes lactic acidosis", "metformin treats diabetes mellitus", "insulin treats diabetes mellitus"]),
    ("Warfarin with aspirin: bleeding.", "Aspirin increases the effect of warfarin. Warfarin was given for thrombosis. Bleeding was caused by warfarin.",
     ["aspirin interacts warfarin", "warfarin causes bleeding", "warfarin treats thrombosis"]),
    ("Tremor during lithium therapy.", "Lithium induced tremor in two patients with psychosis. Tremor was relieved by propranolol.",
     ["lithium causes tremor", "lithium treats psychosis", "propranolol treats tremor"]),
    ("Lithium and haloperidol.", "Haloperidol was given for psychosis. Haloperidol with lithium induced seizures. Haloperidol increases the effect of "
     "lithium.", ["haloperidol treats psychosis", "haloperidol causes seizures", "lithium causes seizures", "haloperidol interacts lithium"]),
    ("Naloxone reverses the effect of clonidine.", "Clonidine was given for hypertension. Naloxone reduced the effect of clonidine. Hypertension was "
     "seen after naloxone.", ["clonidine treats hypertension", "naloxone interacts clonidine", "naloxone causes hypertension"]),
    ("Morphine in heart failure (HF).", "Morphine relieved pain in patients with HF. Nausea was caused by morphine. The HF was treated with furosemide.",
     ["morphine treats pain", "morphine causes nausea", "furosemide treats heart failure"]),
    ("Renal failure after cisplatin.", "Cisplatin induced renal failure and deafness in a patient. Nausea was caused by cisplatin, too.",
     ["cisplatin causes renal failure", "cisplatin causes deafness", "cisplatin causes nausea"]),
    ("Amiodarone and digoxin.", "Amiodarone increases the level of digoxin. Arrhythmia was treated with amiodarone. Bradycardia was seen after digoxin.",
     ["amiodarone interacts digoxin", "amiodarone treats arrhythmia", "digoxin causes bradycardia"]),
    ("β-Blockade with propranolol: asthma.", "Propranolol (40–80 mg) was given for angina. Propranolol induced asthma. Angina was relieved.",
     ["propranolol treats angina", "propranolol causes asthma"]),
    ("Phenytoin and rash.", "Phenytoin was given for seizures. Rash and fever were caused by phenytoin in one patient.",
     ["phenytoin treats seizures", "phenytoin causes rash", "phenytoin causes fever"]),
    ("Penicillin: fever and rash.", "Fever was treated with penicillin. Rash was caused by penicillin in two patients.",
     ["penicillin treats fever", "penicillin causes rash"]),
    ("Heparin in thrombosis.", "Heparin was given for thrombosis. Bleeding was caused by heparin. Heparin increases the effect of warfarin.",
     ["heparin treats thrombosis", "heparin causes bleeding", "heparin interacts warfarin"]),
    ("Hypoglycemia after insulin.", "Insulin induced hypoglycemia in patients with diabetes mellitus. Hypoglycemia was not seen with metformin.",
     ["insulin causes hypoglycemia"]),
    ("Captopril and cough.", "Captopril was given for hypertension. Cough was caused by captopril. Hypotension was seen in one patient.",
     ["captopril treats hypertension", "captopril causes cough", "captopril causes hypotension"]),
    ("Cocaine, angina and psychosis.", "Cocaine induced angina in a patient. Psychosis was caused by cocaine. Psychosis was treated with haloperidol.",
     ["cocaine causes angina", "cocaine causes psychosis", "haloperidol treats psychosis"]),
    ("Ketamine for pain.", "Ketamine relieved pain in patients with asthma. Hypertension and psychosis were caused by ketamine.",
     ["ketamine treats pain", "ketamine causes hypertension", "ketamine causes psychosis"]),
    ("Myopathy: simvastatin with verapamil.", "Verapamil increases the level of simvastatin. Simvastatin induced myopathy in two patients with angina.",
     ["verapamil interacts simvastatin", "simvastatin causes myopathy"]),
    ("Verapamil in arrhythmia.", "Verapamil was given for arrhythmia. Hypotension and bradycardia were caused by verapamil.",
     ["verapamil treats arrhythmia", "verapamil causes hypotension", "verapamil causes bradycardia"]),
    ("The level of lactic acid.", "The level of lactic acid was not increased in patients with heart failure. Metformin was not given.", []),
    ("Naloxone and morphine.", "Naloxone reduced the effect of morphine. Pain was seen after naloxone in a patient. Morphine was given for pain.",
     ["naloxone interacts morphine", "naloxone causes pain", "morphine treats pain"]),
    ("Ibuprofen in renal failure.", "Renal failure was caused by ibuprofen. Ibuprofen reduced the effect of furosemide. Ibuprofen was given for fever.",
     ["ibuprofen causes renal failure", "ibuprofen interacts furosemide", "ibuprofen treats fever"]),
    ("Digoxin in heart failure.", "Digoxin was given for heart failure. Arrhythmia and nausea were caused by digoxin. Furosemide increases the effect "
     "of digoxin.", ["digoxin treats heart failure", "digoxin causes arrhythmia", "digoxin causes nausea", "furosemide interacts digoxin"]),
]
EVALUATION = [
    ("Nausea after aspirin.", "Aspirin was given for fever. Nausea was caused by aspirin.", ["aspirin causes nausea", "aspirin treats fever"]),
    ("Captopril in heart failure (HF).", "Captopril was given for HF. Renal failure was caused by captopril.",
     ["captopril treats heart failure", "captopril causes renal failure"]),
    ("Seizures after cocaine.", "Cocaine induced seizures in two patients. Seizures were treated with phenytoin.",
     ["cocaine causes seizures", "phenytoin treats seizures"]),
    ("Lithium with furosemide.", "Furosemide increases the level of lithium. Tremor was caused by lithium.",
     ["furosemide interacts lithium", "lithium causes tremor"]),
]


def mentions(text):
    """(start, end, surface, kind, concept) of every name in the text."""
    for found in PATTERN.finditer(text):
        name = found.group() if found.group() in NAMES else found.group().lower()
        yield found.start(), found.end(), found.group(), *NAMES[name]


def statements(said):
    """(head, relation, tail) of "head relation tail", heads and tails as concepts."""
    for line in said:
        head, relation, tail = re.fullmatch(r"(.+) (causes|treats|interacts) (.+)", line).groups()
        yield NAMES[head][1], relation, NAMES[tail][1]


def pubtator(number, title, body, said):
    text = f"{title} {body}"
    lines = [f"{number}|t|{title}", f"{number}|a|{body}"]
    lines += ["\t".join(map(str, (number, *mention))) for mention in mentions(text)]
    lines += [f"{number}\tCID\t{head}\t{tail}" for head, relation, tail in statements(said) if relation == "causes"]
    return "\n".join(lines) + "\n"


def evidence(text, head, tail):
    """The first sentence that names both."""
    for sentence in re.finditer(r"\S[^.:]*[.:]", text):
        named = {mention[4] for mention in mentions(sentence.group())}
        if {head, tail} <= named:
            return {"evidence": [sentence.start(), sentence.end()]}
    return {}


def teacher(number, split, title, body, said):
    """Two rows, as a large model that is nearly sure would write them: chemicals with diseases, chemicals with chemicals."""
    text = f"{title} {body}"
    for tail_type, labels in [("Disease", ["causes", "treats"]), ("Chemical", ["interacts"])]:
        pairs = []
        for head, relation, tail in statements(said):
            if relation in labels:
                probs = {"none": 0.08} | {label: 0.9 if label == relation else 0.02 for label in labels}
                probs["none"] = round(1 - sum(p for label, p in probs.items() if label != "none"), 2)
                pairs.append({"head": head, "tail": tail, "probs": probs} | evidence(text, head, tail))
        default = {"none": round(1 - 0.02 * len(labels), 2)} | {label: 0.02 for label in labels}
        row = {"id": str(number), "corpus": "mini", "split": split, "text": text, "head_type": "Chemical", "tail_type": tail_type}
        yield json.dumps(row | {"default": default, "pairs": pairs}, ensure_ascii=False)


def odd(count):
    """Names among words, rulers and characters that mean nothing: what is no name must be learned, too, or the student sees names everywhere."""
    draw = random.Random(1)
    pieces = (HERE / "tiny-bert" / "vocab.txt").read_text(encoding="utf-8").split()
    parts = [part for name in NAMES for part in name.lower().split()]
    words = [p for p in pieces if p.isalpha() and not any(part.startswith(p) for part in parts if len(p) > 1)]
    scraps = ["a", "-", "é", "漢", "😀", "β-blockers", ";", ",", ":", "(", ")", "[SEP]", "/", "*", "1.5", "500 mg", "0", "x" * 120, "aaaa", "zzz", "É"]

    def filler():
        kind = draw.random()
        if kind < 0.5:
            return " ".join(draw.choice(words) for _ in range(draw.randint(1, 5)))
        if kind < 0.8:
            return draw.choice(scraps)
        scrap = draw.choice(scraps[:5] + ["x" * 120])
        return draw.choice(["", " "]).join([scrap] * draw.randint(2, 36)) if len(scrap) < 5 else " ".join([scrap] * draw.randint(2, 36))

    def sentence():
        parts = []
        for _ in range(draw.randint(0, 3)):
            name = draw.choice(list(NAMES))
            parts += [draw.choice([name, name[0].upper() + name[1:]])] + draw.choice([[], [filler()]])
        return " ".join(draw.choice([[], [filler()]]) + parts) or filler()

    for number in range(9200001, 9200001 + count):
        # The reader of the format takes lines; the text must not hold one of its own.
        yield number, (sentence(), draw.choice([". ", ".  ", " ", ", "]).join(sentence() for _ in range(draw.randint(0, 3))), [])


def main():
    training = list(enumerate(TRAINING, 9000001))
    evaluation = list(enumerate(EVALUATION, 9100001))
    for name, documents in [("mini.pubtator", training), ("mini-odd.pubtator", odd(80)), ("mini-eval.pubtator", evaluation)]:
        (HERE / name).write_text("\n".join(pubtator(number, *d) for number, d in documents), encoding="utf-8")
    rows = [row for split, documents in [("train", training), ("dev", evaluation)] for number, d in documents for row in teacher(number, split, *d)]
    (HERE / "mini-teacher.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
