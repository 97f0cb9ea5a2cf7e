//! From sources or descriptors to a type that events can be checked against.
//!
//! Nothing is read but what is given: imports are found among the given files and those that every
//! protobuf runtime brings ([`is_bundled`]). Every bound is checked before the work that it bounds,
//! and a compiler that panics is an error like any other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use prost::{Message, bytes::Bytes};
use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};
use prost_types::{DescriptorProto, FileDescriptorProto, SourceCodeInfo};
use sha2::{Digest, Sha256};

pub use super::bundled::is_bundled;
use super::{
    bundled::{VALIDATE, bundled, hollow_validate, imports_of},
    canonical::{Canonical, Refused},
    check::Validator,
    names::{self, Declared},
    rules, scan,
    wire::{Fields, Value, put_bytes},
};
use crate::limits::{
    SCHEMA_BRACKETS_MAX, SCHEMA_BYTES_MAX, SCHEMA_DECLARATIONS_MAX, SCHEMA_FILES_MAX,
    SCHEMA_FULL_NAME_BYTES_MAX, SCHEMA_NAME_BYTES_MAX, SCHEMA_NESTING_MAX, SCHEMA_PATH_BYTES_MAX,
};

/// Of a `FileDescriptorSet`.
const FILES: u32 = 1;
/// Of a `FileDescriptorProto`.
const IMPORTS: i32 = 3;
const MESSAGES: i32 = 4;
/// Of a `DescriptorProto`.
const FIELDS_OF_MESSAGE: i32 = 2;
const MESSAGES_OF_MESSAGE: i32 = 3;
const ONEOFS_OF_MESSAGE: i32 = 8;
/// Names that an error lists at most.
const LISTED_MAX: usize = 10;

/// A type, linked with everything that it reaches.
#[derive(Clone)]
pub struct Compiled {
    descriptors: Bytes,
    fingerprint: String,
    message: MessageDescriptor,
    /// Where they were read when it was compiled.
    rules: Option<Option<Arc<dyn Validator>>>,
}

