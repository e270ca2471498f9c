//! The binary under test as a child process whose output is kept.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, wait_until};

/// A running `ringway`.
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Process {
    /// Starts `ringway` with these arguments.
    pub fn start<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with<S: AsRef<std::ffi::OsStr>>(
        arguments: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = Arc::new(Output::default());
        keep(child.stdout.take().unwrap(), Arc::clone(&output));
        keep(child.stderr.take().unwrap(), Arc::clone(&output));
        Self { child, output }
    }

    /// The lines so far, of both outputs.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines.lock().unwrap().clone()
    }

    /// The first line from the `from`th on for which `wanted` gives something.
    pub fn wait_for<T>(&self, from: usize, wanted: impl Fn(&str) -> Option<T>) -> T {
        let start = Instant::now();
        let mut lines = self.output.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().skip(from).find_map(|line| wanted(line)) {
                return found;
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(
                !left.is_zero(),
                "the line never came:\n{}",
                lines.join("\n")
            );
            lines = self.output.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_until("the process ends", || child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(stream: impl Read + Send + 'static, output: Arc<Output>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output.lines.lock().unwrap().push(line);
            output.grown.notify_all();
        }
    });
}
