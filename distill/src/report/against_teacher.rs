//! The student against its teachers, both against gold; and teachers of one type against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use bie::bundle::Manifest;
use serde::Serialize;

use super::html::{self, Cell, Table};
use crate::error::Result;
use crate::eval::{LABEL_HOLDS, Measured, Observed, canonical};
use crate::metrics::{Counts, Triple};
use crate::recipe::Recipe;
use crate::teacher::{self, Labels, NONE};

/// One relation type, as one teacher and the student see it. A decision is a pair of gold entities that gold, teacher or student relates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The relation type.
    pub relation: String,
    /// Documents that the teacher has read.
    pub documents: usize,
    /// Who is right against the corpus's gold, if it has this type.
    pub right: Option<Right>,
    /// The student with the teacher's word taken as gold: hits, only the student, only the teacher.
    pub agreement: Counts,
}

/// Decisions by who is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Teacher and student.
    pub both: usize,
    /// The teacher alone.
    pub only_teacher: usize,
    /// The student alone.
    pub only_student: usize,
    /// Neither.
    pub none: usize,
    /// The teacher against gold.
    pub teacher: Counts,
    /// The student against gold, on the same documents.
    pub student: Counts,
}

/// One teacher.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Teacher {
    /// Its file's name.
    pub file: String,
    /// Its relation types.
    pub relations: Vec<Comparison>,
}

/// Two teachers that know the same type, on the documents that both have read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disagreement {
    /// The type.
    pub label: String,
    /// The teachers' files.
    pub teachers: [String; 2],
    /// Documents.
    pub documents: usize,
    /// Both say so; only the second; only the first.
    pub says: Counts,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgainstTeacher {
    /// Each teacher on the documents of the evaluation.
    pub teachers: Vec<Teacher>,
    /// Each pair of teachers of one type, on what the student learned from.
    pub disagreements: Vec<Disagreement>,
}

/// A teacher's file with its names for the schema's types.
struct Voice {
    file: String,
    map: BTreeMap<String, String>,
    rows: Vec<Labels>,
    /// Types of entities in the file: a row without one says that there is none.
    entity_types: BTreeSet<String>,
    /// Rows of this split were learned from.
    split: Option<String>,
}

impl Voice {
    fn new(path: &Path, map: &BTreeMap<String, String>, split: Option<String>) -> Result<Voice> {
        let mut voice = Voice {
            file: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            map: map.clone(),
            rows: teacher::read(path)?,
            entity_types: BTreeSet::new(),
            split,
        };
        let labels = voice.rows.iter().flat_map(|row| &row.entities);
        voice.entity_types = labels.map(|e| voice.name(&e.label).to_owned()).collect();
        Ok(voice)
    }

    fn name<'a>(&'a self, label: &'a str) -> &'a str {
        self.map.get(label).map_or(label, String::as_str)
    }
}

/// Compares the student's relations with those of every teacher of the recipe and of its evaluation.
///
/// # Errors
/// A teacher's file cannot be read.
pub fn against_teacher(
    recipe: &Recipe,
    manifest: &Manifest,
    measured: &Measured,
) -> Result<AgainstTeacher> {
    let mut voices: Vec<Voice> = Vec::new();
    let mut paths = BTreeSet::new();
    for source in &recipe.teachers {
        let path = recipe.resolve(&source.path);
        voices.push(Voice::new(&path, &source.map, Some(source.split.clone()))?);
        paths.insert(path);
    }
    if let Some(evaluation) = &recipe.evaluation {
        let labels = evaluation.relations_from.iter();
        for path in labels
            .map(|p| recipe.resolve(p))
            .filter(|p| !paths.contains(p))
        {
            voices.push(Voice::new(&path, &evaluation.map, None)?);
        }
    }
    let teachers = voices.iter().map(|voice| Teacher {
        file: voice.file.clone(),
        relations: compared(voice, manifest, measured),
    });
    Ok(AgainstTeacher {
        teachers: teachers.filter(|t| !t.relations.is_empty()).collect(),
        disagreements: disagreements(&voices),
    })
}

