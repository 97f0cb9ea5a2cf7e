//! Sources of schemas in files: found by patterns, read, and compiled, before anything starts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern, glob_with};

use crate::{
    limits::{SCHEMA_FILES_FOUND_BYTES_MAX, SCHEMA_FILES_FOUND_MAX},
    schema::{
        CompileError, Compiled,
        sources::{TypeSources, types_of},
    },
};

/// What the patterns of a configuration chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaFiles {
    pub patterns: Vec<String>,
    /// Each compiles.
    pub types: Vec<TypeSources>,
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaFilesError {
    #[error("{pattern:?} is no pattern of files: {why}: write it as schemas/**/*.proto")]
    Pattern { pattern: String, why: &'static str },
    #[error("{pattern:?} chooses no file: correct it, or leave it out")]
    NothingFound { pattern: String },
    #[error("{}: {cause}", .file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    #[error("{}: its name is not UTF-8, and imports could not name it", .file.display())]
    NotUtf8 { file: PathBuf },
    #[error("{pattern:?} chooses more than {limit} {what}: choose only what your types need")]
    TooMany { pattern: String, what: &'static str, limit: usize },
    #[error("{type_name} is defined in {} and in {}: keep one of them", .first.display(), .second.display())]
    DefinedTwice { type_name: String, first: PathBuf, second: PathBuf },
    /// Of sources below `root`.
    #[error("{}", .cause.place().map_or_else(
        || format!("{}: {cause}", .root.display()),
        |_| .root.join(.cause.to_string()).display().to_string(),
    ))]
    Compile { root: PathBuf, cause: CompileError },
}

impl SchemaFiles {
    /// Reads what the patterns choose; each has a root of its own, under which imports are found.
    pub fn load(patterns: Vec<String>) -> Result<SchemaFiles, SchemaFilesError> {
        let mut types: Vec<TypeSources> = Vec::new();
        let mut defined: BTreeMap<String, PathBuf> = BTreeMap::new();
        for pattern in &patterns {
            let root = root_of(pattern);
            let is_folder = Path::new(pattern).is_dir();
            let (root, chosen) = match is_folder {
                true => {
                    let all = Path::new(&Pattern::escape(pattern)).join("**/*.proto");
                    (PathBuf::from(pattern), all.display().to_string())
                }
                false => (root, pattern.clone()),
            };
            for one in read(&root, &chosen)? {
                let second = root.join(&one.file);
                if let Some(first) = defined.insert(one.type_name.clone(), second.clone()) {
                    let type_name = one.type_name;
                    return Err(SchemaFilesError::DefinedTwice { type_name, first, second });
                }
                types.push(one);
            }
        }
        Ok(SchemaFiles { patterns, types })
    }
}

fn read(root: &Path, pattern: &str) -> Result<Vec<TypeSources>, SchemaFilesError> {
    let too_many = |what, limit| {
        let pattern = pattern.to_owned();
        Err(SchemaFilesError::TooMany { pattern, what, limit })
    };
    // Kubernetes has the files of a volume a second time in hidden folders.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob_with(pattern, options).map_err(|error| SchemaFilesError::Pattern {
        pattern: pattern.to_owned(),
        why: error.msg,
    })?;
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    for found in found {
        let file = found.map_err(|error| SchemaFilesError::Unreadable {
            file: error.path().to_owned(),
            cause: error.into(),
        })?;
        if file.is_dir() {
            continue;
        }
        let text = fs::read(&file)
            .map_err(|cause| SchemaFilesError::Unreadable { file: file.clone(), cause })?;
        bytes += text.len();
        if bytes > SCHEMA_FILES_FOUND_BYTES_MAX {
            return too_many("bytes", SCHEMA_FILES_FOUND_BYTES_MAX);
        }
        if files.len() == SCHEMA_FILES_FOUND_MAX {
            return too_many("files", SCHEMA_FILES_FOUND_MAX);
        }
        let path = file.strip_prefix(root).unwrap_or(&file).to_str();
        let path = path.ok_or_else(|| SchemaFilesError::NotUtf8 { file: file.clone() })?;
        files.insert(path.to_owned(), text);
    }
    if files.is_empty() {
        return Err(SchemaFilesError::NothingFound { pattern: pattern.to_owned() });
    }
    let wrong = |cause| SchemaFilesError::Compile { root: root.to_owned(), cause };
    let types = types_of(&files).map_err(wrong)?;
    for TypeSources { type_name, sources, .. } in &types {
        let texts = sources.iter().map(|(path, text)| (path.as_str(), &text[..]));
        Compiled::from_sources(type_name, texts).map_err(wrong)?;
    }
    Ok(types)
}

