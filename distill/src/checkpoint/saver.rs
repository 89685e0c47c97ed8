//! Saves while the training goes on: when it is due, in the background, again if it failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{Folder, State, Tensor};
use crate::error::{Error, Result};
use crate::files;

/// How long the end of a training tries to be saved, where people may make room meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// Longest pause between two attempts of the end.
const PAUSE: Duration = Duration::from_secs(30);

/// How often a pause looks for a signal.
const LOOK: Duration = Duration::from_millis(50);

/// Attempts where nobody has patience: a signal came, or the training diverged.
const ATTEMPTS: u32 = 2;

/// How a training saves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habit {
    /// The work that a kill may cost; see [`Saver`].
    pub bound: Duration,
    /// Write while the training goes on. It needs a copy of the trained parameters and their moments (12 bytes a parameter) while it
    /// writes; without it the training stands still for as long.
    pub background: bool,
}

/// A save under way.
struct Writing<'scope> {
    step: u64,
    taken: Instant,
    waited: Duration,
    thread: ScopedJoinHandle<'scope, Result<PathBuf>>,
}

/// Decides when checkpoints are written, and writes them.
///
/// A kill at any moment costs no more than the bound of the [`Habit`], unless writing fails or a single step or save takes longer. A save that fails is said and tried
/// again; training goes on meanwhile, since nothing is gained by ending it.
pub struct Saver<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    folder: &'env Folder,
    habit: Habit,
    pace: Pace,
    writing: Option<Writing<'scope>>,
    /// The step that is on the disk.
    saved: Option<u64>,
    said: bool,
}

