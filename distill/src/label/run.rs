//! A run: asks what is missing, keeps what comes, writes the labels.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::error::{Error, Result};
use crate::journal::{Journal, private};
use crate::progress::{self, Share};
use crate::teacher;

use super::client::{Client, Failure, Refusal};
use super::pace::Pace;
use super::plan::{Plan, Row, count};
use super::reply::{self, Record, Usage};
use super::report::Report;
use super::rows;

/// After a signal, how long answers under way are waited for: they are paid for.
const GRACE: Duration = Duration::from_secs(5);

/// So many questions in a row without an answer end the run, if the server is what fails, or if there was never an answer: something is wrong
/// with all of them. (Where others were answered, ten texts may as well be too long.)
const HOPELESS: usize = 10;

/// Files of the output folder.
const ANSWERS: &str = "answers.jsonl";
const LABELS: &str = "labels.jsonl";
const REPORT: &str = "report.json";
const REFUSAL: &str = "refused.txt";

/// Answers by what they are kept under.
type Kept = HashMap<String, Record>;

/// Says what sending would mean; sends nothing.
///
/// # Errors
/// Answers of an earlier run cannot be read.
pub fn rehearse(plan: &Plan, out: &Path) -> Result<()> {
    let kept = if out.join(ANSWERS).exists() {
        open(out)?.1
    } else {
        Kept::new()
    };
    let missing = plan.missing(|key| kept.contains_key(key));
    eprintln!("distill: would send: {}", plan.announcement(&missing, None));
    Ok(())
}

/// Asks what is missing and writes OUT/labels.jsonl and OUT/report.json.
///
/// # Errors
/// A signal came: the same command goes on. The host is not this machine and `allow_remote` is false; the key is missing; the endpoint cannot be used; documents are left without
/// labels (the others are written); the folder cannot be written.
pub fn run(plan: Plan, out: &Path, allow_remote: bool) -> Result<()> {
    if !plan.address.loopback && !allow_remote {
        return Err(Error::Usage(format!(
            "{} is not this machine: the text of {} documents would leave it; --allow-remote permits that, --dry-run says what would be sent",
            plan.address.host,
            plan.texts.len()
        )));
    }
    let client = Client::new(&plan.task.endpoint, &plan.address)?;
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let (mut journal, mut kept) = open(out)?;
    let missing = plan.missing(|key| kept.contains_key(key));
    let plan = Arc::new(plan);
    let mut failed = Failed::default();
    // An earlier run's says nothing of this one.
    let _ = fs::remove_file(out.join(REFUSAL));
    if !missing.is_empty() {
        eprintln!("distill: {}", plan.announcement(&missing, client.proxy()));
        let asked = ask(&plan, client, missing, &mut journal, &mut kept, out);
        journal.sync()?;
        match asked? {
            Some(failures) => failed = failures,
            None => return Err(progress::stopped()),
        }
    }
    write(&plan, &kept, &failed, out)
}

fn open(out: &Path) -> Result<(Journal, Kept)> {
    let identity = json!({"holds": "answers of distill label", "version": 1});
    let (journal, records) = Journal::open::<Record>(&out.join(ANSWERS), &identity)?;
    let kept = records.into_iter().map(|r| (r.key.clone(), r)).collect();
    Ok((journal, kept))
}

/// What this run could not have answered.
#[derive(Default)]
struct Failed {
    /// Why, by row.
    rows: HashMap<usize, String>,
    /// What was paid for it.
    spent: Usage,
}

/// What came of one question.
struct Event {
    row: usize,
    result: std::result::Result<Record, Failure>,
    spent: Usage,
    refusal: Refusal,
    /// It shows that no question will be answered: nothing more is asked.
    last: bool,
}

/// What all who ask share.
struct Work {
    plan: Arc<Plan>,
    client: Client,
    pace: Pace,
    stop: Arc<AtomicBool>,
    queue: Mutex<VecDeque<(usize, u32)>>,
    /// Questions without an answer since the last one with.
    unanswered: AtomicUsize,
    /// There was an answer, now or in an earlier run.
    answered: AtomicBool,
}

