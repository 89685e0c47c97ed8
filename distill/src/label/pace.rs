//! When requests may be sent: the rate, and the waits after failures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::settings::Endpoint;

/// Longest wait that a server can ask for, or that doubling leads to.
const LONGEST: Duration = Duration::from_secs(600);

/// Between two looks at the signal.
const SLICE: Duration = Duration::from_millis(50);

/// Shared by all who send.
#[derive(Debug)]
pub struct Pace {
    /// Between two requests.
    interval: Duration,
    first_wait: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// The task's rate and first wait.
    pub fn new(endpoint: &Endpoint) -> Pace {
        let interval = endpoint.requests_per_minute.map_or(0.0, |rate| 60.0 / rate);
        Pace {
            interval: Duration::from_secs_f64(interval),
            first_wait: Duration::from_secs_f64(endpoint.backoff_seconds),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for its turn; false if `stop` came first.
    pub fn turn(&self, stop: &AtomicBool) -> bool {
        let slot = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = (*next).max(Instant::now());
            *next = slot + self.interval;
            slot
        };
        sleep(slot.saturating_duration_since(Instant::now()), stop)
    }

    /// Waits after the `failed`th failure in a row (from 1): the first wait, doubled each time, of which a random half is left out so that
    /// not all come back at once (`chance` from 0 to 1); at least as long as the server asks for, and then nobody sends meanwhile. False if
    /// `stop` came first.
    pub fn back_off(
        &self,
        failed: u32,
        chance: f64,
        asked: Option<Duration>,
        stop: &AtomicBool,
    ) -> bool {
        let doubled = self
            .first_wait
            .saturating_mul(1 << (failed.saturating_sub(1)).min(16))
            .min(LONGEST);
        let mut wait = doubled.mul_f64(1.0 - 0.5 * chance);
        if let Some(asked) = asked {
            wait = wait.max(asked.min(LONGEST));
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = (*next).max(Instant::now() + asked.min(LONGEST));
        }
        sleep(wait, stop)
    }
}

fn sleep(wait: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + wait;
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: Option<f64>) -> Pace {
        Pace {
            interval: Duration::from_secs_f64(rate.map_or(0.0, |r| 60.0 / r)),
            first_wait: Duration::from_millis(40),
            next: Mutex::new(Instant::now()),
        }
    }

    #[test]
    fn a_rate_is_kept_by_all_together() {
        let (pace, stop, start) = (pace(Some(1200.0)), AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!((0..2).all(|_| pace.turn(&stop))));
            }
        });
        assert!(
            start.elapsed() >= Duration::from_millis(7 * 50),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn waits_double_and_a_server_that_asks_for_time_gets_it_from_all() {
        let (pace, stop) = (pace(None), AtomicBool::new(false));
        let timed = |wait: &dyn Fn() -> bool| {
            let start = Instant::now();
            assert!(wait());
            start.elapsed()
        };
        assert!(timed(&|| pace.back_off(1, 0.0, None, &stop)) >= Duration::from_millis(40));
        assert!(timed(&|| pace.back_off(3, 1.0, None, &stop)) >= Duration::from_millis(80));
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| pace.back_off(1, 0.0, Some(Duration::from_millis(300)), &stop));
            std::thread::sleep(Duration::from_millis(20));
            assert!(pace.turn(&stop));
            assert!(start.elapsed() >= Duration::from_millis(300));
        });
    }

    #[test]
    fn a_signal_ends_every_wait() {
        let (pace, stop) = (pace(Some(0.01)), AtomicBool::new(false));
        assert!(pace.turn(&stop));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| !pace.turn(&stop) && !pace.back_off(9, 0.0, None, &stop));
            std::thread::sleep(Duration::from_millis(30));
            stop.store(true, Ordering::Relaxed);
            assert!(waits.join().unwrap());
        });
    }
}
