//! On which lines the places of a document stand; looked up only when there are faults.
//!
//! The text has been read before, so both walkers may trust its syntax; where they cannot go on
//! they stop, and the places they did not reach take the line of what contains them.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser};

use super::document::{DEPTH_MAX, Format};
use super::faults::{ROOT, parent, push_key};

/// The lines of some places.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// A key that is given twice has two lines.
    found: HashMap<String, Vec<u32>>,
}

impl Lines {
    /// Looks for `places` and for everything that contains them.
    pub(crate) fn find<'a>(
        text: &str,
        format: Format,
        places: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut wanted = HashSet::new();
        for place in places {
            let mut next = Some(place);
            while let Some(place) = next {
                if !wanted.insert(place.to_owned()) {
                    break;
                }
                next = parent(place);
            }
        }
        let mut tracker = Tracker {
            place: ROOT.to_owned(),
            ends: Vec::new(),
            wanted,
            found: HashMap::new(),
        };
        match format {
            Format::Json => JsonWalker::new(text).walk(&mut tracker),
            Format::Yaml => walk_yaml(text, &mut tracker),
        }
        Self {
            found: tracker.found,
        }
    }

    /// The first line of `place`, or of the nearest thing around it that was found.
    pub(crate) fn first(&self, place: &str) -> Option<u32> {
        let mut next = Some(place);
        while let Some(place) = next {
            if let Some(line) = self.all(place).first() {
                return Some(*line);
            }
            next = parent(place);
        }
        None
    }

    /// All lines on which `place` is given.
    pub(crate) fn all(&self, place: &str) -> &[u32] {
        self.found.get(place).map_or(&[], Vec::as_slice)
    }
}

/// Where a walker is, and what it has found.
struct Tracker {
    place: String,
    /// Lengths of `place` to return to.
    ends: Vec<usize>,
    wanted: HashSet<String>,
    found: HashMap<String, Vec<u32>>,
}

impl Tracker {
    fn enter_key(&mut self, key: &str, line: u32) {
        self.ends.push(self.place.len());
        push_key(&mut self.place, key);
        self.note(line);
    }

    fn enter_index(&mut self, index: usize, line: u32) {
        self.ends.push(self.place.len());
        self.place.push_str(&format!("[{index}]"));
        self.note(line);
    }

    fn leave(&mut self) {
        if let Some(end) = self.ends.pop() {
            self.place.truncate(end);
        }
    }

    fn note(&mut self, line: u32) {
        if self.wanted.contains(&self.place) {
            self.found.entry(self.place.clone()).or_default().push(line);
        }
    }
}

