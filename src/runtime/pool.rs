//! The bounded pool: how many windows are computed at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;

use super::env::check_process;
use super::gradients::Gradients;
use super::session::{Graphs, Lane};
use crate::error::{Error, Result};

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
        let mut first = Lane::open(&environment, &graphs)?;
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
        check_process()?;
        let mut borrowed = Borrowed {
            lane: Some(self.take()?),
            pool: self,
        };
        match borrowed.lane.as_mut() {
            Some(lane) => work(lane),
            None => Err(Error::Runtime(
                "no session is there to use; open a new engine".into(),
            )),
        }
    }

    /// Runs `work` with the explain graph in `file`, which `open` makes the first time.
    pub(crate) fn with_gradients<T>(
        &self,
        file: &'static str,
        open: impl FnOnce(&Environment) -> Result<Gradients>,
        work: impl FnOnce(&mut Gradients) -> Result<T>,
    ) -> Result<T> {
        check_process()?;
        let mut made = self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(match made.entry(file) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(open(&self.environment)?),
        })
    }

    fn take(&self) -> Result<Lane> {
        let mut state = self.lock();
        let graphs = loop {
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
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(state); // making a lane takes long; others go on meanwhile
        Lane::open(&self.environment, &graphs).inspect_err(|_| {
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
        if let Some(lane) = self.lane.take() {
            self.pool.lock().idle.push(lane);
            self.pool.returned.notify_one();
        }
    }
}