fn compared(voice: &Voice, manifest: &Manifest, measured: &Measured) -> Vec<Comparison> {
    let by_id: HashMap<&str, &Observed> = measured
        .documents
        .iter()
        .map(|d| (d.document.id.as_str(), d))
        .collect();
    let mut found: Vec<Option<Comparison>> = vec![None; manifest.relations.len()];
    for row in &voice.rows {
        let (Some(document), Some(pairs)) = (
            by_id
                .get(row.id.as_str())
                .filter(|d| d.document.text == row.text),
            &row.pairs,
        ) else {
            continue;
        };
        let concept = |name: &str| document.gold.concepts.iter().position(|c| c == name);
        for stated in pairs.default.keys().filter(|name| *name != NONE) {
            let name = voice.name(stated);
            let Some(label) = manifest.relations.iter().position(|r| r.name == name) else {
                continue;
            };
            let holds = pairs.pairs.iter().filter(|p| {
                p.probabilities
                    .get(stated)
                    .is_some_and(|p| *p >= LABEL_HOLDS)
            });
            let said: BTreeSet<Triple> = holds
                .filter_map(|p| {
                    let (head, tail) = (concept(&p.head)?, concept(&p.tail)?);
                    Some(canonical(manifest, Triple { head, tail, label }))
                })
                .collect();
            let of = |triples: &BTreeSet<Triple>| -> BTreeSet<Triple> {
                triples
                    .iter()
                    .filter(|t| t.label == label)
                    .copied()
                    .collect()
            };
            let (gold, student) = (of(&document.gold.relations), of(&document.related));
            let by_corpus = measured.sources.get(label) == Some(&Some("corpus"));
            if let Some(slot) = found.get_mut(label) {
                let comparison = slot.get_or_insert_with(|| Comparison {
                    relation: name.to_owned(),
                    documents: 0,
                    right: by_corpus.then(Right::default),
                    agreement: Counts::default(),
                });
                comparison.documents += 1;
                comparison.agreement.add(&counts(&said, &student));
                if let Some(right) = &mut comparison.right {
                    right.add(&gold, &said, &student);
                }
            }
        }
    }
    found.into_iter().flatten().collect()
}

impl Right {
    fn add(
        &mut self,
        gold: &BTreeSet<Triple>,
        said: &BTreeSet<Triple>,
        student: &BTreeSet<Triple>,
    ) {
        let all: BTreeSet<&Triple> = gold.iter().chain(said).chain(student).collect();
        for triple in all {
            let holds = gold.contains(triple);
            let slot = match (
                said.contains(triple) == holds,
                student.contains(triple) == holds,
            ) {
                (true, true) => &mut self.both,
                (true, false) => &mut self.only_teacher,
                (false, true) => &mut self.only_student,
                (false, false) => &mut self.none,
            };
            *slot += 1;
        }
        self.teacher.add(&counts(gold, said));
        self.student.add(&counts(gold, student));
    }
}

/// What `predicted` has of `gold`.
fn counts<T: Ord>(gold: &BTreeSet<T>, predicted: &BTreeSet<T>) -> Counts {
    let hits = gold.intersection(predicted).count();
    Counts {
        hits,
        false_positives: predicted.len() - hits,
        misses: gold.len() - hits,
    }
}

/// What a row says of a type: relations by concepts, entities by their bytes.
fn says(voice: &Voice, row: &Labels) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut said: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    if let Some(pairs) = &row.pairs {
        let unordered = pairs.head_type == pairs.tail_type;
        for stated in pairs.default.keys().filter(|name| *name != NONE) {
            let all = said.entry(voice.name(stated).to_owned()).or_default();
            for pair in &pairs.pairs {
                if pair
                    .probabilities
                    .get(stated)
                    .is_some_and(|p| *p >= LABEL_HOLDS)
                {
                    let ends = (pair.head.clone(), pair.tail.clone());
                    let turned = unordered && ends.0 > ends.1;
                    all.insert(if turned { (ends.1, ends.0) } else { ends });
                }
            }
        }
    }
    if row.pairs.is_none() {
        for label in &voice.entity_types {
            said.entry(label.clone()).or_default();
        }
    }
    for entity in row.entities.iter().filter(|e| e.probability >= LABEL_HOLDS) {
        said.entry(voice.name(&entity.label).to_owned())
            .or_default()
            .insert((entity.span.start.to_string(), entity.span.end.to_string()));
    }
    said
}

