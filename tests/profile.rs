//! Promise: a release is built by what was counted while Ringway served, and nothing else is.

#![allow(missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const RELEASE: [&str; 6] = [
    "--crate-name",
    "a",
    "-C",
    "opt-level=3",
    "-C",
    "codegen-units=1",
];
const DEVELOPMENT: [&str; 4] = ["--crate-name", "a", "-C", "opt-level=1"];

/// The script that stands before the compiler, with a profile of release 1.2.3 for `counted`, and a
/// compiler of release 1.2.3 for this machine that prints what it is asked to do.
struct Bench {
    directory: PathBuf,
}

impl Bench {
    fn new(name: &str, counted: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("profile-{name}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("profiles")).unwrap();
        let bench = Self { directory };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf/rustc");
        fs::copy(script, bench.path("rustc")).unwrap();
        fs::write(bench.profile(counted), "").unwrap();
        let compiler = "#!/bin/sh\n\
            if [ \"$1\" = -vV ]; then printf 'rustc\\nhost: here\\nrelease: 1.2.3\\n'; exit; fi\n\
            printf '%s\\n' \"$@\"\n";
        fs::write(bench.path("compiler"), compiler).unwrap();
        let all = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bench.path("compiler"), all).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn profile(&self, counted: &str) -> PathBuf {
        self.path("profiles").join(format!("{counted}.profdata"))
    }

    /// What the compiler is asked to do beyond `words`.
    fn added(&self, words: &[&str], counts: Option<&str>) -> Vec<String> {
        let mut command = Command::new(self.path("rustc"));
        command.arg(self.path("compiler")).args(words);
        match counts {
            Some(counts) => command.env("RINGWAY_COUNTS", counts),
            None => command.env_remove("RINGWAY_COUNTS"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let mut said = said.lines().map(str::to_owned);
        for word in words {
            assert_eq!(said.next().as_deref(), Some(*word));
        }
        said.collect()
    }
}

#[test]
fn a_release_is_built_by_the_profile_of_its_compiler() {
    let bench = Bench::new("release", "1.2.3.here");
    let added = bench.added(&RELEASE, None);
    let expected = format!("-Cprofile-use={}", bench.profile("1.2.3.here").display());
    assert_eq!(added[0], expected);
}

#[test]
fn another_compiler_and_another_machine_build_without_one() {
    for counted in ["1.2.4.here", "1.2.3.there"] {
        let bench = Bench::new(counted, counted);
        assert_eq!(bench.added(&RELEASE, None), [""; 0]);
    }
}

#[test]
fn what_is_no_release_is_built_as_always() {
    let bench = Bench::new("development", "1.2.3.here");
    assert_eq!(bench.added(&DEVELOPMENT, None), [""; 0]);
    assert_eq!(bench.added(&DEVELOPMENT, Some("/counts")), [""; 0]);
    assert_eq!(bench.added(&["--version"], None), [""; 0]);
}

#[test]
fn a_release_that_is_to_count_counts() {
    let bench = Bench::new("counts", "1.2.3.here");
    let added = bench.added(&RELEASE, Some("/counts"));
    assert_eq!(added, ["-Cprofile-generate=/counts"]);
}