impl<'scope, 'env> Saver<'scope, 'env> {
    /// From the beginning of the first step; the checkpoint of step `saved` is on the disk.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        folder: &'env Folder,
        habit: Habit,
        saved: Option<u64>,
    ) -> Self {
        Saver {
            scope,
            folder,
            habit,
            pace: Pace::new(habit.bound, Instant::now()),
            writing: None,
            saved,
            said: false,
        }
    }

    /// Whether the state should be saved now, after a step that took `step`; asked after every step.
    pub fn due(&mut self, step: Duration) -> bool {
        self.pace.step(step);
        let ready = |writing: &mut Writing| writing.thread.is_finished();
        if let Some(writing) = self.writing.take_if(ready) {
            self.collect(writing);
        }
        self.writing.is_none() && self.pace.due(Instant::now())
    }

    /// Saves the state, in the background if that is the habit.
    pub fn save(&mut self, state: State, tensors: BTreeMap<String, Tensor<'_>>) {
        let taken = Instant::now();
        if !self.habit.background {
            let step = state.step;
            let outcome = self.folder.save(&state, &tensors);
            self.note(step, taken, taken.elapsed(), &outcome);
            return;
        }
        let step = state.step;
        let copies: BTreeMap<String, Tensor<'static>> = tensors
            .into_iter()
            .map(|(name, tensor)| (name, tensor.into_owned()))
            .collect();
        let folder = self.folder;
        let thread = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn_scoped(self.scope, move || folder.save(&state, &copies));
        match thread {
            Ok(thread) => {
                self.writing = Some(Writing {
                    step,
                    taken,
                    waited: taken.elapsed(),
                    thread,
                });
            }
            Err(source) => {
                let error = Error::io("start a thread to write", self.folder.path())(source);
                self.note(step, taken, taken.elapsed(), &Err(error));
            }
        }
    }

    /// Saves the last state and waits for it. Where it cannot be written, people get some minutes to make room; a signal, or `hurry`, ends that.
    ///
    /// # Errors
    /// It cannot be written; the checkpoint before it stays.
    pub fn finish(
        &mut self,
        state: &State,
        tensors: &BTreeMap<String, Tensor<'_>>,
        stop: &AtomicBool,
        hurry: bool,
    ) -> Result<()> {
        if let Some(writing) = self.writing.take() {
            self.collect(writing);
        }
        let begun = Instant::now();
        let mut pause = Duration::from_millis(200);
        let mut attempts = 0;
        while self.saved != Some(state.step) {
            let taken = Instant::now();
            let outcome = self.folder.save(state, tensors);
            self.note(state.step, taken, taken.elapsed(), &outcome);
            attempts += 1;
            let Err(error) = outcome else { break };
            let patient = |at: Instant| {
                if hurry || stop.load(Ordering::Relaxed) {
                    attempts < ATTEMPTS
                } else {
                    at - begun < PATIENCE
                }
            };
            let resume_at = Instant::now() + pause;
            while Instant::now() < resume_at && patient(Instant::now()) {
                thread::sleep(LOOK.min(pause));
            }
            if !patient(Instant::now()) {
                return Err(error);
            }
            pause = (2 * pause).min(PAUSE);
        }
        Ok(())
    }

    /// What saving has cost, in words.
    pub fn summary(&self) -> String {
        self.pace.summary(Instant::now())
    }

    /// Removes the checkpoint of a step that turned out bad; the step of the one that stays.
    pub fn discard(&mut self, step: u64) -> Option<u64> {
        if let Some(writing) = self.writing.take() {
            self.collect(writing);
        }
        if let Err(error) = self.folder.discard(step) {
            eprintln!("distill: {error}");
        }
        let left = self.folder.list().unwrap_or_default();
        left.first().and_then(|path| super::step_of(path))
    }

    fn collect(&mut self, writing: Writing<'scope>) {
        let Writing {
            step,
            taken,
            waited,
            thread,
        } = writing;
        let outcome = thread.join().unwrap_or_else(|_| {
            Err(Error::Training(
                "the thread that writes checkpoints failed".to_owned(),
            ))
        });
        self.note(step, taken, waited, &outcome);
    }

    /// Takes the outcome of an attempt in, and says what people should know.
    fn note(&mut self, step: u64, taken: Instant, waited: Duration, outcome: &Result<PathBuf>) {
        self.pace
            .ended(taken, Instant::now(), waited, outcome.is_err());
        match outcome {
            Ok(_) => {
                self.saved = Some(step);
                if let Some(share) = self.pace.too_much().filter(|_| !self.said) {
                    self.said = true;
                    eprintln!(
                        "distill: saving takes {:.0} % of the time; a greater training.checkpoint_minutes makes it less",
                        100.0 * share
                    );
                }
            }
            Err(error) => {
                let left = match self.saved {
                    Some(saved) => format!("what was saved at step {saved} stays"),
                    None => "nothing is saved yet".to_owned(),
                };
                let room = files::free(self.folder.path()).map_or_else(
                    |_| String::new(),
                    |free| format!(", {} MB are free", free / 1_000_000),
                );
                eprintln!(
                    "distill: the checkpoint of step {step} is not saved: {error}{room}; {left}, and it is tried again"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(step: u64) -> State {
        State {
            step,
            epoch: 0,
            batch: step,
            random: 0,
            recipe: json!({}),
            extra: json!({}),
        }
    }

    fn tensors(values: &[f32]) -> BTreeMap<String, Tensor<'_>> {
        BTreeMap::from([("w".to_owned(), Tensor::floats(&[values.len()], values))])
    }

    fn saved(folder: &Folder) -> Option<u64> {
        let newest = folder.load(&json!({})).unwrap();
        newest.map(|checkpoint| checkpoint.state.step)
    }

    #[test]
    fn a_save_in_the_background_is_of_the_moment_at_which_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        for background in [true, false] {
            let habit = Habit {
                bound: Duration::ZERO,
                background,
            };
            let mut values = vec![1.0; 100_000];
            thread::scope(|scope| {
                let mut saver = Saver::new(scope, &folder, habit, None);
                assert!(saver.due(Duration::ZERO));
                saver.save(state(7), tensors(&values));
                values.fill(2.0);
                let stop = AtomicBool::new(false);
                saver.finish(&state(7), &tensors(&values), &stop, false)
            })
            .unwrap();
            let mut found = folder.load(&json!({})).unwrap().unwrap();
            assert_eq!(found.floats("w", 100_000).unwrap()[99_999], 1.0);
        }
    }

    #[test]
    fn a_save_that_fails_is_tried_again_and_the_end_is_not_given_up_at_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        // A folder stands where the file is to be written.
        let block = root.path().join(".tmp-step-000000002.checkpoint");
        std::fs::create_dir(&block).unwrap();
        let (stop, values) = (AtomicBool::new(false), [1.0]);
        let habit = Habit {
            bound: Duration::from_secs(60),
            background: true,
        };
        thread::scope(|scope| {
            let mut saver = Saver::new(scope, &folder, habit, None);
            saver.save(state(1), tensors(&values));
            saver.save(state(2), tensors(&values));
            let hurry = saver.finish(&state(2), &tensors(&values), &stop, true);
            assert!(
                hurry
                    .unwrap_err()
                    .to_string()
                    .contains("step-000000002.checkpoint")
            );
            assert_eq!(saved(&folder), Some(1));
            let freed = scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                std::fs::remove_dir(&block).unwrap();
            });
            saver.finish(&state(2), &tensors(&values), &stop, false)?;
            freed.join().unwrap();
            Ok::<(), Error>(())
        })
        .unwrap();
        assert_eq!(saved(&folder), Some(2));
    }

    #[test]
    fn a_signal_ends_the_patience() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        std::fs::create_dir(root.path().join(".tmp-step-000000002.checkpoint")).unwrap();
        let stop = AtomicBool::new(false);
        let habit = Habit {
            bound: Duration::from_secs(60),
            background: true,
        };
        let begun = Instant::now();
        thread::scope(|scope| {
            let mut saver = Saver::new(scope, &folder, habit, None);
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                stop.store(true, Ordering::Relaxed);
            });
            saver
                .finish(&state(2), &tensors(&[1.0]), &stop, false)
                .unwrap_err();
        });
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