/// In a source, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// Both count from 1; columns in characters.
    pub line_and_column: Option<(usize, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("no file is given: give the sources that define {type_name}, or descriptors")]
    NoFiles { type_name: String },
    #[error("{what} of {bytes} bytes, more than {limit}: give only what the type needs")]
    TooManyBytes { what: &'static str, bytes: usize, limit: usize },
    #[error("{files} files, more than {limit}: give only those that the type needs")]
    TooManyFiles { files: usize, limit: usize },
    #[error("more than {limit} messages and enums: give only the files that the type needs")]
    TooManyTypes { limit: usize },
    #[error("more than {limit} fields, values, options and other declarations: split the schema")]
    TooManyDeclarations { limit: usize },
    #[error("{place}: {what} more than {limit} deep: nest less")]
    TooDeep { place: Place, what: &'static str, limit: usize },
    #[error("{place}: a name of {bytes} bytes, more than {limit}: choose a shorter one")]
    NameTooLong { place: Place, bytes: usize, limit: usize },
    #[error("{file}: {name:?} is no protobuf name: letters, digits and _, no digit first")]
    InvalidName { file: String, name: String },
    #[error("{path:?} is no path of a source: {why}")]
    InvalidPath { path: String, why: &'static str },
    #[error("{file} is given twice")]
    GivenTwice { file: String },
    #[error("{place}: not UTF-8: sources are text")]
    NotUtf8 { place: Place },
    #[error("{place}: {cause}")]
    Syntax { place: Place, cause: String },
    #[error("{place}: imports {import:?}, which is not given: add it")]
    ImportNotFound { place: Place, import: String },
    /// `of`: the message, the field or the oneof that has them.
    #[error("{place}: the rules of {of}: {cause}")]
    Rules { place: Place, of: String, cause: String },
    #[error("imports go round in a circle: {}", .cycle.join(" -> "))]
    ImportCycle { cycle: Vec<String> },
    #[error(
        "{file}: package {package:?} is not yours to define: use a package of your own, and import \
         what you need"
    )]
    ReservedPackage { file: String, package: String },
    #[error("not a google.protobuf.FileDescriptorSet: {cause}")]
    NotDescriptors { cause: &'static str },
    #[error("{place}: {cause}")]
    Unlinked { place: Place, cause: String },
    #[error("no message {type_name} is defined in what is given{}", listed(.has))]
    NoSuchType { type_name: String, has: Vec<String> },
    #[error("{type_name} is defined in {first} and in {second}: give one of them")]
    DefinedTwice { type_name: String, first: String, second: String },
    /// A mistake of ours, or of the compiler's.
    #[error("the compiler failed: {cause}")]
    Failed { cause: String },
}

/// One given file.
pub(super) struct File {
    pub(super) proto: FileDescriptorProto,
    /// The same encoded, with options that `proto` does not know, without source positions.
    encoded: Vec<u8>,
    positions: Option<SourceCodeInfo>,
}

pub(super) type Files = BTreeMap<String, File>;

impl Compiled {
    /// Compiles `type_name` from sources: pairs of a path, as imports name it, and text.
    pub fn from_sources<'a>(
        type_name: &str,
        sources: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Compiled, CompileError> {
        contained(|| {
            let files = parse(sources.into_iter().collect())?;
            link(type_name, &files)
        })
    }

    /// Takes `type_name` from an encoded `google.protobuf.FileDescriptorSet` with all its imports;
    /// those that are bundled may be left out.
    pub fn from_descriptors(type_name: &str, set: &[u8]) -> Result<Compiled, CompileError> {
        contained(|| {
            let files = decode(set)?;
            link(type_name, &files)
        })
    }

    /// Takes what [`Compiled::descriptors`] was.
    pub fn from_canonical(type_name: &str, descriptors: Bytes) -> Result<Compiled, CompileError> {
        contained(|| {
            let files = decode(&descriptors)?;
            let order: Vec<&str> = files.keys().map(String::as_str).collect();
            let pool = pool_of(&files, &order, Known::in_fields_of(&files))?;
            let message = message_in(&pool, type_name, &files)?;
            Ok(Compiled {
                fingerprint: fingerprint(&descriptors),
                descriptors,
                message,
                rules: None,
            })
        })
    }

    pub fn type_name(&self) -> &str {
        self.message.full_name()
    }

    /// The canonical `FileDescriptorSet`, encoded: the file that defines the type and all that it
    /// imports, imports first, without what is bundled and without source positions. Equal where
    /// schemas differ only in comments, layout, or the order in which they declare.
    pub fn descriptors(&self) -> &Bytes {
        &self.descriptors
    }

    /// The same with everything that is imported: what a client can load as it is.
    pub fn descriptors_with_bundled(&self) -> Vec<u8> {
        let mut needed = Needed::default();
        for file in self.pool().files().filter(|file| !is_bundled(file.name())) {
            let imports = &file.file_descriptor_proto().dependency;
            imports.iter().for_each(|import| needed.add(import));
        }
        let mut set = Vec::new();
        for name in needed.imports_first {
            put_bytes(&mut set, FILES, &bundled(&name).unwrap_or_default());
        }
        set.extend_from_slice(&self.descriptors);
        set
    }

    /// SHA-256 of [`Compiled::descriptors`], in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    pub fn pool(&self) -> &DescriptorPool {
        self.message.parent_pool()
    }

    /// Those of `buf.validate`, to be asked of every event; none where there are none. Takes a moment.
    pub(super) fn rules(&self) -> Result<Option<Arc<dyn Validator>>, CompileError> {
        self.rules.clone().map_or_else(|| self.rules_said_in(&Files::new()), Ok)
    }

    fn rules_said_in(&self, files: &Files) -> Result<Option<Arc<dyn Validator>>, CompileError> {
        if self.pool().get_file_by_name(VALIDATE).is_none() {
            return Ok(None);
        }
        let kept = decode(&self.descriptors)?;
        let encoded = kept.values().map(|file| file.encoded.as_slice());
        let rules = rules::of(&self.message, encoded).map_err(|mistake| {
            let rules::Mistake { of, cause } = mistake;
            let nowhere = || Place { file: String::new(), line_and_column: None };
            let place = declared_at(&of, files).or_else(|| declared_at(&of, &kept));
            CompileError::Rules { place: place.unwrap_or_else(nowhere), of, cause }
        })?;
        Ok(rules.map(|rules| Arc::new(rules) as Arc<dyn Validator>))
    }
}

