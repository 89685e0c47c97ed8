//! The bounded pool: how many windows are computed at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;

use super::env::check_process;
use super::gradients::Gradients;
use super::run::{GLANCE, lock_until};
use super::session::{Graphs, Lane};
use crate::error::{Error, Result};
use crate::explain::Cancel;

/// At most `most` lanes; each is made when a caller finds none idle. Shared by any number of threads.
pub(crate) struct Pool {
    environment: Environment,
    most: usize,
    state: Mutex<State>,
    returned: Condvar,
    /// The explain graphs by file, once they were needed. There is one of each: gradients are taken one at a time.
    gradients: Mutex<BTreeMap<&'static str, Gradients>>,
}

struct State {
    idle: Vec<Lane>,
    made: usize,
    /// Dropped once every lane is made: it is as large as the bundle.
    graphs: Option<Arc<Graphs>>,
}

impl Pool {
    /// A pool with its first lane, which is handed to `rehearse` before it counts.
    pub(crate) fn open(
        environment: Environment,
        graphs: Graphs,
        most: usize,
        rehearse: impl FnOnce(&mut Lane) -> Result<()>,
    ) -> Result<Pool> {
        let mut first = Lane::open(&environment, &graphs, None)?;
        rehearse(&mut first)?;
        let graphs = (most > 1).then(|| Arc::new(graphs));
        Ok(Pool {
            environment,
            most,
            state: Mutex::new(State {
                idle: vec![first],
                made: 1,
                graphs,
            }),
            returned: Condvar::new(),
            gradients: Mutex::default(),
        })
    }

    /// The greatest number of lanes.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Runs `work` with a lane of its own, waiting for one if all are busy.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Lane) -> Result<T>) -> Result<T> {
        self.with_lane(None, work)
    }

    /// [`Pool::with`]; raising `cancel` ends the wait, the making of a lane, and each run of it in `work`.
    pub(crate) fn with_until<T>(
        &self,
        cancel: &Cancel,
        work: impl FnOnce(&mut Lane) -> Result<T>,
    ) -> Result<T> {
        self.with_lane(Some(cancel), work)
    }

    fn with_lane<T>(
        &self,
        cancel: Option<&Cancel>,
        work: impl FnOnce(&mut Lane) -> Result<T>,
    ) -> Result<T> {
        check_process()?;
        let mut borrowed = Borrowed {
            lane: Some(self.take(cancel)?),
            pool: self,
        };
        match borrowed.lane.as_mut() {
            Some(lane) => {
                lane.cancel = cancel.cloned();
                work(lane)
            }
            None => Err(Error::Runtime(
                "no session is there to use; open a new engine".into(),
            )),
        }
    }

    /// Runs `work` with the explain graph in `file`, which `open` makes the first time. Raising `cancel` ends the wait, and each run in `work`.
    pub(crate) fn with_gradients<T>(
        &self,
        file: &'static str,
        cancel: &Cancel,
        open: impl FnOnce(&Environment) -> Result<Gradients>,
        work: impl FnOnce(&mut Gradients) -> Result<T>,
    ) -> Result<T> {
        check_process()?;
        let mut made = lock_until(&self.gradients, Some(cancel))?;
        let gradients = match made.entry(file) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(open(&self.environment)?),
        };
        gradients.cancel = cancel.clone();
        work(gradients)
    }

    fn take(&self, cancel: Option<&Cancel>) -> Result<Lane> {
        let mut state = self.lock();
        let graphs = loop {
            if let Some(Err(cancelled)) = cancel.map(Cancel::check) {
                self.returned.notify_one(); // if this caller was woken, the lane is for the next one
                return Err(cancelled);
            }
            if let Some(lane) = state.idle.pop() {
                return Ok(lane);
            }
            if let Some(graphs) = state.graphs.clone() {
                state.made += 1;
                if state.made == self.most {
                    state.graphs = None;
                }
                break graphs;
            }
            state = match cancel {
                None => self.returned.wait(state),
                Some(_) => self
                    .returned
                    .wait_timeout(state, GLANCE)
                    .map(|(state, _)| state)
                    .map_err(|poisoned| PoisonError::new(poisoned.into_inner().0)),
            }
            .unwrap_or_else(PoisonError::into_inner);
        };
        drop(state); // making a lane takes long; others go on meanwhile
        Lane::open(&self.environment, &graphs, cancel).inspect_err(|_| {
            let mut state = self.lock();
            state.made -= 1;
            state.graphs = Some(graphs);
            drop(state);
            self.returned.notify_one();
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    /// In a forked child the sessions are left alone: taking them down could wait forever for threads that are not there.
    fn drop(&mut self) {
        if check_process().is_err() {
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(&mut state.idle));
            let gradients = self
                .gradients
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(gradients));
        }
    }
}

/// Gives the lane back whatever happens, a panic included.
struct Borrowed<'a> {
    lane: Option<Lane>,
    pool: &'a Pool,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(mut lane) = self.lane.take() {
            lane.cancel = None;
            self.pool.lock().idle.push(lane);
            self.pool.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Bundle;
    use std::path::Path;
    use std::sync::Barrier;
    use std::time::{Duration, Instant};

    fn one_lane() -> Pool {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle");
        let environment = super::super::environment(None).unwrap();
        let (_, graphs) = Graphs::new(Bundle::open(&tiny).unwrap());
        Pool::open(environment, graphs, 1, |_| Ok(())).unwrap()
    }

    #[test]
    fn a_cancelled_caller_waits_no_longer_and_takes_no_turn() {
        let pool = one_lane();
        let cancel = Cancel::new();
        let taken = Barrier::new(2);
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| {
                pool.with(|_| {
                    taken.wait();
                    std::thread::sleep(Duration::from_millis(300));
                    Ok(())
                })
            });
            taken.wait();
            // One who waits for good, and eight who are cancelled while they wait: none of these may swallow its turn.
            let patient = scope.spawn(|| pool.with(|_| Ok(7)));
            let impatient: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let outcome = pool.with_until(&cancel, |_| Ok(()));
                        (outcome, Instant::now())
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(50));
            let raised = Instant::now();
            cancel.cancel();
            for one in impatient {
                let (outcome, ended) = one.join().unwrap();
                assert!(matches!(outcome, Err(Error::Cancelled)));
                assert!(ended - raised < Duration::from_millis(50));
            }
            busy.join().unwrap().unwrap();
            assert_eq!(patient.join().unwrap().unwrap(), 7);
        });
        let refused = pool.with_until(&cancel, |_| Ok(()));
        assert!(matches!(refused, Err(Error::Cancelled)));
        assert!(pool.with_until(&Cancel::new(), |_| Ok(())).is_ok());
    }
    #[test]
    fn a_flag_ends_the_runs_of_its_caller_and_of_no_other() {
        let pool = one_lane();
        let ids = [1, 2, 3];
        let cancel = Cancel::new();
        let ended = pool.with_until(&cancel, |lane| {
            lane.read(&ids)?;
            cancel.cancel();
            lane.read(&ids)
        });
        assert!(matches!(ended, Err(Error::Cancelled)));
        assert!(pool.with(|lane| lane.read(&ids)).is_ok());
    }
}
