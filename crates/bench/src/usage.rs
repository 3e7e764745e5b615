//! What a process has used, as the kernel counts it.
//!
//! Source: `proc(5)`. CPU time is precise to a clock tick (10 ms), so a round takes a second or so; memory
//! is in KiB.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow};

/// A process, ours or a child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pid(pub(crate) u32);

impl Pid {
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// User and system time of all its threads and of its children, those that have ended included.
    pub(crate) fn cpu(self) -> Result<Duration, anyhow::Error> {
        let ticks = self.ticks()?;
        let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Duration::from_secs_f64(seconds))
    }

    fn ticks(self) -> Result<u64, anyhow::Error> {
        let stat = self.file("stat")?;
        let mut sum = ticks(&stat).with_context(|| format!("understand {stat:?}"))?;
        for child in self.children()? {
            // One that has just ended is counted with its parent the next time.
            sum += child.ticks().unwrap_or(0);
        }
        Ok(sum)
    }

    /// Those that run now.
    fn children(self) -> Result<Vec<Self>, anyhow::Error> {
        let mut children = Vec::new();
        for entry in fs::read_dir("/proc").context("list all processes")? {
            let name = entry.context("list all processes")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).map(Self) else {
                continue;
            };
            // One that has just ended is no child any more.
            if pid.file("stat").ok().as_deref().and_then(parent) == Some(self.0) {
                children.push(pid);
            }
        }
        Ok(children)
    }

    pub(crate) fn memory(self) -> Result<Memory, anyhow::Error> {
        let status = self.file("status")?;
        let kib = |name| kib(&status, name).with_context(|| format!("find {name} in {status:?}"));
        Ok(Memory { anonymous_kib: kib("RssAnon:")?, peak_kib: kib("VmHWM:")? })
    }

    fn file(self, name: &str) -> Result<String, anyhow::Error> {
        let path = format!("/proc/{}/{name}", self.0);
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Private: neither files nor shared memory.
    pub(crate) anonymous_kib: u64,
    /// The most that was ever resident, mapped files included.
    pub(crate) peak_kib: u64,
}

/// The fields after the name, which may have spaces and parentheses in it; user and system time are the
/// 12th and 13th of them, and those of children that have ended follow.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).take(4).map(str::parse::<u64>);
    (0..4).map(|_| times.next()?.ok()).sum()
}

fn parent(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Looks at a process's private memory every few milliseconds, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    before_kib: u64,
    peak_kib: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How often. An allocation that is gone by then was never much of a burden.
const EVERY: Duration = Duration::from_millis(2);

impl Watch {
    pub(crate) fn begin(pid: Pid) -> Result<Self, anyhow::Error> {
        let before_kib = pid.memory()?.anonymous_kib;
        let peak_kib = Arc::new(AtomicU64::new(before_kib));
        let stop = Arc::new(AtomicBool::new(false));
        let (peak, stopped) = (Arc::clone(&peak_kib), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(memory) = pid.memory() {
                    peak.fetch_max(memory.anonymous_kib, Ordering::Relaxed);
                }
                thread::sleep(EVERY);
            }
        });
        Ok(Self { before_kib, peak_kib, stop, thread })
    }

    /// By how many KiB the peak was above the beginning.
    pub(crate) fn end(self) -> Result<u64, anyhow::Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread that watches memory panicked"))?;
        Ok(self.peak_kib.load(Ordering::Relaxed).saturating_sub(self.before_kib))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_hide_the_times() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 30 7 20 0 1 0";
        assert_eq!(ticks(stat), Some(337));
        assert_eq!(parent(stat), Some(1));
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(kib("VmHWM:\t   4096 kB\nRssAnon:\t     128 kB\n", "RssAnon:"), Some(128));
        assert_eq!(kib("VmHWM:\t 4096 kB\n", "RssAnon:"), None);
    }

    #[test]
    fn time_that_a_child_spends_is_counted() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read line"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        let mut spent = Duration::ZERO;
        while spent.is_zero() && begun.elapsed() < Duration::from_secs(30) {
            spent = Pid(child.id()).cpu().unwrap();
            assert!(Pid::own().cpu().unwrap() >= spent);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!spent.is_zero());
    }

    #[test]
    fn time_that_a_process_spends_is_counted() {
        let before = Pid::own().cpu().unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(start);
        }
        assert!(Pid::own().cpu().unwrap() > before);
    }
}