impl CompileError {
    /// Where it is, if it is in one place.
    pub fn place(&self) -> Option<&Place> {
        match self {
            CompileError::TooDeep { place, .. }
            | CompileError::NameTooLong { place, .. }
            | CompileError::NotUtf8 { place }
            | CompileError::Syntax { place, .. }
            | CompileError::ImportNotFound { place, .. }
            | CompileError::Rules { place, .. }
            | CompileError::Unlinked { place, .. } => Some(place),
            CompileError::NoFiles { .. }
            | CompileError::TooManyBytes { .. }
            | CompileError::TooManyFiles { .. }
            | CompileError::TooManyTypes { .. }
            | CompileError::TooManyDeclarations { .. }
            | CompileError::InvalidName { .. }
            | CompileError::InvalidPath { .. }
            | CompileError::GivenTwice { .. }
            | CompileError::ImportCycle { .. }
            | CompileError::ReservedPackage { .. }
            | CompileError::NotDescriptors { .. }
            | CompileError::NoSuchType { .. }
            | CompileError::DefinedTwice { .. }
            | CompileError::Failed { .. } => None,
        }
    }
}

pub(super) fn parse(sources: Vec<(&str, &[u8])>) -> Result<Files, CompileError> {
    let bytes = sources.iter().map(|(path, text)| path.len() + text.len()).sum();
    within_bytes("sources", bytes)?;
    within_files(sources.len())?;
    let mut files = Files::new();
    let mut canonical = Canonical::default();
    for (path, text) in sources.into_iter().filter(|(path, _)| !is_bundled(path)) {
        check_path(path)?;
        let text = std::str::from_utf8(text).map_err(|error| {
            let text = &text[..error.valid_up_to()];
            let text = std::str::from_utf8(text).unwrap_or_default();
            CompileError::NotUtf8 { place: place(path, text, text.len()) }
        })?;
        scan::scan(text).map_err(|refused| match refused {
            scan::Refused::TooDeep { at } => CompileError::TooDeep {
                place: place(path, text, at),
                what: "brackets",
                limit: SCHEMA_BRACKETS_MAX,
            },
            scan::Refused::NameTooLong { at } => CompileError::NameTooLong {
                place: place(path, text, at.start),
                bytes: at.len(),
                limit: SCHEMA_NAME_BYTES_MAX,
            },
        })?;
        let mut proto = protox_parse::parse(path, text).map_err(|error| {
            let place = match error.span() {
                Some(span) => place(path, text, span.start),
                None => Place { file: path.to_owned(), line_and_column: None },
            };
            CompileError::Syntax { place, cause: error.to_string() }
        })?;
        // Linking compares every option with every position: it is done without, and who needs a
        // position looks it up.
        let positions = proto.source_code_info.take();
        let encoded = proto.encode_to_vec();
        canonical.file(&encoded, None).map_err(|refused| not_canonical(refused, path))?;
        insert(&mut files, File { proto, encoded, positions })?;
    }
    Ok(files)
}

fn decode(set: &[u8]) -> Result<Files, CompileError> {
    within_bytes("descriptors", set.len())?;
    let malformed = |_| not_descriptors("it does not decode");
    let mut encoded = Vec::new();
    for field in Fields::of(set) {
        let field = field.map_err(malformed)?;
        match (field.number, field.value) {
            (FILES, Value::Bytes(file)) => encoded.push(file),
            _ => return Err(not_descriptors("it has other fields than file")),
        }
    }
    within_files(encoded.len())?;
    let mut files = Files::new();
    let mut canonical = Canonical::default();
    for file in encoded {
        // Before anything is decoded: a few bytes can declare what takes hundreds in memory.
        let encoded = canonical.file(file, None).map_err(|refused| not_canonical(refused, ""))?;
        let proto = FileDescriptorProto::decode(&encoded[..])
            .map_err(|_| not_descriptors("a file does not decode"))?;
        if is_bundled(proto.name()) {
            continue;
        }
        check_path(proto.name())?;
        insert(&mut files, File { proto, encoded, positions: None })?;
    }
    Ok(files)
}

fn insert(files: &mut Files, file: File) -> Result<(), CompileError> {
    let name = file.proto.name().to_owned();
    match files.insert(name.clone(), file) {
        Some(_) => Err(CompileError::GivenTwice { file: name }),
        None => Ok(()),
    }
}

