//! What a person sees while training: a bar on a terminal, a line now and then in a log; and how a person ends it.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Result};

/// What the handlers of SIGINT and SIGTERM read and write.
struct Signals {
    /// A signal ends the process, as if there were no handler.
    at_once: Arc<AtomicBool>,
    raised: Arc<AtomicBool>,
    /// The number of the signal that raised it.
    number: Arc<AtomicUsize>,
}

static SIGNALS: LazyLock<std::io::Result<Signals>> = LazyLock::new(|| {
    let signals = Signals {
        at_once: Arc::default(),
        raised: Arc::default(),
        number: Arc::default(),
    };
    for signal in [SIGINT, SIGTERM] {
        // In the order in which they act: the first signal makes the second one end the process.
        flag::register_conditional_default(signal, Arc::clone(&signals.at_once))?;
        flag::register_usize(signal, Arc::clone(&signals.number), signal as usize)?;
        flag::register(signal, Arc::clone(&signals.raised))?;
        flag::register(signal, Arc::clone(&signals.at_once))?;
    }
    Ok(signals)
});

/// A flag that SIGINT and SIGTERM raise from now on, instead of ending the process: long work looks at it between steps. A second signal ends
/// the process all the same, and so does the first one after [`end_at_once`].
///
/// # Errors
/// [`Error::Environment`]: the operating system refuses.
pub fn stop_signal() -> Result<Arc<AtomicBool>> {
    let signals = SIGNALS
        .as_ref()
        .map_err(|e| Error::Environment(format!("cannot listen for signals: {e}")))?;
    if !signals.raised.load(Ordering::SeqCst) {
        signals.at_once.store(false, Ordering::SeqCst);
    }
    Ok(Arc::clone(&signals.raised))
}

/// From now on a signal ends the process at once, as before [`stop_signal`]: for work that leaves nothing half-done behind.
pub fn end_at_once() {
    if let Ok(signals) = SIGNALS.as_ref() {
        signals.at_once.store(true, Ordering::SeqCst);
    }
}

/// The error that says that a signal ended the work.
pub fn stopped() -> Error {
    let number = SIGNALS
        .as_ref()
        .map_or(0, |signals| signals.number.load(Ordering::SeqCst));
    Error::Stopped(i32::try_from(number).unwrap_or(SIGTERM))
}

/// Between two lines in a log.
const INTERVAL: Duration = Duration::from_secs(30);

/// Share of the old in the smoothed loss.
const SMOOTH: f64 = 0.98;

/// Progress of one run, on stderr.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    meter: Meter,
    last_line: Option<Instant>,
}

impl Progress {
    /// `steps` in all, of which `done` were done before this process (a resumed run).
    pub fn new(steps: u64, done: u64, epochs: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(5))
                .with_style(style)
                .with_position(done)
        });
        Progress {
            bar,
            meter: Meter::new(steps, done, epochs, Instant::now()),
            last_line: None,
        }
    }

    /// One step is done: `step` counts from 1, `epoch` from 0; `tokens` were read in it.
    pub fn step(&mut self, epoch: u64, step: u64, loss: f32, rate: f32, tokens: usize) {
        let now = Instant::now();
        self.meter.add(loss, tokens);
        let due =
            self.last_line.is_none_or(|last| now - last >= INTERVAL) || step == self.meter.steps;
        match &self.bar {
            Some(bar) => {
                bar.set_message(self.meter.line(epoch, step, rate, now));
                bar.set_position(step);
            }
            None if due => {
                self.last_line = Some(now);
                self.note(&self.meter.line(epoch, step, rate, now));
            }
            None => {}
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // A closed stderr is no reason to stop training.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Leaves the last state of the bar on the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// A counter of `what` on stderr, for work whose size is known: call with what is done and how much there is. A bar on a terminal; in a log a
/// line now and then if it takes long.
pub fn count(what: &'static str) -> impl Fn(usize, usize) {
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5))
            .with_style(style)
            .with_message(what)
    });
    let begun = Instant::now();
    let last_line = Cell::new(begun);
    move |done, all| match &bar {
        Some(bar) => {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            if done == all {
                bar.finish_and_clear();
            }
        }
        None if last_line.get().elapsed() >= INTERVAL && done < all => {
            last_line.set(Instant::now());
            let left = begun.elapsed().as_secs_f64() / done.max(1) as f64 * (all - done) as f64;
            // A closed stderr is no reason to stop.
            let _ = writeln!(
                std::io::stderr(),
                "distill: {done}/{all} {what}  {} left",
                clock(left)
            );
        }
        None => {}
    }
}

/// How far work of unknown length is, on stderr: a bar on a terminal, a line now and then in a log.
#[derive(Debug)]
pub struct Share {
    what: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    /// What was done before this process.
    before: f64,
    last_line: Option<Instant>,
}

