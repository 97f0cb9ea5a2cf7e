//! A first look at schema sources, before any parser sees them: how deep brackets nest, and how long
//! names are. It takes one pass and no memory.

use std::ops::Range;

use crate::limits::{SCHEMA_BRACKETS_MAX, SCHEMA_NAME_BYTES_MAX};

/// Why a source is not given to the parser, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    TooDeep { at: usize },
    NameTooLong { at: Range<usize> },
}

/// Strings and comments are skipped as protobuf's lexer does it: what is a bracket to it must be one
/// here. Where both could differ, this counts more.
pub(super) fn scan(source: &str) -> Result<(), Refused> {
    let bytes = source.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                if depth > SCHEMA_BRACKETS_MAX {
                    return Err(Refused::TooDeep { at });
                }
                at += 1;
            }
            b'}' | b']' | b')' | b'>' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'"' | b'\'' => at = after_string(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = after_block(bytes, at + 2),
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = after_line(bytes, at),
            b'#' => at = after_line(bytes, at),
            _ if is_name(byte) => {
                let length = bytes[at..].iter().take_while(|byte| is_name(**byte)).count();
                if length > SCHEMA_NAME_BYTES_MAX {
                    return Err(Refused::NameTooLong { at: at..at + length });
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A string ends at its quote, or with its line: the lexer takes no line breaks in them.
fn after_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\n' => return at,
            b'\\' if bytes.get(at + 1) != Some(&b'\n') => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn after_line(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].iter().position(|byte| *byte == b'\n');
    length.map_or(bytes.len(), |length| start + length)
}

fn after_block(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].windows(2).position(|pair| pair == b"*/");
    length.map_or(bytes.len(), |length| start + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let many = "{".repeat(SCHEMA_BRACKETS_MAX + 1);
        for source in [
            format!("// {many}\n"),
            format!("/* {many}\n{many} */"),
            format!("# {many}\n"),
            format!("option a = \"{many}\";"),
            format!("option a = '{many}';"),
            format!(r#"option a = "\"{many}";"#),
        ] {
            assert_eq!(scan(&source), Ok(()), "{source}");
        }
    }

    #[test]
    fn every_kind_of_bracket_counts() {
        for open in ["{", "[", "(", "<"] {
            let at = SCHEMA_BRACKETS_MAX;
            assert_eq!(scan(&open.repeat(at)), Ok(()));
            assert_eq!(scan(&open.repeat(at + 1)), Err(Refused::TooDeep { at }));
        }
    }

    #[test]
    fn nothing_hides_brackets_that_the_lexer_would_see() {
        let many = "{".repeat(SCHEMA_BRACKETS_MAX + 1);
        for hidden in ["\"open\n", "'\\\n", "// a\n", "/* a */", "'a' \"b\"", "# '\n", "# /*\n"] {
            let refused = scan(&format!("{hidden}{many}"));
            assert!(matches!(refused, Err(Refused::TooDeep { .. })), "{hidden:?}: {refused:?}");
        }
    }

    #[test]
    fn a_long_name_is_refused_where_it_stands() {
        let name = "a".repeat(SCHEMA_NAME_BYTES_MAX);
        assert_eq!(scan(&format!("message {name} {{}}")), Ok(()));
        let refused = scan(&format!("message {name}a {{}}"));
        assert_eq!(refused, Err(Refused::NameTooLong { at: 8..8 + name.len() + 1 }));
    }
}
