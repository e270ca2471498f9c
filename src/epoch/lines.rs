//! Log lines on their way from a core to the log thread.
//!
//! A core fills a page of lines and hands it over when it is full or the clock ticks; the log
//! thread
//! hands it back empty. The pages are made at the start: when none is free, lines are dropped and
//! counted, and no request waits for a disk.

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bytes of one page.
const PAGE: usize = 32 * 1024;

/// A core's end.
#[derive(Debug)]
pub struct Lines {
    core: usize,
    current: Option<Vec<u8>>,
    /// None once closed.
    full: Option<Sender<(usize, Vec<u8>)>>,
    empty: Receiver<Vec<u8>>,
}

/// The log thread's end.
#[derive(Debug)]
pub struct Pages {
    full: Receiver<(usize, Vec<u8>)>,
    empty: Vec<Sender<Vec<u8>>>,
}

/// One end for each of `cores`, with pages of `bytes` each in all, and the end for the log thread.
pub fn pages(cores: usize, bytes: usize) -> (Vec<Lines>, Pages) {
    let count = (bytes / PAGE).max(2);
    let (full, full_in) = bounded(count * cores.max(1));
    let (lines, empty) = (0..cores).map(|core| of_core(core, count, &full)).unzip();
    (
        lines,
        Pages {
            full: full_in,
            empty,
        },
    )
}

fn of_core(core: usize, count: usize, full: &Sender<(usize, Vec<u8>)>) -> (Lines, Sender<Vec<u8>>) {
    let (back, empty) = bounded(count);
    for _ in 0..count {
        let _ = back.try_send(Vec::with_capacity(PAGE));
    }
    (
        Lines {
            core,
            current: None,
            full: Some(full.clone()),
            empty,
        },
        back,
    )
}

impl Lines {
    /// Adds a line; says whether there was room for it.
    #[must_use]
    pub fn push(&mut self, line: &[u8]) -> bool {
        if self
            .current
            .as_ref()
            .is_some_and(|page| page.len() + line.len() > PAGE)
        {
            self.flush();
        }
        if self.current.is_none() {
            self.current = self.empty.try_recv().ok();
        }
        match &mut self.current {
            Some(page) if line.len() <= PAGE => {
                page.extend_from_slice(line);
                true
            }
            _ => false,
        }
    }

    /// Hands what there is to the log thread.
    pub fn flush(&mut self) {
        if let Some(page) = self.current.take_if(|page| !page.is_empty()) {
            // There are as many places as pages, so this one has its own.
            let _ = self
                .full
                .as_ref()
                .map(|full| full.try_send((self.core, page)));
        }
    }

    /// Hands over what there is, and says that no more will come.
    pub fn close(&mut self) {
        self.flush();
        self.full = None;
    }
}

impl Pages {
    /// Waits for pages and gives each to `write`; ends when all cores are gone.
    pub fn drain(&self, mut write: impl FnMut(&[u8])) {
        for (core, mut page) in &self.full {
            write(&page);
            page.clear();
            if let Some(empty) = self.empty.get(core) {
                let _ = empty.try_send(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_lines_but_holds_nobody_up() {
        let (mut lines, pages) = pages(1, 2 * PAGE);
        let Some(mut lines) = lines.pop() else {
            panic!("one core")
        };
        let line = [b'x'; 1024];
        let taken = (0..100).filter(|_| lines.push(&line)).count();
        assert_eq!(taken, 64);
        lines.close();
        let mut bytes = 0;
        pages.drain(|page| bytes += page.len());
        assert_eq!(bytes, 64 * 1024);
    }
}
