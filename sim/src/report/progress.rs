//! A bar in virtual time, on a thread of its own: nothing ticks inside the simulated run.

use std::{
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::time::{Time, nanos};

/// How often the bar looks at the clock of the run.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A bar that follows a run. Dropping it takes it off the screen.
#[derive(Debug)]
pub struct Progress {
    now_ns: Arc<AtomicU64>,
    bar: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows a bar for a run of this virtual length, unless it is asked to be quiet or standard error is
    /// no terminal; then there is no thread at all. Must be called before the run begins.
    pub fn start(length: Duration, quiet: bool) -> Self {
        let now_ns = Arc::new(AtomicU64::new(0));
        let shown = !quiet && io::stderr().is_terminal();
        let bar = shown.then(|| follow(length, Arc::clone(&now_ns)));
        Self { now_ns, bar }
    }

    /// Where the run writes its virtual time, in nanoseconds.
    pub fn clock(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.now_ns)
    }

    /// Whether a bar is shown.
    pub fn is_shown(&self) -> bool {
        self.bar.is_some()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.bar.take() {
            drop(stop);
            // A bar that panicked has shown it on the screen; the run's result does not depend on it.
            let _ = thread.join();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bar must not tick inside the run, so it has a thread that the run knows nothing of"
)]
fn follow(length: Duration, now_ns: Arc<AtomicU64>) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let bar = ProgressBar::new(nanos(length).max(1)).with_style(style());
        while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = now_ns.load(Ordering::Relaxed);
            bar.set_position(now);
            bar.set_message(Time(now).to_string());
        }
        bar.finish_and_clear();
    });
    (stop, thread)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %  {elapsed}")
        .expect("the template is well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_run_has_no_bar_and_still_a_clock() {
        let progress = Progress::start(Duration::from_secs(1), true);
        assert!(!progress.is_shown());
        progress.clock().store(5, Ordering::Relaxed);
        assert_eq!(progress.clock().load(Ordering::Relaxed), 5);
    }

    #[test]
    fn the_template_is_well_formed_and_the_thread_ends_with_its_bar() {
        let (stop, thread) = follow(Duration::from_secs(1), Arc::default());
        drop(stop);
        thread.join().expect("it does not panic");
    }
}