fn link(type_name: &str, files: &Files) -> Result<Compiled, CompileError> {
    if files.is_empty() {
        return Err(CompileError::NoFiles { type_name: type_name.to_owned() });
    }
    let root = root(type_name, files)?;
    let order = imports_first(root, files)?;
    let pool = pool_of(files, &order, Known::Yes)?;
    let message = message_in(&pool, type_name, files)?;
    let mut descriptors = Vec::new();
    let mut canonical = Canonical::default();
    for path in order {
        let file = pool.get_file_by_name(path).expect("it was linked just now").encode_to_vec();
        let file =
            canonical.file(&file, Some(&pool)).map_err(|refused| not_canonical(refused, path))?;
        put_bytes(&mut descriptors, FILES, &file);
    }
    // Sources may grow as they are compiled; what is stored has to be loaded again.
    within_bytes("descriptors", descriptors.len())?;
    // Linked from the form that is kept, so that whoever reads it has the very same type.
    let linked = decode(&descriptors)?;
    let names: Vec<_> = linked.keys().map(String::as_str).collect();
    let pool = pool_of(&linked, &names, Known::in_fields_of(&linked))?;
    let message = message_in(&pool, message.full_name(), &linked)?;
    let compiled = Compiled {
        fingerprint: fingerprint(&descriptors),
        descriptors: descriptors.into(),
        message,
        rules: None,
    };
    let rules = compiled.rules_said_in(files)?;
    Ok(Compiled { rules: Some(rules), ..compiled })
}

/// Checks every declaration, and finds the file that has this one.
fn root<'a>(type_name: &str, files: &'a Files) -> Result<&'a str, CompileError> {
    let mut declared = Declared::default();
    let mut found: Option<&str> = None;
    for (path, file) in files {
        names::check(&file.proto, &mut declared)?;
        if !declares(&file.proto, type_name) {
            continue;
        }
        if let Some(first) = found.replace(path) {
            let (first, second) = (first.to_owned(), path.clone());
            let type_name = type_name.to_owned();
            return Err(CompileError::DefinedTwice { type_name, first, second });
        }
    }
    found.ok_or_else(|| no_such_type(type_name, files))
}

/// The rest of `full_name` inside `scope`.
pub(super) fn inside<'a>(full_name: &'a str, scope: &str) -> Option<&'a str> {
    match scope {
        "" => Some(full_name),
        scope => full_name.strip_prefix(scope)?.strip_prefix('.'),
    }
}

fn declares(file: &FileDescriptorProto, type_name: &str) -> bool {
    fn has(messages: &[DescriptorProto], name: &str) -> bool {
        messages.iter().any(|message| {
            let is_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
            let nested = || {
                let rest = inside(name, message.name());
                rest.is_some_and(|rest| has(&message.nested_type, rest))
            };
            !is_entry && (message.name() == name || nested())
        })
    }
    inside(type_name, file.package()).is_some_and(|name| has(&file.message_type, name))
}

/// Those that `root` imports, each before those that import it; no others.
fn imports_first<'a>(root: &'a str, files: &'a Files) -> Result<Vec<&'a str>, CompileError> {
    let mut order = Vec::new();
    let mut path = vec![];
    follow_imports(root, files, &mut path, &mut order)?;
    Ok(order)
}

/// Calls itself once for each file on the way, of which there are [`SCHEMA_FILES_MAX`] at most.
fn follow_imports<'a>(
    name: &'a str,
    files: &'a Files,
    path: &mut Vec<&'a str>,
    order: &mut Vec<&'a str>,
) -> Result<(), CompileError> {
    if order.contains(&name) {
        return Ok(());
    }
    if let Some(at) = path.iter().position(|on_path| *on_path == name) {
        let cycle = path[at..].iter().chain([&name]).map(|name| (*name).to_owned()).collect();
        return Err(CompileError::ImportCycle { cycle });
    }
    path.push(name);
    let file = &files[name];
    for (index, import) in file.proto.dependency.iter().enumerate() {
        if is_bundled(import) {
            continue;
        }
        let place = || position(file, &[IMPORTS, i32::try_from(index).unwrap_or(i32::MAX)]);
        let Some((import, _)) = files.get_key_value(import) else {
            let import = cut(import, SCHEMA_PATH_BYTES_MAX);
            return Err(CompileError::ImportNotFound { place: place(), import });
        };
        follow_imports(import, files, path, order)?;
    }
    path.pop();
    order.push(name);
    Ok(())
}

/// Of canonical descriptors; true also where they only speak of the file.
pub(super) fn may_have_rules(descriptors: &[u8]) -> bool {
    descriptors.windows(VALIDATE.len()).any(|part| part == VALIDATE.as_bytes())
}

