//! Reads the sources: what the design promises about their shape must be so.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

struct Source {
    path: String,
    /// Without the unit tests at the end; those in files of their own are no sources.
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    files(&root().join("src"), &mut paths);
    assert!(paths.len() > 40, "the sources are found");
    paths
        .iter()
        .map(|path| path.strip_prefix(root()).unwrap())
        .filter(|path| {
            !path
                .iter()
                .any(|step| step == "tests" || step == "tests.rs")
        })
        .map(|path| {
            let text = std::fs::read_to_string(root().join(path)).unwrap();
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            Source {
                path: path.display().to_string(),
                text: text[..end].to_owned(),
            }
        })
        .collect()
}

/// The faults that `look` finds in the sources below `folder`, as one text.
fn faults(folder: &str, look: impl Fn(&Source, &mut Vec<String>)) -> String {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with(folder))
    {
        look(source, &mut found);
    }
    found.join("\n")
}

fn words(folder: &'static str, words: &'static [&'static str]) -> String {
    faults(folder, |source, found| {
        for (number, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words.iter().filter(|word| code.contains(**word)) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    })
}

#[test]
fn the_planes_do_not_name_each_other() {
    assert_eq!(
        words(
            "src/proxy/",
            &["tokio", "serde_json", "crate::admin", "Mutex", "RwLock"]
        ),
        ""
    );
    assert_eq!(words("src/admin/", &["monoio", "crate::proxy"]), "");
    assert_eq!(
        words(
            "src/table/",
            &["crate::proxy", "crate::admin", "crate::net", "tokio"]
        ),
        ""
    );
    assert_eq!(
        words(
            "src/wire/",
            &["crate::model", "crate::table", "crate::net", "tokio"]
        ),
        ""
    );
    assert_eq!(
        words(
            "src/model/",
            &["crate::table", "crate::net", "crate::epoch", "tokio"]
        ),
        ""
    );
}

#[test]
fn only_the_seam_names_the_runtime() {
    let named = faults("src/", |source, found| {
        if !source.path.starts_with("src/net/") && source.text.contains("monoio::") {
            found.push(source.path.clone());
        }
    });
    assert_eq!(named, "");
}

#[test]
fn a_proxy_core_has_no_way_to_panic_on_purpose() {
    let words = words(
        "src/proxy/",
        &[
            ".unwrap()",
            ".expect(",
            "panic!(",
            "unreachable!(",
            "todo!(",
        ],
    );
    assert_eq!(words, "");
}

#[test]
fn unsafe_stands_in_the_seam_and_the_allocator_and_says_why() {
    let found = faults("src/", |source, found| {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !(code.contains("unsafe {")
                || code.contains("unsafe impl")
                || code.contains("unsafe fn"))
            {
                continue;
            }
            if !source.path.starts_with("src/net/") && source.path != "src/allocator.rs" {
                found.push(format!(
                    "{}:{}: unsafe outside of net/ and the allocator",
                    source.path,
                    index + 1
                ));
            }
            let said = lines[index.saturating_sub(8)..index]
                .iter()
                .any(|l| l.contains("SAFETY"));
            if !said && !code.contains("unsafe fn") {
                found.push(format!(
                    "{}:{}: unsafe without SAFETY",
                    source.path,
                    index + 1
                ));
            }
        }
    });
    assert_eq!(found, "");
}

#[test]
fn files_functions_and_lines_are_short() {
    let found = faults("src/", |source, found| {
        let count = source.text.lines().count();
        if count > FILE_LINES_MAX {
            found.push(format!("{}: {count} lines", source.path));
        }
        let mut begun: Option<(usize, usize)> = None;
        for (number, line) in source.text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX {
                found.push(format!("{}:{}: long line", source.path, number + 1));
            }
            let indent = line.len() - line.trim_start().len();
            if is_function(line) && begun.is_none() && !line.trim_end().ends_with(';') {
                begun = Some((number, indent));
            } else if let Some((start, depth)) = begun
                && indent == depth
                && line.trim_end() == format!("{}}}", " ".repeat(depth))
            {
                if number - start + 1 > FUNCTION_LINES_MAX {
                    found.push(format!("{}:{}: long function", source.path, start + 1));
                }
                begun = None;
            }
        }
    });
    assert_eq!(found, "");
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub(super) ")
        .or_else(|| line.strip_prefix("pub "))
        .unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.starts_with("fn ")
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "todo!".to_owned() + "(",
    ];
    let found = faults("src/", |source, found| {
        for mark in marks
            .iter()
            .filter(|mark| source.text.contains(mark.as_str()))
        {
            found.push(format!("{}: {mark}", source.path));
        }
    });
    assert_eq!(found, "");
}
