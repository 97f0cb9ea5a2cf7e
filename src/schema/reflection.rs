//! Files of descriptors as gRPC's reflection serves them: the broker's own as they are, and those of
//! every type that is registered, in its newest version.
//!
//! Types are registered apart, so that two may come from files of one path and different contents. A
//! client would take one for the other; so a registered file is served under a path that tells its
//! contents and those of all that it imports ([`Outline`]). Files that are the same, imported by many
//! types, have the same path. Nothing is linked for it, and no byte of a file changes but its paths:
//! custom options survive.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::Arc,
};

use prost::{Message, bytes::Bytes};
use prost_reflect::DescriptorPool;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use sha2::{Digest, Sha256};

use super::{
    Registry, Schemas, Version,
    bundled::{VALIDATE, bundled},
    compile::{inside, is_bundled},
    wire::{Fields, Value, put_bytes},
};
use crate::limits::SCHEMA_FULL_NAME_BYTES_MAX;

/// Under which registered files are served: `tidings-schema/<digest>/<path as registered>`.
pub const FOLDER: &str = "tidings-schema/";
/// Digits of the digest: nobody finds two files that share them.
const DIGITS: usize = 32;
/// Longest name or path that anything here can have: those of a type, and of a member inside it.
const NAME_BYTES_MAX: usize = 2 * SCHEMA_FULL_NAME_BYTES_MAX;

/// Of a `FileDescriptorSet`.
const FILES: u32 = 1;
/// Of a `FileDescriptorProto`.
const NAME: u32 = 1;
const IMPORTS: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Services,
    File { path: String },
    Symbol { name: String },
    Extension { of: String, number: i32 },
    ExtensionNumbers { of: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Services(Vec<String>),
    /// Encoded: the one that was asked for, then what it imports of what its schema has.
    Files(Vec<Bytes>),
    Numbers(Vec<i32>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no file {0:?} is here: ask for a symbol, whose answer has the paths of its files")]
    File(String),
    #[error("no symbol {0:?} is of this server or of a registered type: names are full ones")]
    Symbol(String),
    #[error("no extension {number} of {of:?} is known here")]
    Extension { of: String, number: i32 },
    #[error("the name has {bytes} bytes, and none here has more than {limit}")]
    NameTooLong { bytes: usize, limit: usize },
}

/// Answers from what is registered at the time.
pub struct Reflection {
    own: Vec<Own>,
    registry: Arc<Registry>,
}

/// A file that is always here.
struct Own {
    file: FileDescriptorProto,
    encoded: Bytes,
    /// Of ours; what protobuf brings declares no services.
    is_bundled: bool,
}

/// What the files of one version declare, imports first. Small: it is kept.
#[derive(Debug, Default)]
pub(super) struct Outline {
    files: Vec<Outlined>,
}

#[derive(Debug)]
struct Outlined {
    path: String,
    served: String,
    /// Places in [`Outline::files`].
    imports: Vec<usize>,
    /// Full names of what stands in the file itself, not inside something.
    declared: Vec<String>,
    /// What is extended, and by which number.
    extensions: Vec<(String, i32)>,
}

impl Reflection {
    /// `own` are encoded `FileDescriptorSet`s. The first of several files of one path counts.
    ///
    /// Panics where they do not decode: they are compiled in.
    pub fn new(own: &[&'static [u8]], registry: Arc<Registry>) -> Reflection {
        let mut known = BTreeSet::new();
        let mut files = Vec::new();
        let mut add = |encoded: Bytes, is_bundled| {
            let file = FileDescriptorProto::decode(encoded.clone()).expect("it is compiled in");
            if known.insert(file.name().to_owned()) {
                files.push(Own { file, encoded, is_bundled });
            }
        };
        for set in own {
            for file in files_of(set).expect("it is compiled in") {
                add(Bytes::from_static(file), false);
            }
        }
        for file in DescriptorPool::global().files() {
            add(file.encode_to_vec().into(), true);
        }
        add(bundled(VALIDATE).expect("it is compiled in").into(), true);
        Reflection { own: files, registry }
    }

    /// Takes a moment where many types are registered and nobody asked before.
    pub fn answer(&self, question: &Question) -> Result<Answer, NotFound> {
        let name = match question {
            Question::Services => return Ok(Answer::Services(self.services())),
            Question::File { path: name }
            | Question::Symbol { name }
            | Question::Extension { of: name, .. }
            | Question::ExtensionNumbers { of: name } => name,
        };
        if name.len() > NAME_BYTES_MAX {
            return Err(NotFound::NameTooLong { bytes: name.len(), limit: NAME_BYTES_MAX });
        }
        let schemas = self.registry.snapshot();
        match question {
            Question::Services => unreachable!("answered above"),
            Question::File { path } => {
                let found = self.file(&schemas, path).ok_or(NotFound::File(path.clone()));
                found.map(|file| Answer::Files(vec![file]))
            }
            Question::Symbol { name } => {
                let found = self.symbol(&schemas, name).map(Answer::Files);
                found.ok_or(NotFound::Symbol(name.clone()))
            }
            Question::Extension { of, number } => {
                let is_it = |own: &&Own| {
                    let mut all = extensions(&own.file).into_iter();
                    all.any(|(extended, its)| its == *number && extended == *of)
                };
                let own = self.own.iter().find(is_it).map(|own| vec![own.encoded.clone()]);
                let found = own.or_else(|| extension(&schemas, of, *number)).map(Answer::Files);
                found.ok_or(NotFound::Extension { of: of.clone(), number: *number })
            }
            Question::ExtensionNumbers { of } => {
                let is_known = self.symbol(&schemas, of).is_some();
                let own = self.own.iter().flat_map(|own| extensions(&own.file)).collect();
                let numbers = is_known.then(|| Answer::Numbers(numbers(own, &schemas, of)));
                numbers.ok_or(NotFound::Symbol(of.clone()))
            }
        }
    }

    fn services(&self) -> Vec<String> {
        let files = self.own.iter().filter(|own| !own.is_bundled).map(|own| &own.file);
        let services = files.flat_map(|file| {
            file.service.iter().map(|service| format!("{}.{}", file.package(), service.name()))
        });
        services.collect()
    }

    fn file(&self, schemas: &Schemas, path: &str) -> Option<Bytes> {
        if let Some(own) = self.own.iter().find(|own| own.file.name() == path) {
            return Some(own.encoded.clone());
        }
        if !path.starts_with(FOLDER) {
            return None;
        }
        // Of all versions: a client may ask for the rest of what was the newest a moment ago.
        schemas.all().find_map(|version| {
            let at = version.outline().files.iter().position(|file| file.served == path)?;
            version.served(at)
        })
    }

    fn symbol(&self, schemas: &Schemas, name: &str) -> Option<Vec<Bytes>> {
        if let Some(own) = self.own.iter().find(|own| declares(&own.file, name)) {
            return Some(vec![own.encoded.clone()]);
        }
        // A type, or what stands inside it: its own version counts, not a copy that others import.
        let around = std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0));
        let own = around.filter_map(|around| schemas.get(around, 0).ok());
        own.chain(schemas.newest()).find_map(|version| version.file_with(name))
    }
}

