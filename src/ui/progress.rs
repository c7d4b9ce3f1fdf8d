//! The three renderers of events.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use super::style::{DIM, GREEN, RED, RESET};
use crate::engine::{Event, EventState};

/// One JSON object a line.
pub async fn json(mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        let line = serde_json::to_string(&event).expect("events are plain data");
        let _ = writeln!(anstream::stderr(), "{line}");
    }
}

/// In a log, a step is heard of at most this often between its start and its end.
const QUIET: Duration = Duration::from_secs(1);

/// One plain line an event, with the seconds since the start.
pub async fn plain(mut events: UnboundedReceiver<Event>) {
    let start = Instant::now();
    let mut told: BTreeMap<String, Instant> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        if event.state == EventState::Progress {
            let last = told.insert(event.step.clone(), Instant::now());
            if last.is_some_and(|last| last.elapsed() < QUIET) {
                continue;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let word = match event.state {
            EventState::Started => "start",
            EventState::Progress => "  ...",
            EventState::Done => "done ",
            EventState::Failed => "FAIL ",
            EventState::Skipped => "skip ",
        };
        let _ = writeln!(anstream::stderr(), "{seconds:7.1}s {word} {}  {}", event.step, event.message);
    }
}

/// A spinner for each running step; finished steps scroll up.
pub async fn bars(mut events: UnboundedReceiver<Event>, title: String) {
    let multi = MultiProgress::new();
    let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {prefix:<24} {wide_msg}")
        .expect("the template is a constant");
    let mut running: BTreeMap<String, (ProgressBar, Instant)> = BTreeMap::new();
    let start = Instant::now();
    let _ = multi.println(format!("{DIM}{title}{RESET}"));
    while let Some(event) = events.recv().await {
        match event.state {
            EventState::Started => {
                let bar = multi.add(
                    ProgressBar::new_spinner().with_style(style.clone()).with_prefix(event.step.clone()),
                );
                bar.set_message(event.message);
                bar.enable_steady_tick(Duration::from_millis(100));
                running.insert(event.step, (bar, Instant::now()));
            }
            EventState::Progress => {
                if let Some((bar, _)) = running.get(&event.step) {
                    bar.set_message(event.message);
                }
            }
            EventState::Done | EventState::Failed => {
                let seconds = running.remove(&event.step).map(|(bar, since)| {
                    bar.finish_and_clear();
                    since.elapsed().as_secs_f64()
                });
                let sign = if event.state == EventState::Done {
                    format!("{GREEN}✓{RESET}")
                } else {
                    format!("{RED}✗{RESET}")
                };
                let seconds = seconds.unwrap_or_default();
                let _ = multi.println(format!("{sign} {seconds:5.1}s {:<24} {}", event.step, event.message));
            }
            EventState::Skipped => {
                let _ = multi.println(format!("{DIM}- skipped {}{RESET}", event.step));
            }
        }
    }
    let _ = multi.clear();
    let _ = writeln!(anstream::stderr(), "{DIM}{title}: {:.1} s{RESET}", start.elapsed().as_secs_f64());
}