/// A walk over the tokens of a JSON text that is known to be valid.
struct JsonWalker<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> JsonWalker<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    fn walk(mut self, tracker: &mut Tracker) {
        // Nothing is left to do where the text is not as expected.
        let _ = self.value(tracker, 0);
    }

    fn value(&mut self, tracker: &mut Tracker, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(tracker, depth),
            b'[' => self.list(tracker, depth),
            b'"' => self.string().map(|_| ()),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || is_space(*byte);
                let rest = self.text.as_bytes().get(self.at..)?;
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                self.at += length;
                // Without progress the text is broken, and the walk would never end.
                (length > 0).then_some(())
            }
        }
    }

    fn object(&mut self, tracker: &mut Tracker, depth: usize) -> Option<()> {
        self.at += 1;
        while self.peek()? != b'}' {
            let line = self.line_here();
            let raw = self.string()?;
            let key: String = serde_json::from_str(raw).ok()?;
            self.take(b':')?;
            tracker.enter_key(&key, line);
            self.value(tracker, depth + 1)?;
            tracker.leave();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    fn list(&mut self, tracker: &mut Tracker, depth: usize) -> Option<()> {
        self.at += 1;
        let mut index = 0;
        while self.peek()? != b']' {
            tracker.enter_index(index, self.line_here());
            self.value(tracker, depth + 1)?;
            tracker.leave();
            index += 1;
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(())
    }

    /// Takes a string and returns it as written, quotes included.
    fn string(&mut self) -> Option<&'a str> {
        self.peek().filter(|byte| *byte == b'"')?;
        let start = self.at;
        self.at += 1;
        loop {
            match self.text.as_bytes().get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.peek().filter(|next| *next == byte)?;
        self.at += 1;
        Some(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !is_space(byte) {
                return Some(byte);
            }
            self.line += u32::from(byte == b'\n');
            self.at += 1;
        }
    }

    fn line_here(&self) -> u32 {
        self.line
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What a YAML walker is in.
enum Inside {
    /// A list; the index of the next element.
    List(usize),
    /// An object; whether a key comes next.
    Object { key_next: bool },
}

fn walk_yaml(text: &str, tracker: &mut Tracker) {
    let mut stack: Vec<Inside> = Vec::new();
    for next in Parser::new_from_str(text) {
        let Ok((event, span)) = next else {
            return;
        };
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        match event {
            Event::Scalar(..) | Event::Alias(_) => {
                let text = match &event {
                    Event::Scalar(text, ..) => Some(text.as_ref()),
                    _ => None,
                };
                let is_value = begin_node(&mut stack, tracker, text, line).is_some();
                if is_value {
                    end_node(&mut stack, tracker);
                }
            }
            Event::SequenceStart(..) => {
                begin_node(&mut stack, tracker, None, line);
                stack.push(Inside::List(0));
            }
            Event::MappingStart(..) => {
                begin_node(&mut stack, tracker, None, line);
                stack.push(Inside::Object { key_next: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                stack.pop();
                end_node(&mut stack, tracker);
            }
            _ => {}
        }
    }
}

/// Enters the node that begins; none if it is a key, which has no end of its own.
fn begin_node(
    stack: &mut [Inside],
    tracker: &mut Tracker,
    scalar: Option<&str>,
    line: u32,
) -> Option<()> {
    match stack.last_mut() {
        Some(Inside::Object { key_next }) if *key_next => {
            // A key that is no scalar is none of ours; its value is passed over under this name.
            tracker.enter_key(scalar.unwrap_or("?"), line);
            *key_next = false;
            None
        }
        Some(Inside::List(index)) => {
            tracker.enter_index(*index, line);
            *index += 1;
            Some(())
        }
        _ => Some(()),
    }
}

fn end_node(stack: &mut [Inside], tracker: &mut Tracker) {
    if let Some(Inside::Object { key_next }) = stack.last_mut() {
        *key_next = true;
    }
    tracker.leave();
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
  "a": [
    {"x": "\"}", "y": [1, 2]},

    {"x": 1e3,
     "y": true}
  ],
  "b": {"c d":
    {"e": null}},
  "b": 2
}"#;

    const YAML: &str = "\
a:
  - x: \"}\"  # text
    y: [1, 2]

  - {x: 1e3,
     y: true}
b:
  c d:
    e:
b: 2
";

    fn first(text: &str, format: Format, place: &str) -> Option<u32> {
        Lines::find(text, format, [place]).first(place)
    }

    #[test]
    fn places_have_the_line_of_their_key_or_first_token() {
        for (place, json, yaml) in [
            ("$.a", 2, 1),
            ("$.a[0]", 3, 2),
            ("$.a[0].x", 3, 2),
            ("$.a[0].y[1]", 3, 3),
            ("$.a[1]", 5, 5),
            ("$.a[1].x", 5, 5),
            ("$.a[1].y", 6, 6),
            ("$.b[\"c d\"]", 8, 8),
            ("$.b[\"c d\"].e", 9, 9),
        ] {
            assert_eq!(first(JSON, Format::Json, place), Some(json), "{place}");
            assert_eq!(first(YAML, Format::Yaml, place), Some(yaml), "{place}");
        }
    }

    #[test]
    fn a_key_given_twice_has_two_lines() {
        for (text, format, lines) in [(JSON, Format::Json, [8, 10]), (YAML, Format::Yaml, [7, 10])]
        {
            assert_eq!(Lines::find(text, format, ["$.b"]).all("$.b"), lines);
        }
    }

    #[test]
    fn a_place_that_is_not_there_takes_the_line_of_what_contains_it() {
        for (text, format, line) in [(JSON, Format::Json, 5), (YAML, Format::Yaml, 5)] {
            assert_eq!(first(text, format, "$.a[1].z.w"), Some(line));
        }
    }

    #[test]
    fn what_an_alias_stands_for_takes_the_line_of_the_alias() {
        let text = "x: &x\n  k: 1\ny:\n  - 0\n  - *x\nz: 3\n";
        assert_eq!(first(text, Format::Yaml, "$.y[1].k"), Some(5));
        assert_eq!(first(text, Format::Yaml, "$.z"), Some(6));
    }

    #[test]
    fn a_broken_text_ends_the_walk() {
        for text in [
            "", "{", "{\"a\"", "{\"a\":", "[1,", "[}", "{\"a\":]", "[[}", "\"", "\"\\", "}",
            "{1:2}", "[1 2",
        ] {
            let lines = Lines::find(text, Format::Json, ["$.z"]);
            assert!(lines.all("$.z").is_empty());
        }
    }
}