/// What stands before the first part with a wildcard; of a file, its folder.
fn root_of(pattern: &str) -> PathBuf {
    let is_wild = |part: &Path| part.to_string_lossy().contains(['*', '?', '[']);
    let mut root = Path::new(pattern);
    let first =
        root.ancestors().filter(|path| path.file_name().is_some_and(|n| is_wild(Path::new(n))));
    if let Some(wild) = first.last() {
        root = wild;
    }
    root.parent().unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    fn load(folder: &tempfile::TempDir, pattern: &str) -> Result<Vec<String>, String> {
        let pattern = folder.path().join(pattern).display().to_string();
        let loaded = SchemaFiles::load(vec![pattern]).map_err(|error| {
            error.to_string().replace(&format!("{}/", folder.path().display()), "")
        })?;
        Ok(loaded.types.into_iter().map(|one| one.type_name).collect())
    }

    #[test]
    fn the_root_is_what_stands_before_the_first_wildcard() {
        for (pattern, root) in [
            ("schemas/**/*.proto", "schemas"),
            ("a/b/*/c/*.proto", "a/b"),
            ("*.proto", ""),
            ("/etc/schemas/shop.proto", "/etc/schemas"),
            ("shop.proto", ""),
            ("a/v?/[bc]/*.proto", "a"),
        ] {
            assert_eq!(root_of(pattern), PathBuf::from(root), "{pattern}");
        }
    }

    #[test]
    fn patterns_and_folders_choose_types_and_imports_are_found_below_the_root() {
        let folder = folder(&[
            (
                "s/shop/v1/order.proto",
                "package shop.v1; import \"shop/v1/money.proto\"; message Order { optional Money m = 1; }",
            ),
            ("s/shop/v1/money.proto", "package shop.v1; message Money {}"),
            ("s/readme.md", "nothing"),
            ("s/top.proto", "message Top {}"),
        ]);
        let all = Ok(vec!["shop.v1.Money".into(), "shop.v1.Order".into(), "Top".into()]);
        assert_eq!(load(&folder, "s/**/*.proto"), all);
        assert_eq!(load(&folder, "s"), all);
        fs::create_dir(folder.path().join("s/..data")).expect("made");
        fs::write(folder.path().join("s/..data/top.proto"), "message Top {}").expect("written");
        assert_eq!(load(&folder, "s"), all, "as a volume of Kubernetes is");
        assert_eq!(load(&folder, "s/*.proto"), Ok(vec!["Top".into()]));
        assert_eq!(load(&folder, "s/top.proto"), Ok(vec!["Top".into()]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file_and_place() {
        let folder = folder(&[
            ("bad/shop/a.proto", "message A {\n  Gone g = 1;\n}"),
            ("twice/a.proto", "message A {}"),
            ("twice/b.proto", "message A {}"),
        ]);
        let bad = load(&folder, "bad/**/*.proto").expect_err("no such name");
        assert!(bad.starts_with("bad/shop/a.proto:2:"), "{bad}");
        let twice = load(&folder, "twice").expect_err("twice");
        assert_eq!(twice, "A is defined in twice/a.proto and in twice/b.proto: keep one of them");
        let none = load(&folder, "none/*.proto").expect_err("nothing is there");
        assert!(none.contains("chooses no file"), "{none}");
        let odd = load(&folder, "a/***/b").expect_err("no pattern");
        assert!(odd.contains("is no pattern of files"), "{odd}");
    }
}
