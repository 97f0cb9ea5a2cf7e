//! Which names a schema may declare, and how many.

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use super::compile::{CompileError, Place};
use crate::limits::{
    SCHEMA_FULL_NAME_BYTES_MAX, SCHEMA_NAME_BYTES_MAX, SCHEMA_NESTING_MAX, SCHEMA_TYPES_MAX,
};

/// Packages that are the broker's, or those of files that it brings; all below them, too.
const RESERVED: [&str; 5] =
    ["tidings", "grpc", "google.protobuf", "buf.validate", "io.cloudevents"];

/// Messages and enums so far, of all files.
#[derive(Debug, Default)]
pub(super) struct Declared {
    types: usize,
}

/// What every name of one file goes through; the parser has seen to some of it, descriptors may have
/// anything in them.
pub(super) fn check(
    file: &FileDescriptorProto,
    declared: &mut Declared,
) -> Result<(), CompileError> {
    let package = file.package();
    let path = file.name();
    if is_reserved(package) {
        let (file, package) = (path.to_owned(), package.to_owned());
        return Err(CompileError::ReservedPackage { file, package });
    }
    let mut names = Names { file: path, declared };
    if !package.is_empty() {
        package.split('.').try_for_each(|token| names.name(token))?;
    }
    names.full(package.len())?;
    names.messages(&file.message_type, package.len(), 1)?;
    names.enums(&file.enum_type, package.len())?;
    for extension in &file.extension {
        names.name(extension.name())?;
    }
    for service in &file.service {
        names.name(service.name())?;
        service.method.iter().try_for_each(|method| names.name(method.name()))?;
    }
    Ok(())
}

pub(super) fn is_reserved(package: &str) -> bool {
    RESERVED.iter().any(|reserved| {
        let rest = package.strip_prefix(reserved);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

struct Names<'a> {
    file: &'a str,
    declared: &'a mut Declared,
}

impl Names<'_> {
    /// `around` is how long the name around them is. Calls itself as deep as messages are nested.
    fn messages(
        &mut self,
        messages: &[DescriptorProto],
        around: usize,
        depth: usize,
    ) -> Result<(), CompileError> {
        for message in messages {
            if depth > SCHEMA_NESTING_MAX {
                let (place, limit) = (self.place(), SCHEMA_NESTING_MAX);
                return Err(CompileError::TooDeep { place, what: "messages", limit });
            }
            self.one_type(message.name())?;
            let around = around + 1 + message.name().len();
            let fields = message.field.iter().map(|field| field.name());
            let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
            let extensions = message.extension.iter().map(|extension| extension.name());
            for name in fields.chain(oneofs).chain(extensions) {
                self.name(name)?;
                self.full(around + 1 + name.len())?;
            }
            self.messages(&message.nested_type, around, depth + 1)?;
            self.enums(&message.enum_type, around)?;
        }
        Ok(())
    }

    fn enums(&mut self, enums: &[EnumDescriptorProto], around: usize) -> Result<(), CompileError> {
        for declared in enums {
            self.one_type(declared.name())?;
            for value in &declared.value {
                self.name(value.name())?;
                self.full(around + 1 + value.name().len())?;
            }
        }
        Ok(())
    }

    fn one_type(&mut self, name: &str) -> Result<(), CompileError> {
        self.declared.types += 1;
        match self.declared.types > SCHEMA_TYPES_MAX {
            true => Err(CompileError::TooManyTypes { limit: SCHEMA_TYPES_MAX }),
            false => self.name(name),
        }
    }

    fn name(&self, name: &str) -> Result<(), CompileError> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.len() > SCHEMA_NAME_BYTES_MAX {
            return self.too_long(name.len(), SCHEMA_NAME_BYTES_MAX);
        }
        let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        match starts && name.bytes().all(valid) {
            true => Ok(()),
            false => {
                let (file, name) = (self.file.to_owned(), name.to_owned());
                Err(CompileError::InvalidName { file, name })
            }
        }
    }

    fn full(&self, bytes: usize) -> Result<(), CompileError> {
        match bytes > SCHEMA_FULL_NAME_BYTES_MAX {
            true => self.too_long(bytes, SCHEMA_FULL_NAME_BYTES_MAX),
            false => Ok(()),
        }
    }

    fn too_long(&self, bytes: usize, limit: usize) -> Result<(), CompileError> {
        Err(CompileError::NameTooLong { place: self.place(), bytes, limit })
    }

    fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line_and_column: None }
    }
}