/// Where a version of the type itself knows it, that one; else the first type by name.
fn extension(schemas: &Schemas, of: &str, number: i32) -> Option<Vec<Bytes>> {
    let own = schemas.get(of, 0).ok();
    own.into_iter().chain(schemas.newest()).find_map(|version| {
        let is_it = |(extended, its): &(String, i32)| *its == number && extended == of;
        let files = &version.outline().files;
        let at = files.iter().position(|file| file.extensions.iter().any(is_it))?;
        version.served_with_imports(at)
    })
}

fn numbers(own: Vec<(String, i32)>, schemas: &Schemas, of: &str) -> Vec<i32> {
    let files = schemas.newest().flat_map(|version| &version.outline().files);
    let extensions = own.iter().chain(files.flat_map(|file| &file.extensions));
    let numbers = extensions.filter(|(extended, _)| extended == of).map(|(_, number)| *number);
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Version {
    fn file_with(&self, symbol: &str) -> Option<Vec<Bytes>> {
        let may_declare = |file: &Outlined| {
            file.declared.iter().any(|name| name == symbol || inside(symbol, name).is_some())
        };
        let at = self.outline().files.iter().position(may_declare)?;
        let file = FileDescriptorProto::decode(self.stored(at)?).ok()?;
        declares(&file, symbol).then(|| self.served_with_imports(at))?
    }

    fn served_with_imports(&self, at: usize) -> Option<Vec<Bytes>> {
        let files = &self.outline().files;
        let mut told = vec![at];
        let mut next = 0;
        while next < told.len() {
            for import in &files[told[next]].imports {
                if !told.contains(import) {
                    told.push(*import);
                }
            }
            next += 1;
        }
        told.into_iter().map(|at| self.served(at)).collect()
    }

    fn stored(&self, at: usize) -> Option<&[u8]> {
        files_of(&self.record().descriptors)?.get(at).copied()
    }

    /// The file as it is stored, but for the paths.
    fn served(&self, at: usize) -> Option<Bytes> {
        let outline = self.outline();
        let mut out = Vec::new();
        for field in Fields::of(self.stored(at)?) {
            let field = field.ok()?;
            match (field.number, field.value) {
                (NAME, Value::Bytes(_)) => {
                    put_bytes(&mut out, NAME, outline.files[at].served.as_bytes());
                }
                (IMPORTS, Value::Bytes(path)) => {
                    let import = outline.files[..at].iter().find(|f| f.path.as_bytes() == path);
                    put_bytes(&mut out, IMPORTS, import.map_or(path, |f| f.served.as_bytes()));
                }
                _ => out.extend_from_slice(field.raw),
            }
        }
        Some(out.into())
    }
}

impl Outline {
    /// Of what [`super::Compiled::descriptors`] was; empty where it is anything else.
    pub(super) fn of(descriptors: &[u8]) -> Outline {
        let mut outline = Outline::default();
        for file in files_of(descriptors).unwrap_or_default() {
            let Some(outlined) = outline.file(file) else { return Outline::default() };
            outline.files.push(outlined);
        }
        outline
    }

    fn file(&self, encoded: &[u8]) -> Option<Outlined> {
        let file = FileDescriptorProto::decode(encoded).ok()?;
        let mut imports = Vec::new();
        for import in file.dependency.iter().filter(|import| !is_bundled(import)) {
            imports.push(self.files.iter().position(|known| known.path == *import)?);
        }
        let mut hash = Sha256::new();
        hash.update(encoded);
        imports.iter().for_each(|at| hash.update(&self.files[*at].served));
        let mut served = FOLDER.to_owned();
        for byte in &hash.finalize()[..DIGITS / 2] {
            write!(served, "{byte:02x}").expect("a string takes everything");
        }
        write!(served, "/{}", file.name()).expect("a string takes everything");
        let declared = declared(&file);
        Some(Outlined {
            path: file.name().to_owned(),
            served,
            imports,
            declared,
            extensions: extensions(&file),
        })
    }
}

/// The encoded files of a `FileDescriptorSet`; none where it is none.
fn files_of(set: &[u8]) -> Option<Vec<&[u8]>> {
    let mut files = Vec::new();
    for field in Fields::of(set) {
        if let (FILES, Value::Bytes(file)) = field.ok().map(|field| (field.number, field.value))? {
            files.push(file);
        }
    }
    Some(files)
}

fn declared(file: &FileDescriptorProto) -> Vec<String> {
    let messages = file.message_type.iter().map(DescriptorProto::name);
    // Values stand beside their enum, as in C.
    let enums = file.enum_type.iter().flat_map(|declared| {
        let values = declared.value.iter().map(|value| value.name());
        std::iter::once(declared.name()).chain(values)
    });
    let services = file.service.iter().map(|service| service.name());
    let extensions = file.extension.iter().map(|extension| extension.name());
    let names = messages.chain(enums).chain(services).chain(extensions);
    names
        .map(|name| match file.package() {
            "" => name.to_owned(),
            package => format!("{package}.{name}"),
        })
        .collect()
}

fn extensions(file: &FileDescriptorProto) -> Vec<(String, i32)> {
    fn inside(messages: &[DescriptorProto], found: &mut Vec<(String, i32)>) {
        for message in messages {
            found.extend(message.extension.iter().map(extended));
            inside(&message.nested_type, found);
        }
    }
    fn extended(extension: &prost_types::FieldDescriptorProto) -> (String, i32) {
        (extension.extendee().trim_start_matches('.').to_owned(), extension.number())
    }
    let mut found: Vec<_> = file.extension.iter().map(extended).collect();
    inside(&file.message_type, &mut found);
    found
}

/// Whether `symbol` is in the file: a message, a field, a oneof, an enum, a value (beside its enum or
/// inside it, both are asked for), an extension, a service, a method.
fn declares(file: &FileDescriptorProto, symbol: &str) -> bool {
    let Some(name) = inside(symbol, file.package()) else { return false };
    let is_service = |service: &prost_types::ServiceDescriptorProto| {
        let is_method =
            |rest| service.method.iter().any(|method| Some(method.name()) == Some(rest));
        service.name() == name || inside(name, service.name()).is_some_and(is_method)
    };
    file.message_type.iter().any(|message| message_declares(message, name))
        || file.enum_type.iter().any(|declared| enum_declares(declared, name))
        || file.extension.iter().any(|extension| extension.name() == name)
        || file.service.iter().any(is_service)
}

fn message_declares(message: &DescriptorProto, name: &str) -> bool {
    let Some(rest) = inside(name, message.name()) else { return message.name() == name };
    message.field.iter().chain(&message.extension).any(|field| field.name() == rest)
        || message.oneof_decl.iter().any(|oneof| oneof.name() == rest)
        || message.enum_type.iter().any(|declared| enum_declares(declared, rest))
        || message.nested_type.iter().any(|nested| message_declares(nested, rest))
}

fn enum_declares(declared: &EnumDescriptorProto, name: &str) -> bool {
    let has = |name| declared.value.iter().any(|value| value.name() == name);
    declared.name() == name || has(name) || inside(name, declared.name()).is_some_and(has)
}

impl fmt::Debug for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reflection").field("own", &self.own.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