fn pool_of(files: &Files, names: &[&str], rules: Known) -> Result<DescriptorPool, CompileError> {
    let mut needed = Needed::default();
    let mut set = Vec::new();
    for import in names.iter().flat_map(|name| &files[*name].proto.dependency) {
        if rules == Known::No && import == VALIDATE {
            if needed.known.insert(import.clone()) {
                put_bytes(&mut set, FILES, hollow_validate());
            }
            continue;
        }
        needed.add(import);
    }
    for name in needed.imports_first {
        put_bytes(&mut set, FILES, &bundled(&name).unwrap_or_default());
    }
    for name in names {
        put_bytes(&mut set, FILES, &files[*name].encoded);
    }
    DescriptorPool::decode(&set[..]).map_err(|error| unlinked(&error, files))
}

/// Whether a pool knows what the rules of `buf.validate` mean. They take more memory than most schemas,
/// and are read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

impl Known {
    /// Of a pool that stays: only where a field has a type of theirs.
    fn in_fields_of(files: &Files) -> Known {
        fn names_one(message: &DescriptorProto) -> bool {
            let fields = message.field.iter().chain(&message.extension);
            let mut named = fields.flat_map(|field| [field.type_name(), field.extendee()]);
            named.any(is_theirs) || message.nested_type.iter().any(names_one)
        }
        fn is_theirs(name: &str) -> bool {
            name.starts_with(".buf.validate.")
        }
        let is_known = files.values().any(|file| {
            let extensions = file.proto.extension.iter();
            let methods = file.proto.service.iter().flat_map(|service| &service.method);
            extensions.flat_map(|field| [field.type_name(), field.extendee()]).any(is_theirs)
                || methods.flat_map(|m| [m.input_type(), m.output_type()]).any(is_theirs)
                || file.proto.message_type.iter().any(names_one)
        });
        if is_known { Known::Yes } else { Known::No }
    }
}

/// Bundled files that others import.
#[derive(Debug, Default)]
struct Needed {
    known: BTreeSet<String>,
    imports_first: Vec<String>,
}

impl Needed {
    fn add(&mut self, name: &str) {
        if !is_bundled(name) || !self.known.insert(name.to_owned()) {
            return;
        }
        imports_of(name).iter().for_each(|import| self.add(import));
        self.imports_first.push(name.to_owned());
    }
}

fn unlinked(error: &DescriptorError, files: &Files) -> CompileError {
    let name = error.file().unwrap_or_default();
    let place = match files.get(name) {
        Some(file) => position(file, error.path().unwrap_or_default()),
        None => Place { file: name.to_owned(), line_and_column: None },
    };
    CompileError::Unlinked { place, cause: cut(&error.to_string(), 4 * SCHEMA_FULL_NAME_BYTES_MAX) }
}

fn message_in(
    pool: &DescriptorPool,
    type_name: &str,
    files: &Files,
) -> Result<MessageDescriptor, CompileError> {
    let found = pool.get_message_by_name(type_name);
    let found = found.filter(|message| files.contains_key(message.parent_file().name()));
    found.ok_or_else(|| no_such_type(type_name, files))
}

fn no_such_type(type_name: &str, files: &Files) -> CompileError {
    let names = files.values().flat_map(|file| {
        let package = file.proto.package();
        file.proto.message_type.iter().map(move |message| match package {
            "" => message.name().to_owned(),
            package => format!("{package}.{}", message.name()),
        })
    });
    let has = names.take(LISTED_MAX).collect();
    CompileError::NoSuchType { type_name: cut(type_name, SCHEMA_FULL_NAME_BYTES_MAX), has }
}

fn listed(names: &[String]) -> String {
    match names.len() {
        0 => String::new(),
        LISTED_MAX => format!(", which has {}, …", names.join(", ")),
        _ => format!(", which has {}", names.join(", ")),
    }
}

fn within_bytes(what: &'static str, bytes: usize) -> Result<(), CompileError> {
    match bytes > SCHEMA_BYTES_MAX {
        true => Err(CompileError::TooManyBytes { what, bytes, limit: SCHEMA_BYTES_MAX }),
        false => Ok(()),
    }
}

