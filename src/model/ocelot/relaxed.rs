//! Relaxed: JSON as .NET reads settings, with comments and a comma after the last element.

/// The text without comments and last commas; every line stays where it is.
pub(crate) fn relaxed(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut in_text = false;
    while let Some(letter) = letters.next() {
        match (in_text, letter) {
            (true, '\\') => {
                plain.push(letter);
                plain.extend(letters.next());
            }
            (_, '"') => {
                in_text = !in_text;
                plain.push(letter);
            }
            (false, '/') if letters.peek() == Some(&'/') => {
                while letters.next_if(|letter| *letter != '\n').is_some() {}
            }
            (false, '/') if letters.peek() == Some(&'*') => {
                letters.next();
                let mut last = ' ';
                for letter in letters.by_ref() {
                    if letter == '\n' {
                        plain.push(letter);
                    }
                    if last == '*' && letter == '/' {
                        break;
                    }
                    last = letter;
                }
            }
            (false, ']' | '}') => {
                let end = plain.trim_end().len();
                if plain.get(..end).is_some_and(|before| before.ends_with(',')) {
                    plain.replace_range(end - 1..end, "");
                }
                plain.push(letter);
            }
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_go_and_texts_stay() {
        let text =
            "{ // one, \"two\"\n \"a\": [1, 2, /* three\n */ ], \"b\": \"// ,] \\\" /*\",\n}";
        let value: serde_json::Value = serde_json::from_str(&relaxed(text)).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2], "b": "// ,] \" /*"}));
        assert_eq!(relaxed(text).lines().count(), text.lines().count());
        assert_eq!(relaxed("{\"a\": 1}"), "{\"a\": 1}");
    }
}
