//! Stands in for the crate of this name where prost-protovalidate-types is built: what that asks for,
//! made with protox. The real one runs an installed protoc, which nothing else here needs.
//!
//! The workspace says so in `[patch.crates-io]`. It goes as soon as that crate builds without protoc.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, Default)]
pub struct Builder {
    descriptors: PathBuf,
    pool: String,
}

impl Builder {
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Where the encoded `FileDescriptorSet` goes, with all imports.
    pub fn file_descriptor_set_path(&mut self, path: impl Into<PathBuf>) -> &mut Builder {
        self.descriptors = path.into();
        self
    }

    /// The expression by which the code that is written has its `DescriptorPool`.
    pub fn descriptor_pool(&mut self, expression: impl Into<String>) -> &mut Builder {
        self.pool = expression.into();
        self
    }

    /// Writes messages that know their descriptors.
    pub fn compile_protos(
        &mut self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<()> {
        let mut compiler = protox::Compiler::new(includes).map_err(Error::other)?;
        compiler.include_source_info(true).include_imports(true);
        compiler.open_files(protos).map_err(Error::other)?;

        let mut config = prost_build::Config::new();
        for message in compiler.descriptor_pool().all_messages() {
            let name = message.full_name();
            let of_message = format!("#[prost_reflect(message_name = \"{name}\")]");
            let of_pool = format!("#[prost_reflect(descriptor_pool = \"{}\")]", self.pool);
            config
                .type_attribute(name, "#[derive(::prost_reflect::ReflectMessage)]")
                .type_attribute(name, of_message)
                .type_attribute(name, of_pool);
        }
        config.compile_fds(compiler.file_descriptor_set())?;

        // Without comments, which nobody reads there. Encoded by protox itself: prost would drop
        // custom options.
        compiler.include_source_info(false);
        fs::write(&self.descriptors, compiler.encode_file_descriptor_set())
    }
}