/// Asks everything that is missing; why rows have no answer, or none if a signal came.
fn ask(
    plan: &Arc<Plan>,
    client: Client,
    missing: Vec<(usize, u32)>,
    journal: &mut Journal,
    kept: &mut Kept,
    out: &Path,
) -> Result<Option<Failed>> {
    let stop = progress::stop_signal()?;
    let all: usize = plan.rows.iter().map(|r| r.keys.len()).sum();
    let before = all.saturating_sub(missing.len());
    let questions = missing.len();
    let work = Arc::new(Work {
        pace: Pace::new(&plan.task.endpoint),
        plan: Arc::clone(plan),
        client,
        stop: Arc::clone(&stop),
        queue: Mutex::new(missing.into()),
        unanswered: AtomicUsize::new(0),
        answered: AtomicBool::new(!kept.is_empty()),
    });
    let (sender, events) = mpsc::channel();
    for _ in 0..plan.task.endpoint.parallel.min(questions) {
        let (work, sender) = (Arc::clone(&work), sender.clone());
        // Not joined: a request that hangs must not keep a stopped run from ending.
        std::thread::spawn(move || work.run(&sender));
    }
    drop(sender);
    let mut progress = Share::new("label", before as f64 / all.max(1) as f64);
    let mut failed = Failed::default();
    let (mut spent, mut answered, mut given_up) = (Usage::default(), 0, 0);
    let mut refused_before = false;
    let mut stopping: Option<Instant> = None;
    loop {
        match events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => {
                spent.add(event.spent);
                if !event.refusal.0.is_empty() && !refused_before {
                    refused_before = true;
                    write_private(&out.join(REFUSAL), &event.refusal.0)?;
                }
                match event.result {
                    Ok(record) => {
                        journal.append(&record)?;
                        kept.insert(record.key.clone(), record);
                        answered += 1;
                    }
                    Err(failure) if event.last => {
                        let why = match failure {
                            Failure::Everything(_) => String::new(),
                            _ => format!("{HOPELESS} questions in a row had no answer: "),
                        };
                        return Err(Error::Endpoint(format!(
                            "{}: {why}{}{}",
                            plan.address.host,
                            failure.why(),
                            see(out, refused_before)
                        )));
                    }
                    Err(failure) => {
                        failed.rows.insert(event.row, failure.why().to_owned());
                        failed.spent.add(event.spent);
                        given_up += 1;
                    }
                }
                let answered = before + answered;
                progress.at(
                    (answered + given_up) as f64 / all.max(1) as f64,
                    &line(plan, answered, all, spent, given_up),
                );
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if stop.load(Ordering::Relaxed)
            && stopping.get_or_insert_with(Instant::now).elapsed() > GRACE
        {
            break;
        }
    }
    progress.finish();
    Ok((!stop.load(Ordering::Relaxed)).then_some(failed))
}

/// Where people find what a server said.
fn see(out: &Path, refused: bool) -> String {
    if refused {
        format!(
            " (what the server said is in {}; it may quote a document)",
            out.join(REFUSAL).display()
        )
    } else {
        String::new()
    }
}

fn line(plan: &Plan, done: usize, all: usize, spent: Usage, failed: usize) -> String {
    let mut line = format!(
        "{done}/{all} answers, {} + {} tokens",
        count(spent.prompt),
        count(spent.completion)
    );
    if let Some(prices) = &plan.task.prices {
        line.push_str(&format!(
            " ({:.2} {})",
            prices.of(spent.prompt, spent.completion),
            prices.currency
        ));
    }
    if failed > 0 {
        line.push_str(&format!(", {failed} failed"));
    }
    line
}

impl Work {
    /// Takes questions until there are none, or a signal comes.
    fn run(&self, sender: &Sender<Event>) {
        loop {
            let next = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some((row, sample)) = next else { return };
            let Some(event) = self
                .plan
                .rows
                .get(row)
                .and_then(|r| self.question(row, r, sample))
            else {
                return;
            };
            if sender.send(event).is_err() {
                return;
            }
        }
    }

    /// Asks one question until it is answered or given up; none if a signal came.
    fn question(&self, number: usize, row: &Row, sample: u32) -> Option<Event> {
        let task = &self.plan.task;
        let question = self.plan.question(row)?;
        let key = row.keys.get(sample as usize)?;
        let sides = row.asked.as_ref().map(|a| &a.sides);
        let mut spent = Usage::default();
        let mut refusal = Refusal::default();
        let mut tries = 0;
        // What failed last is the server, not what it or we said.
        let mut silent;
        let result = loop {
            if !self.pace.turn(&self.stop) {
                return None;
            }
            let body = question.body(task, sample, tries).to_string();
            tries += 1;
            let failure = match self.client.post(body.as_bytes()) {
                Ok(body) => {
                    silent = false;
                    let (record, used) = reply::read(task, sides, key, &body);
                    spent.add(used);
                    match record {
                        Ok(record) => {
                            // The tries that could not be used were paid for, too.
                            let usage = Some(spent);
                            break Ok(Record { usage, ..record });
                        }
                        Err(failure) => failure,
                    }
                }
                Err((failure, said)) => {
                    refusal = said;
                    silent = matches!(failure, Failure::Later(..));
                    failure
                }
            };
            match &failure {
                Failure::Later(_, asked) if tries < task.endpoint.tries => {
                    if !self
                        .pace
                        .back_off(tries, chance(key, tries), *asked, &self.stop)
                    {
                        return None;
                    }
                }
                _ => break Err(failure),
            }
        };
        let last = match &result {
            Ok(_) => {
                self.unanswered.store(0, Ordering::Relaxed);
                self.answered.store(true, Ordering::Relaxed);
                false
            }
            Err(Failure::Everything(_)) => true,
            Err(_) => {
                let many = self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= HOPELESS;
                many && (silent || !self.answered.load(Ordering::Relaxed))
            }
        };
        if last {
            self.stop.store(true, Ordering::Relaxed);
        }
        Some(Event {
            row: number,
            result,
            spent,
            refusal,
            last,
        })
    }
}

/// From 0 to 1, as good as random: keys are hashes.
fn chance(key: &str, tries: u32) -> f64 {
    let digits = key
        .get(..8)
        .and_then(|d| u32::from_str_radix(d, 16).ok())
        .unwrap_or_default();
    f64::from(digits.rotate_left(5 * tries) >> 8) / f64::from(1u32 << 24)
}

/// Writes labels and report from the answers that there are.
fn write(plan: &Plan, kept: &Kept, failed: &Failed, out: &Path) -> Result<()> {
    let mut report = Report {
        documents: plan.texts.len(),
        repeated: plan.repeated,
        ..Report::default()
    };
    let mut lines = String::new();
    let mut usage: HashMap<&str, Usage> = HashMap::new();
    for (number, row) in plan.rows.iter().enumerate() {
        let Some(text) = plan.texts.get(row.text) else {
            continue;
        };
        let records: Vec<&Record> = row.keys.iter().filter_map(|key| kept.get(key)).collect();
        let labels = if records.len() < row.keys.len() {
            // Another row may have asked the same.
            let same = |n: &usize| plan.rows.get(*n).is_some_and(|r| r.keys == row.keys);
            let why = failed.rows.get(&number);
            let why = why.or_else(|| {
                failed
                    .rows
                    .iter()
                    .find(|(n, _)| same(n))
                    .map(|(_, why)| why)
            });
            Err(why.map_or("it has no answer", String::as_str))
        } else {
            match &row.asked {
                None => rows::entities(&plan.task, text, &records),
                Some(asked) => rows::pairs(
                    &plan.task,
                    text,
                    &asked.sides,
                    &asked.heads,
                    &asked.tails,
                    &records,
                ),
            }
        };
        match labels {
            Ok((labels, tally)) => {
                usage.extend(
                    records
                        .iter()
                        .map(|r| (r.key.as_str(), r.usage.unwrap_or_default())),
                );
                lines.push_str(&teacher::line(&labels)?);
                report.row(&text.document.id, labels.rule, tally);
            }
            Err(why) => report
                .failed
                .push((text.document.id.clone(), why.to_owned())),
        }
    }
    let mut paid = Usage::default();
    usage.into_values().for_each(|u| paid.add(u));
    report.paid(paid, failed.spent, plan.task.prices.as_ref());
    let labels = out.join(LABELS);
    write_private(&labels, lines.as_bytes())?;
    let path = out.join(REPORT);
    write_private(&path, format!("{:#}\n", report.json()).as_bytes())?;
    eprintln!("distill: wrote {}: {report}", labels.display());
    if let Some((id, why)) = report.failed.first() {
        return Err(Error::Endpoint(format!(
            "{} of {} rows lack labels, the first of document {id}: {why}; {} lists them{}, and the same command tries again",
            report.failed.len(),
            plan.rows.len(),
            path.display(),
            see(out, out.join(REFUSAL).exists())
        )));
    }
    Ok(())
}

/// Writes a file that only its owner may read; it is there whole or as it was.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut file = private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&part)
        .map_err(Error::io("write", &part))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &part))?;
    fs::rename(&part, path).map_err(Error::io("rename", &part))
}
