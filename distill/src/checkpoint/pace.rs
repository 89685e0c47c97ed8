//! When the next checkpoint is due.

use std::time::{Duration, Instant};

/// Share of the time that training may stand still for saving, as long as the bound allows it.
pub(super) const SHARE: f64 = 0.05;

/// After a save that failed, the next attempt waits so long a part of the bound.
const RETRY: u32 = 6;

/// The first save comes after so long a part of the bound.
const FIRST: u32 = 6;

/// Saves come after half of the bound, measured from the end of the last one; later if saving makes the training wait for more than
/// [`SHARE`] of its time; but always so early that a kill before the end of the next save costs no more than the bound.
#[derive(Debug)]
pub(super) struct Pace {
    /// The work that a kill may cost.
    bound: Duration,
    /// When the state was taken that lies on the disk.
    safe: Instant,
    /// When the last attempt ended, and how long it took from the state's being taken.
    ended: Instant,
    took: Duration,
    failed: bool,
    /// How long the training stood still for the last save.
    waited: Duration,
    /// Since the first step: saves, how long the training stood still for all of them, and the most that a kill would have cost.
    begun: Instant,
    saves: u32,
    waited_in_all: Duration,
    most: Duration,
    /// The longest recent step: none can be broken off.
    step: Duration,
}

impl Pace {
    /// From the beginning of the first step.
    pub(super) fn new(bound: Duration, now: Instant) -> Pace {
        Pace {
            bound,
            safe: now,
            ended: now,
            took: Duration::ZERO,
            failed: false,
            waited: Duration::ZERO,
            begun: now,
            saves: 0,
            waited_in_all: Duration::ZERO,
            most: Duration::ZERO,
            step: Duration::ZERO,
        }
    }

    /// A step took so long.
    pub(super) fn step(&mut self, took: Duration) {
        // Forgets slowly what was long: a step of long documents comes again.
        self.step = took.max(self.step - self.step / 64);
    }

    /// An attempt ended, whose state was taken at `taken` and for which the training `waited`.
    pub(super) fn ended(&mut self, taken: Instant, now: Instant, waited: Duration, failed: bool) {
        self.ended = now;
        self.failed = failed;
        self.waited = waited;
        self.waited_in_all += waited;
        if !failed {
            self.saves += 1;
            self.most = self.most.max(now - self.safe);
            self.took = now - taken;
            self.safe = taken;
        }
    }

    pub(super) fn due(&self, now: Instant) -> bool {
        let rested = now - self.ended;
        if self.failed {
            return rested >= self.bound / RETRY;
        }
        // Half as much again as last time: disks and machines are moody.
        let next = (self.took + self.step).mul_f64(1.5);
        let wish = match self.saves {
            // How long it takes is not known yet, nor whether it works at all.
            0 => self.bound / FIRST,
            _ => self.waited.mul_f64(1.0 / SHARE - 1.0).max(self.bound / 2),
        };
        rested >= wish || now - self.safe + next >= self.bound
    }

    /// What saving has cost until now, in words.
    pub(super) fn summary(&self, now: Instant) -> String {
        let waited = self.waited_in_all.as_secs_f64();
        format!(
            "saved {} times; training waited {waited:.1} s for it ({:.1} %); a kill would have cost {:.0} s at most",
            self.saves,
            100.0 * waited / (now - self.begun).as_secs_f64().max(1e-9),
            self.most.as_secs_f64()
        )
    }

    /// The share of the time that saving takes, if the bound keeps it from staying under [`SHARE`].
    pub(super) fn too_much(&self) -> Option<f64> {
        let cycle = self.bound.saturating_sub(self.took + self.step);
        let share = self.waited.as_secs_f64() / (self.waited + cycle).as_secs_f64().max(1e-9);
        (share > SHARE).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds of the saves of a run whose steps take `step` and whose saves take `save`, of which the training waits for `wait`; and the most
    /// that a kill would ever have cost.
    fn run(step: f64, save: f64, wait: f64) -> (Vec<f64>, f64) {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(60 * SECOND, start);
        let (mut now, mut safe, mut most, mut saves) = (0.0, 0.0, 0.0f64, Vec::new());
        let mut under_way: Option<f64> = None;
        while now < 3600.0 {
            now += step;
            pace.step(Duration::from_secs_f64(step));
            if let Some(taken) = under_way.filter(|taken| taken + save <= now) {
                most = most.max(taken + save - safe);
                safe = taken;
                let waited = Duration::from_secs_f64(wait);
                pace.ended(at(taken), at(taken + save), waited, false);
                under_way = None;
            }
            if under_way.is_none() && pace.due(at(now)) {
                under_way = Some(now);
                saves.push(now);
                now += wait;
            }
        }
        (saves, most)
    }

    #[test]
    fn cheap_saves_come_every_half_bound_from_the_end_of_the_last() {
        let (saves, most) = run(0.5, 1.0, 0.01);
        assert!(most <= 33.0, "{most}");
        assert_eq!(saves[0], 10.0);
        let rests: Vec<f64> = saves.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            rests.iter().all(|rest| (30.9..=32.0).contains(rest)),
            "{rests:?}"
        );
    }

    #[test]
    fn dear_saves_come_more_rarely_within_the_bound() {
        // 2 s of 40 are 5 %.
        let (saves, most) = run(0.5, 2.0, 2.0);
        let rest = saves[9] - saves[8];
        assert!((40.0..=41.0).contains(&rest), "{rest}");
        assert!(most <= 60.0);
        for (step, save, wait) in [(0.5, 12.0, 12.0), (6.0, 12.0, 0.5), (20.0, 5.0, 5.0)] {
            let (_, most) = run(step, save, wait);
            assert!(most <= 60.0, "{step} {save} {wait}: {most}");
        }
    }

    #[test]
    fn more_than_its_share_is_said() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, start);
        pace.ended(start, start + SECOND, SECOND, false);
        assert_eq!(pace.too_much(), None);
        pace.ended(start, start + 10 * SECOND, 10 * SECOND, false);
        assert!(pace.too_much().unwrap() > 0.15);
        assert_eq!(
            pace.summary(start + 110 * SECOND),
            "saved 2 times; training waited 11.0 s for it (10.0 %); a kill would have cost 10 s at most"
        );
    }

    #[test]
    fn a_failed_save_is_tried_again_soon_but_not_at_every_step() {
        let start = Instant::now();
        let mut pace = Pace::new(60 * SECOND, start);
        pace.ended(start, start + 30 * SECOND, SECOND, true);
        assert!(!pace.due(start + 39 * SECOND));
        assert!(pace.due(start + 40 * SECOND));
        // Also when the bound is long over.
        pace.ended(start, start + 100 * SECOND, SECOND, true);
        assert!(!pace.due(start + 109 * SECOND) && pace.due(start + 110 * SECOND));
    }
}
