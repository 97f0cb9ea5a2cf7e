//! Files that need not be given: those of protobuf, which every runtime brings, and the rules of
//! `buf.validate`.

use std::sync::LazyLock;

use prost::Message as _;
use prost_protovalidate::types;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

/// The rules that fields and messages may have.
pub(super) const VALIDATE: &str = "buf/validate/validate.proto";

/// Whether this file is imported without being given; a copy that is given does not count.
pub fn is_bundled(path: &str) -> bool {
    path == VALIDATE || DescriptorPool::global().get_file_by_name(path).is_some()
}

/// The encoded `FileDescriptorProto`.
pub(super) fn bundled(path: &str) -> Option<Vec<u8>> {
    let pool = match path {
        VALIDATE => &types::DESCRIPTOR_POOL,
        _ => &DescriptorPool::global(),
    };
    pool.get_file_by_name(path).map(|file| file.encode_to_vec())
}

/// What it imports, all of it bundled.
pub(super) fn imports_of(path: &str) -> Vec<String> {
    let pool = match path {
        VALIDATE => &types::DESCRIPTOR_POOL,
        _ => &DescriptorPool::global(),
    };
    let file = pool.get_file_by_name(path);
    file.iter()
        .flat_map(|file| file.dependencies())
        .map(|import| import.name().to_owned())
        .collect()
}

/// Stands in for [`VALIDATE`] in a pool that does not look into options: the whole of it takes more
/// than most schemas.
pub(super) fn hollow_validate() -> &'static [u8] {
    static HOLLOW: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let file = FileDescriptorProto {
            name: Some(VALIDATE.to_owned()),
            package: Some("buf.validate".to_owned()),
            ..FileDescriptorProto::default()
        };
        file.encode_to_vec()
    });
    &HOLLOW
}
