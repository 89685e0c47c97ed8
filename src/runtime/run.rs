//! One run of a session, which another thread may end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use ort::session::{RunOptions, Session, SessionInputs, SessionOutputs};

use super::session::failed;
use crate::error::Result;
use crate::explain::Cancel;

/// How often those who wait for something else than a run look whether they were cancelled.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// Runs `session` on `inputs` and hands what comes out to `read`.
///
/// With `cancel`, raising it ends the run before the next operator of the graph starts: [`crate::Error::Cancelled`]. Without it a run costs
/// nothing more than ONNX Runtime itself.
pub(crate) fn run<'i, 'v: 'i, T, const N: usize>(
    session: &mut Session,
    inputs: impl Into<SessionInputs<'i, 'v, N>>,
    cancel: Option<&Cancel>,
    read: impl FnOnce(SessionOutputs<'_>) -> Result<T>,
) -> Result<T> {
    let Some(cancel) = cancel else {
        return read(session.run(inputs).map_err(failed)?);
    };
    // Once terminated they stay so: they serve this run only.
    let options = Arc::new(RunOptions::new().map_err(failed)?);
    let ended = options.clone();
    let _watch = cancel.watch(move || {
        let _ = ended.terminate(); // it sets a flag and cannot fail
    });
    let outputs = session
        .run_with_options(inputs, &*options)
        .map_err(|error| match cancel.check() {
            Err(cancelled) => cancelled,
            Ok(()) => failed(error),
        })?;
    read(outputs)
}

/// Takes a lock; with `cancel`, raising it ends the wait.
pub(super) fn lock_until<'a, T>(
    mutex: &'a Mutex<T>,
    cancel: Option<&Cancel>,
) -> Result<MutexGuard<'a, T>> {
    let Some(cancel) = cancel else {
        return Ok(mutex.lock().unwrap_or_else(PoisonError::into_inner));
    };
    loop {
        cancel.check()?;
        match mutex.try_lock() {
            Ok(locked) => return Ok(locked),
            Err(TryLockError::Poisoned(locked)) => return Ok(locked.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(GLANCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Graphs, Lane, MentionTokens, environment};
    use super::*;
    use crate::Error;
    use crate::bundle::Bundle;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    /// What the header promises.
    const PROMISE: Duration = Duration::from_millis(50);

    /// The default bundle, whose runs last long enough to be ended; the tiny one where it is not there.
    fn bundle() -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let default = root.join("models/default");
        if default.is_dir() {
            return default;
        }
        eprintln!("no models/default: the tiny bundle's runs are over before they can be ended");
        root.join("tests/data/tiny.bundle")
    }

    /// Runs `work` and raises its flag after `delay`; what it came to, and how long after the flag.
    fn raised_after<T: Send>(
        delay: Duration,
        work: impl FnOnce(&Cancel) -> T + Send,
    ) -> (T, Duration) {
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| (work(&cancel), Instant::now()));
            std::thread::sleep(delay);
            let raised = Instant::now();
            cancel.cancel();
            let (outcome, ended) = running.join().unwrap();
            (outcome, ended.saturating_duration_since(raised))
        })
    }

    /// Most of the times are; a busy machine may let a thread wait for longer now and then.
    fn within_the_promise(mut lates: Vec<Duration>) {
        lates.sort();
        assert!(lates[lates.len() / 2] < PROMISE, "{lates:?}");
        assert!(lates[lates.len() - 1] < 6 * PROMISE, "{lates:?}");
    }

    #[test]
    fn a_run_ends_when_the_flag_is_raised_and_the_session_goes_on() {
        let environment = environment(None).unwrap();
        let (manifest, graphs) = Graphs::new(Bundle::open(&bundle()).unwrap());
        let mut lane = Lane::open(&environment, &graphs, None).unwrap();
        let ids: Vec<i64> = (0..manifest.max_tokens as i64)
            .map(|id| 10 + id % 40)
            .collect();
        let begun = Instant::now();
        let expected = lane.read(&ids).unwrap();
        let whole = begun.elapsed();
        let mentions = [0, 1].map(|entity| MentionTokens {
            first: entity,
            last: entity,
            entity,
        });
        let logits = lane.relate(&expected, &mentions, 2, &[(0, 1)]).unwrap();

        let (mut ended, mut lates) = (0, Vec::new());
        for step in 0..12 {
            let delay = Duration::from_millis(step % 6);
            let (outcome, late) = raised_after(delay, |cancel| {
                lane.cancel = Some(cancel.clone());
                lane.read(&ids)
            });
            lates.push(late);
            match outcome {
                Err(Error::Cancelled) => ended += 1,
                Ok(reading) => assert_eq!(reading.entity_logits, expected.entity_logits),
                Err(other) => panic!("{other}"),
            }
        }
        within_the_promise(lates);
        assert!(
            ended >= 10 || whole < Duration::from_millis(30),
            "{ended} of 12 runs ended early, though one takes {whole:?}"
        );

        let up = Cancel::new();
        up.cancel();
        lane.cancel = Some(up);
        assert!(matches!(lane.read(&ids), Err(Error::Cancelled)));
        let refused = lane.relate(&expected, &mentions, 2, &[(0, 1)]);
        assert!(matches!(refused, Err(Error::Cancelled)));

        // Ended runs leave nothing behind, and one that nobody ends gives what it gives without a flag.
        lane.cancel = Some(Cancel::new());
        let again = lane.read(&ids).unwrap();
        assert_eq!(again.entity_logits, expected.entity_logits);
        assert_eq!(
            lane.relate(&again, &mentions, 2, &[(0, 1)]).unwrap(),
            logits
        );
    }

    #[test]
    fn the_making_of_a_session_ends_when_the_flag_is_raised() {
        let environment = environment(None).unwrap();
        let (_, graphs) = Graphs::new(Bundle::open(&bundle()).unwrap());
        let mut lates = Vec::new();
        for delay in [0, 3, 10, 20, 40, 80] {
            let (outcome, late) = raised_after(Duration::from_millis(delay), |cancel| {
                Lane::open(&environment, &graphs, Some(cancel)).map(|_| ())
            });
            lates.push(late);
            assert!(matches!(outcome, Ok(()) | Err(Error::Cancelled)));
        }
        within_the_promise(lates);
        Lane::open(&environment, &graphs, Some(&Cancel::new())).unwrap();
    }

    #[test]
    fn a_wait_for_a_lock_ends_when_the_flag_is_raised() {
        let mutex = Mutex::new(3);
        let held = mutex.lock().unwrap();
        let wait = |cancel: &Cancel| lock_until(&mutex, Some(cancel)).map(|value| *value);
        let (outcome, late) = raised_after(Duration::from_millis(20), wait);
        assert!(matches!(outcome, Err(Error::Cancelled)));
        assert!(late < PROMISE, "{late:?}");
        drop(held);
        assert_eq!(wait(&Cancel::new()).unwrap(), 3);
        assert_eq!(*lock_until(&mutex, None).unwrap(), 3);
    }
}