fn disagreements(voices: &[Voice]) -> Vec<Disagreement> {
    let mut found = Vec::new();
    let learned = |voice: &'_ Voice, row: &Labels| {
        let of = |split: &String| row.split.as_ref().is_none_or(|own| own == split);
        voice.split.as_ref().is_some_and(of)
    };
    for (n, first) in voices.iter().enumerate() {
        for second in voices.iter().skip(n + 1) {
            let mut by_label: BTreeMap<String, (BTreeSet<&str>, Counts)> = BTreeMap::new();
            let rows: HashMap<(&str, &str), Vec<&Labels>> = second
                .rows
                .iter()
                .filter(|row| learned(second, row))
                .fold(HashMap::new(), |mut rows: HashMap<_, Vec<_>>, row| {
                    let key = (row.id.as_str(), row.text.as_str());
                    rows.entry(key).or_default().push(row);
                    rows
                });
            for row in first.rows.iter().filter(|row| learned(first, row)) {
                let others = rows.get(&(row.id.as_str(), row.text.as_str()));
                for other in others.into_iter().flatten() {
                    let (a, b) = (says(first, row), says(second, other));
                    for (label, said) in &a {
                        if let Some(theirs) = b.get(label) {
                            let (documents, sum) = by_label.entry(label.clone()).or_default();
                            documents.insert(&row.id);
                            sum.add(&counts(said, theirs));
                        }
                    }
                }
            }
            found.extend(
                by_label
                    .into_iter()
                    .map(|(label, (documents, says))| Disagreement {
                        label,
                        teachers: [first.file.clone(), second.file.clone()],
                        documents: documents.len(),
                        says,
                    }),
            );
        }
    }
    found
}

impl AgainstTeacher {
    /// The section's body.
    pub fn html(&self) -> String {
        let mut out = String::new();
        let number = |n: usize| Cell::Number(html::count(n));
        let f1 = |c: &Counts| Cell::Number(html::percent(c.f1()));
        for teacher in &self.teachers {
            let judged = |c: &Comparison| {
                let r = c.right?;
                let cells = [r.both, r.only_teacher, r.only_student, r.none].map(number);
                let figures = [f1(&r.teacher), f1(&r.student)];
                Some((
                    c.relation.clone(),
                    cells.into_iter().chain(figures).collect(),
                ))
            };
            let rows: Vec<_> = teacher.relations.iter().filter_map(judged).collect();
            if !rows.is_empty() {
                let table = Table {
                    caption: format!(
                        "{} and the student against gold: pairs of gold entities that one of the three relates, by who is right",
                        teacher.file
                    ),
                    head: [
                        "relation",
                        "both right",
                        "only teacher",
                        "only student",
                        "none",
                        "teacher F1 %",
                        "student F1 %",
                    ]
                    .map(str::to_owned)
                    .to_vec(),
                    rows,
                    ..Table::default()
                };
                out.push_str(&table.html());
            }
            let agreed = |c: &Comparison| {
                let a = &c.agreement;
                let cells = [a.hits, a.misses, a.false_positives, c.documents].map(number);
                let cells = [f1(a)].into_iter().chain(cells).collect();
                (c.relation.clone(), cells)
            };
            let table = Table {
                caption: format!(
                    "Agreement of {} with the student, on relations between gold entities",
                    teacher.file
                ),
                head: [
                    "relation",
                    "agreement F1 %",
                    "both say so",
                    "only teacher",
                    "only student",
                    "documents",
                ]
                .map(str::to_owned)
                .to_vec(),
                rows: teacher.relations.iter().map(agreed).collect(),
                ..Table::default()
            };
            out.push_str(&table.html());
        }
        if !self.disagreements.is_empty() {
            out.push_str(&html::heading("Teachers among themselves"));
            let row = |d: &Disagreement| {
                let [first, second] = d.teachers.clone();
                let s = &d.says;
                let mut cells = vec![Cell::Text(first), Cell::Text(second), f1(s)];
                cells.extend([s.hits, s.misses, s.false_positives, d.documents].map(number));
                (d.label.clone(), cells)
            };
            let table = Table {
                caption: "Two teachers of one type on the documents that both labelled and the student learned from".to_owned(),
                head: ["type", "first", "second", "agreement F1 %", "both", "only first", "only second", "documents"].map(str::to_owned).to_vec(),
                rows: self.disagreements.iter().map(row).collect(),
                ..Table::default()
            };
            out.push_str(&table.html());
        }
        if !out.is_empty() {
            out.push_str(&html::note(&format!(
                "A teacher says that something holds if it states a probability of at least {LABEL_HOLDS}."
            )));
        }
        out
    }
}
