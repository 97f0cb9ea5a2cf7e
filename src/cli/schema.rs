//! `tidings schema`: types of events, from a directory of .proto files and back; each as a JSON line.

mod asyncapi;

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use similar::TextDiff;

use super::{Exit, Server, WrongUsage, print_line};
use crate::{
    config::schemas::SchemaFiles,
    grpc::{
        client::{CallError, Client},
        schema_messages::{RegisterSchemaRequest, Schema},
    },
    proto::{self, DeleteSchemaRequest, GetSchemaRequest, ListSchemasRequest, ListTopicsRequest},
    schema::sources::TypeSources,
    topic::{Topic, TopicPattern},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register the types of a directory: each message at the top of a .proto file.
    Push {
        #[command(flatten)]
        from: From,
        /// Take incompatible changes.
        #[arg(long)]
        force: bool,
    },
    /// Say whether they could be registered, and register nothing.
    Check {
        #[command(flatten)]
        from: From,
    },
    /// List the newest versions of types: all, or those that a pattern such as "shop.>" chooses.
    Ls {
        pattern: Option<TopicPattern>,
        #[command(flatten)]
        server: Server,
    },
    /// Show a version of a type, with its sources.
    Get {
        #[arg(value_name = "TYPE")]
        name: String,
        /// Which one; otherwise the newest.
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        version: u32,
        /// Write its descriptors to this file, as a google.protobuf.FileDescriptorSet.
        #[arg(long, value_name = "FILE")]
        descriptors: Option<PathBuf>,
        /// Write its sources below this directory.
        #[arg(long, value_name = "DIR")]
        sources: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// Show how the sources of a directory differ from what is registered.
    Diff {
        #[command(flatten)]
        from: From,
    },
    /// Delete a type with all its versions.
    Rm {
        #[arg(value_name = "TYPE")]
        name: String,
        /// Even where a topic names it.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Print topics and the types of their events as a document for other tools.
    Export {
        /// As AsyncAPI 3.0, in JSON.
        #[arg(long, required = true)]
        asyncapi: bool,
        /// Only these topics.
        pattern: Option<TopicPattern>,
        #[command(flatten)]
        server: Server,
    },
}

/// Types in files, and the server that they are for.
#[derive(Debug, Args)]
pub(super) struct From {
    /// Where the .proto files are; imports are found below it.
    dir: PathBuf,
    /// Only these types, such as "shop.v1.*"; may be repeated.
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<TopicPattern>,
    /// What later versions must keep; otherwise as before, and backward for a new type.
    #[arg(long, value_name = "LEVEL", value_enum)]
    compatibility: Option<Compatibility>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compatibility {
    None,
    Backward,
    Forward,
    Full,
}

/// How a type is to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Check,
    Push,
    PushByForce,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        match self {
            Command::Push { from, force: false } => from.register(How::Push).await,
            Command::Push { from, force: true } => from.register(How::PushByForce).await,
            Command::Check { from } => from.register(How::Check).await,
            Command::Diff { from } => from.diff().await,
            Command::Ls { pattern, server } => {
                let mut client = server.connect().await?;
                let pattern = pattern.map(|pattern| pattern.as_str().to_owned());
                for schema in list(&mut client, &pattern.unwrap_or_default()).await? {
                    print(&line(&schema))?;
                }
                Ok(Exit::Done)
            }
            Command::Get { name, version, descriptors, sources, server } => {
                let mut client = server.connect().await?;
                let schema = client.get_schema(GetSchemaRequest { r#type: name, version }).await?;
                write(&schema, descriptors.as_deref(), sources.as_deref())?;
                Ok(Exit::Done)
            }
            Command::Rm { name, force, server } => {
                let mut client = server.connect().await?;
                client.delete_schema(DeleteSchemaRequest { r#type: name, force }).await?;
                Ok(Exit::Done)
            }
            Command::Export { asyncapi: _, pattern, server } => export(pattern, &server).await,
        }
    }
}

impl From {
    async fn register(self, how: How) -> anyhow::Result<Exit> {
        let types = self.types()?;
        let mut client = self.server.connect().await?;
        let before = newest(&mut client).await?;
        let mut exit = Exit::Done;
        for one in types {
            let file = one.file.clone();
            let request = self.request(one, how);
            let name = request.schema.as_ref().map(|schema| schema.r#type.clone());
            match client.register_schema(request).await {
                Ok(schema) => {
                    let is_new = before.get(&schema.r#type).is_none_or(|at| *at < schema.version);
                    let mut line = line(&listed(schema));
                    line["file"] = file.into();
                    line["new"] = is_new.into();
                    print(&line)?;
                }
                // Of all that is wrong with a directory, all is told.
                Err(error) if is_of_the_schema(&error) => {
                    exit = Exit::Failed;
                    let name = name.unwrap_or_default();
                    eprintln!("tidings: {}: {name}: {error}", self.dir.join(&file).display());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(exit)
    }

    /// Ends as `diff` does: 1 where there is a difference.
    async fn diff(self) -> anyhow::Result<Exit> {
        let types = self.types()?;
        let mut client = self.server.connect().await?;
        let before = newest(&mut client).await?;
        let mut differs = false;
        for one in types {
            let name = one.type_name.clone();
            let mut known = Schema::default();
            if before.contains_key(&name) {
                let newest = GetSchemaRequest { r#type: name.clone(), version: 0 };
                known = client.get_schema(newest).await?;
                let again = self.request(one.clone(), How::PushByForce);
                let again = RegisterSchemaRequest { validate_only: true, ..again };
                let checked = client.register_schema(again).await?;
                if checked.fingerprint == known.fingerprint {
                    continue;
                }
            }
            differs = true;
            print!("{}", difference(&known, &one));
        }
        Ok(if differs { Exit::Failed } else { Exit::Done })
    }

    fn types(&self) -> anyhow::Result<Vec<TypeSources>> {
        if !self.dir.is_dir() {
            let why = format!("{} is no directory of .proto files", self.dir.display());
            return Err(WrongUsage(why).into());
        }
        let dir = self.dir.to_str().context("the directory's name is not UTF-8")?;
        let SchemaFiles { mut types, .. } = SchemaFiles::load(vec![dir.to_owned()])?;
        let is_wanted = |one: &TypeSources| {
            let name = one.type_name.parse::<Topic>();
            let chosen = |pattern: &TopicPattern| name.as_ref().is_ok_and(|n| pattern.matches(n));
            self.types.is_empty() || self.types.iter().any(chosen)
        };
        types.retain(is_wanted);
        match types.is_empty() {
            true => {
                let why = format!("{} has no type that was asked for", self.dir.display());
                Err(WrongUsage(why).into())
            }
            false => Ok(types),
        }
    }

    fn request(&self, one: TypeSources, how: How) -> RegisterSchemaRequest {
        let TypeSources { type_name, file: _, sources } = one;
        let compatibility =
            self.compatibility.map_or(proto::Compatibility::Unspecified, |compatibility| {
                match compatibility {
                    Compatibility::None => proto::Compatibility::None,
                    Compatibility::Backward => proto::Compatibility::Backward,
                    Compatibility::Forward => proto::Compatibility::Forward,
                    Compatibility::Full => proto::Compatibility::Full,
                }
            });
        let compatibility = compatibility.into();
        let schema = Schema { r#type: type_name, sources, compatibility, ..Default::default() };
        RegisterSchemaRequest {
            schema: Some(schema),
            validate_only: how == How::Check,
            force: how == How::PushByForce,
        }
    }
}

/// Another type may be fine.
fn is_of_the_schema(error: &CallError) -> bool {
    error.reason.starts_with("SCHEMA_") || &*error.reason == "REQUEST_INVALID"
}

/// As `diff -u` tells it, of each file that differs.
fn difference(known: &Schema, one: &TypeSources) -> String {
    let text = |text: Option<&Vec<u8>>| text.map(|text| String::from_utf8_lossy(text).into_owned());
    let mut told = String::new();
    let paths = known.sources.keys().chain(one.sources.keys());
    let paths: std::collections::BTreeSet<_> = paths.collect();
    for path in paths {
        let (old, new) = (text(known.sources.get(path)), text(one.sources.get(path)));
        if old == new {
            continue;
        }
        let version = format!("{}/{} {path}", known.r#type, known.version);
        let (from, to) = match (&old, &new) {
            (None, _) => ("/dev/null", path.as_str()),
            (_, None) => (version.as_str(), "/dev/null"),
            _ => (version.as_str(), path.as_str()),
        };
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let diff = TextDiff::from_lines(&old, &new);
        told += &diff.unified_diff().header(from, to).to_string();
    }
    told
}

fn write(
    schema: &Schema,
    descriptors: Option<&Path>,
    sources: Option<&Path>,
) -> anyhow::Result<()> {
    if let Some(file) = descriptors {
        let set = schema.descriptors.clone().unwrap_or_default();
        fs::write(file, set).with_context(|| file.display().to_string())?;
    }
    if let Some(folder) = sources {
        for (path, text) in &schema.sources {
            // A server is asked, and writes nowhere else.
            let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
            anyhow::ensure!(inside, "{path:?} is no path below a directory");
            let file = folder.join(path);
            let parent = file.parent().expect("it is below a directory");
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
    }
    let mut line = line(&listed(schema.clone()));
    if descriptors.is_none() && sources.is_none() {
        let texts = schema.sources.iter();
        let texts = texts.map(|(path, text)| (path.clone(), String::from_utf8_lossy(text).into()));
        line["sources"] = Value::Object(texts.collect());
    }
    print(&line)
}

async fn export(pattern: Option<TopicPattern>, server: &Server) -> anyhow::Result<Exit> {
    let mut client = server.connect().await?;
    let pattern = pattern.map(|pattern| pattern.as_str().to_owned()).unwrap_or_default();
    let mut request = ListTopicsRequest { pattern, ..Default::default() };
    let mut topics = Vec::new();
    loop {
        let page = client.list_topics(request.clone()).await?;
        topics.extend(page.topics);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let registered = newest(&mut client).await?;
    let mut schemas = BTreeMap::new();
    for name in topics.iter().flat_map(asyncapi::types_of) {
        if registered.contains_key(name) && !schemas.contains_key(name) {
            let newest = GetSchemaRequest { r#type: name.to_owned(), version: 0 };
            schemas.insert(name.to_owned(), client.get_schema(newest).await?);
        }
    }
    let document = asyncapi::document(&server.address, &topics, &schemas);
    print_line(&serde_json::to_string_pretty(&document)?).context("stdout")?;
    Ok(Exit::Done)
}

/// The newest version of each type.
async fn newest(client: &mut Client) -> anyhow::Result<BTreeMap<String, u32>> {
    let all = list(client, "").await?;
    Ok(all.into_iter().map(|schema| (schema.r#type, schema.version)).collect())
}

async fn list(client: &mut Client, pattern: &str) -> anyhow::Result<Vec<proto::Schema>> {
    let mut request = ListSchemasRequest {
        pattern: pattern.to_owned(),
        page_size: 1000,
        ..ListSchemasRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = client.list_schemas(request.clone()).await?;
        all.extend(page.schemas);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn listed(schema: Schema) -> proto::Schema {
    let Schema { r#type, compatibility, version, fingerprint, create_time, .. } = schema;
    proto::Schema { r#type, compatibility, version, fingerprint, create_time, ..Default::default() }
}

fn line(schema: &proto::Schema) -> Value {
    let compatibility = schema.compatibility().as_str_name();
    let mut line = json!({
        "type": schema.r#type,
        "version": schema.version,
        "compatibility": compatibility.trim_start_matches("COMPATIBILITY_").to_ascii_lowercase(),
        "fingerprint": schema.fingerprint,
    });
    if let Some(created) = schema.create_time {
        line["created"] = created.to_string().into();
    }
    line
}

fn print(line: &Value) -> anyhow::Result<()> {
    print_line(&line.to_string()).context("stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_of_each_file_that_has_one() {
        let source = |text: &str| [("a.proto".to_owned(), text.as_bytes().to_vec())];
        let mut known = Schema { r#type: "a.A".into(), version: 3, ..Default::default() };
        known.sources = source("package a;\nmessage A {\n}\n").into();
        known.sources.insert("b.proto".into(), b"same".to_vec());
        let mut one = TypeSources {
            type_name: "a.A".into(),
            file: "a.proto".into(),
            sources: source("package a;\nmessage A {\n  int32 a = 1;\n}\n").into(),
        };
        one.sources.insert("b.proto".into(), b"same".to_vec());
        let told = difference(&known, &one);
        assert!(told.starts_with("--- a.A/3 a.proto\n+++ a.proto\n@@"), "{told}");
        assert!(told.contains("\n+  int32 a = 1;\n"), "{told}");
        assert!(!told.contains("b.proto"), "{told}");
        let new = difference(&Schema::default(), &one);
        assert!(new.starts_with("--- /dev/null\n+++ a.proto\n"), "{new}");
    }
}