impl Share {
    /// Thousandths: fine enough for a bar.
    const PARTS: f64 = 1000.0;

    /// `before` is the share, from 0 to 1, that an earlier process has done.
    pub fn new(what: &'static str, before: f64) -> Share {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let target = ProgressDrawTarget::stderr_with_hz(5);
            ProgressBar::with_draw_target(Some(Self::PARTS as u64), target).with_style(style)
        });
        Share {
            what,
            bar,
            started: Instant::now(),
            before,
            last_line: None,
        }
    }

    /// The share that is done now, and what has come of it.
    pub fn at(&mut self, share: f64, so_far: &str) {
        let now = Instant::now();
        let line = self.line(share, so_far, now);
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.set_position((share * Self::PARTS) as u64);
            }
            None if self.last_line.is_none_or(|last| now - last >= INTERVAL) => {
                self.last_line = Some(now);
                // A closed stderr is no reason to stop.
                let _ = writeln!(std::io::stderr(), "distill: {:.0} % {line}", 100.0 * share);
            }
            None => {}
        }
    }

    fn line(&self, share: f64, so_far: &str, now: Instant) -> String {
        let here = share - self.before;
        if here <= 0.0 {
            // Nothing to judge by.
            return format!("{}: {so_far}", self.what);
        }
        let left = (now - self.started).as_secs_f64() * (1.0 - share).max(0.0) / here;
        format!("{}: {so_far}, {} left", self.what, clock(left))
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The numbers behind the display.
#[derive(Debug)]
struct Meter {
    steps: u64,
    done_before: u64,
    epochs: u64,
    started: Instant,
    tokens: usize,
    /// Sums of losses and of weights, both decaying: their quotient is not drawn towards zero at the start.
    loss: f64,
    weight: f64,
}

impl Meter {
    fn new(steps: u64, done_before: u64, epochs: u64, started: Instant) -> Meter {
        Meter {
            steps,
            done_before,
            epochs,
            started,
            tokens: 0,
            loss: 0.0,
            weight: 0.0,
        }
    }

    fn add(&mut self, loss: f32, tokens: usize) {
        self.tokens += tokens;
        self.loss = SMOOTH * self.loss + (1.0 - SMOOTH) * f64::from(loss);
        self.weight = SMOOTH * self.weight + (1.0 - SMOOTH);
    }

    fn loss(&self) -> f32 {
        if self.weight > 0.0 {
            (self.loss / self.weight) as f32
        } else {
            0.0
        }
    }

    fn speed(&self, now: Instant) -> f64 {
        self.tokens as f64 / (now - self.started).as_secs_f64().max(1e-9)
    }

    fn line(&self, epoch: u64, step: u64, rate: f32, now: Instant) -> String {
        let here = step.saturating_sub(self.done_before).max(1);
        let left = (now - self.started).as_secs_f64() / here as f64
            * self.steps.saturating_sub(step) as f64;
        format!(
            "epoch {}/{}  step {step}/{}  loss {:.4}  rate {rate:.2e}  {:.0} tokens/s  {} left",
            epoch + 1,
            self.epochs,
            self.steps,
            self.loss(),
            self.speed(now),
            clock(left)
        )
    }
}

/// `1:02:03` or `2:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_the_run_stands_and_how_long_it_will_take() {
        let start = Instant::now();
        let mut meter = Meter::new(100, 20, 4, start);
        (0..20).for_each(|_| meter.add(2.0, 500));
        let line = meter.line(1, 40, 1.5e-4, start + Duration::from_secs(30));
        assert_eq!(
            line,
            "epoch 2/4  step 40/100  loss 2.0000  rate 1.50e-4  333 tokens/s  1:30 left"
        );
    }

    #[test]
    fn the_loss_is_a_mean_that_follows() {
        let mut meter = Meter::new(1, 0, 1, Instant::now());
        assert_eq!(meter.loss(), 0.0);
        meter.add(4.0, 1);
        assert_eq!(meter.loss(), 4.0);
        meter.add(2.0, 1);
        assert!(meter.loss() < 3.0 && meter.loss() > 2.9);
    }

    #[test]
    fn what_is_left_is_judged_by_this_process_alone() {
        let work = Share::new("window", 0.5);
        let line = work.line(0.75, "9 texts", work.started + Duration::from_secs(90));
        assert_eq!(line, "window: 9 texts, 1:30 left");
        let line = work.line(0.5, "0 texts", work.started + Duration::from_secs(90));
        assert_eq!(line, "window: 0 texts", "nothing is done to judge by");
    }

    #[test]
    fn hours_are_shown_when_there_are_any() {
        assert_eq!(
            (clock(59.6).as_str(), clock(3723.0).as_str()),
            ("1:00", "1:02:03")
        );
    }
}
