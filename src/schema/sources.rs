//! Sources of many types at once, as a directory holds them: which types they define, and what each
//! needs of them.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{CompileError, is_bundled, parse};

/// A type, and the sources that it reaches by imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSources {
    pub type_name: String,
    /// The one that defines it.
    pub file: String,
    /// By path, as imports name them.
    pub sources: BTreeMap<String, Vec<u8>>,
}

/// The messages that stand at the top of a file, each a type, in the order of files and in that in which
/// they stand. What a file imports is found among `files`; what is not is left for compiling to tell.
pub fn types_of(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<TypeSources>, CompileError> {
    let mut parsed = BTreeMap::new();
    for (path, text) in files.iter().filter(|(path, _)| !is_bundled(path)) {
        for (path, file) in parse(vec![(path, text)])? {
            parsed.insert(path, file.proto);
        }
    }
    let mut types = Vec::new();
    for (path, file) in &parsed {
        let mut needed = BTreeSet::new();
        let mut open = vec![path.as_str()];
        while let Some(path) = open.pop() {
            let Some(file) = parsed.get(path) else { continue };
            if needed.insert(path) {
                open.extend(file.dependency.iter().map(String::as_str));
            }
        }
        let sources: BTreeMap<_, _> =
            needed.into_iter().map(|path| (path.to_owned(), files[path].clone())).collect();
        types.extend(file.message_type.iter().map(|message| TypeSources {
            type_name: match file.package() {
                "" => message.name().to_owned(),
                package => format!("{package}.{}", message.name()),
            },
            file: path.clone(),
            sources: sources.clone(),
        }));
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Compiled;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).into())).collect()
    }

    #[test]
    fn each_message_at_the_top_of_a_file_is_a_type_with_what_it_imports() {
        let files = files(&[
            (
                "a.proto",
                "package a; import \"b/b.proto\"; message A { message In {} } message B {}",
            ),
            ("b/b.proto", "package b; import \"c.proto\"; message B {}"),
            ("c.proto", "message C {}"),
            ("d.proto", "import \"google/protobuf/any.proto\"; enum E { ZERO = 0; }"),
        ]);
        let types = types_of(&files).expect("they parse");
        let told: Vec<_> = types
            .iter()
            .map(|one| {
                let sources: Vec<_> = one.sources.keys().map(String::as_str).collect();
                (one.type_name.as_str(), one.file.as_str(), sources)
            })
            .collect();
        let all = ["a.proto", "b/b.proto", "c.proto"];
        let expected = [
            ("a.A", "a.proto", &all[..]),
            ("a.B", "a.proto", &all[..]),
            ("b.B", "b/b.proto", &all[1..]),
            ("C", "c.proto", &all[2..]),
        ];
        assert_eq!(told.len(), expected.len());
        for (told, expected) in told.iter().zip(expected) {
            assert_eq!((told.0, told.1, &told.2[..]), expected);
        }
        for TypeSources { type_name, sources, .. } in types {
            let texts = sources.iter().map(|(path, text)| (path.as_str(), &text[..]));
            Compiled::from_sources(&type_name, texts).expect("it compiles");
        }
    }

    #[test]
    fn what_does_not_parse_is_told_with_its_place_and_what_is_missing_is_left_to_compiling() {
        let error = types_of(&files(&[("a.proto", "message A {\n  int32 = 1;\n}")]));
        let place = error.expect_err("no name").place().expect("a place").to_string();
        assert!(place.starts_with("a.proto:2:"), "{place}");
        let types = types_of(&files(&[
            ("a.proto", "import \"gone.proto\"; import \"b.proto\"; message A {}"),
            ("b.proto", "import \"a.proto\";"),
        ]));
        assert_eq!(types.expect("they parse")[0].sources.len(), 2);
    }
}