fn within_files(files: usize) -> Result<(), CompileError> {
    match files > SCHEMA_FILES_MAX {
        true => Err(CompileError::TooManyFiles { files, limit: SCHEMA_FILES_MAX }),
        false => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), CompileError> {
    let invalid = |why| {
        let path = cut(path, SCHEMA_PATH_BYTES_MAX);
        Err(CompileError::InvalidPath { path, why })
    };
    match path {
        "" => invalid("it is empty: name it as imports do"),
        _ if path.len() > SCHEMA_PATH_BYTES_MAX => invalid("it is longer than 255 bytes"),
        _ if path.chars().any(|c| c.is_control() || c == '\\') => {
            invalid("it has a control character or a backslash")
        }
        _ if path.split('/').any(|part| matches!(part, "" | "." | "..")) => {
            invalid("it has an empty part, . or ..: name it as imports do")
        }
        _ => Ok(()),
    }
}

fn not_canonical(refused: Refused, path: &str) -> CompileError {
    match refused {
        Refused::Malformed => not_descriptors("a file does not decode"),
        Refused::TooDeep => {
            let place = Place { file: path.to_owned(), line_and_column: None };
            CompileError::TooDeep { place, what: "messages", limit: SCHEMA_NESTING_MAX }
        }
        Refused::TooMany => CompileError::TooManyDeclarations { limit: SCHEMA_DECLARATIONS_MAX },
    }
}

fn not_descriptors(cause: &'static str) -> CompileError {
    CompileError::NotDescriptors { cause }
}

fn fingerprint(descriptors: &[u8]) -> String {
    Sha256::digest(descriptors).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where this is declared, or what is around it.
fn position(file: &File, path: &[i32]) -> Place {
    let locations = file.positions.iter().flat_map(|positions| &positions.location);
    let around = locations.filter(|location| path.starts_with(&location.path));
    let nearest = around.max_by_key(|location| location.path.len());
    let number = |number: i32| usize::try_from(number).ok().map(|number| number + 1);
    let line_and_column = nearest.and_then(|location| match location.span[..] {
        [line, column, ..] => Some((number(line)?, number(column)?)),
        _ => None,
    });
    Place { file: file.proto.name().to_owned(), line_and_column }
}

/// Where this message, field or oneof is declared.
fn declared_at(full_name: &str, files: &Files) -> Option<Place> {
    fn within(messages: &[DescriptorProto], name: &str, path: &mut Vec<i32>) -> bool {
        let index = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
        let found = messages
            .iter()
            .enumerate()
            .find(|(_, message)| message.name() == name || inside(name, message.name()).is_some());
        let Some((at, message)) = found else { return false };
        path.push(index(at));
        let Some(rest) = inside(name, message.name()) else { return true };
        let fields = message.field.iter().map(|field| field.name());
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
        if let Some(at) = fields.clone().position(|name| name == rest) {
            path.extend([FIELDS_OF_MESSAGE, index(at)]);
        } else if let Some(at) = oneofs.clone().position(|name| name == rest) {
            path.extend([ONEOFS_OF_MESSAGE, index(at)]);
        } else {
            path.push(MESSAGES_OF_MESSAGE);
            within(&message.nested_type, rest, path);
        }
        true
    }
    files.values().find_map(|file| {
        let mut path = vec![MESSAGES];
        let name = inside(full_name, file.proto.package())?;
        within(&file.proto.message_type, name, &mut path).then(|| position(file, &path))
    })
}

/// Of a byte of a text.
fn place(file: &str, text: &str, at: usize) -> Place {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.rsplit('\n').next().unwrap_or_default();
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    let line_and_column = Some((lines + 1, line.chars().count() + 1));
    Place { file: file.to_owned(), line_and_column }
}

fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// The compiler is a library's: where it panics, one schema is not taken, and nothing else happens.
fn contained<T>(compile: impl FnOnce() -> Result<T, CompileError>) -> Result<T, CompileError> {
    catch_unwind(AssertUnwindSafe(compile))
        .unwrap_or_else(|panic| Err(CompileError::Failed { cause: super::panicked(&panic) }))
}

/// Descriptors themselves would be printed with everything that they reach.
impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiled { fingerprint, .. } = self;
        f.debug_struct("Compiled")
            .field("type_name", &self.type_name())
            .field("fingerprint", fingerprint)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match self.file.as_str() {
            "" => "descriptors",
            file => file,
        };
        match self.line_and_column {
            Some((line, column)) => write!(f, "{file}:{line}:{column}"),
            None => f.write_str(file),
        }
    }
}

#[cfg(test)]
mod tests;
