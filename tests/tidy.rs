//! What no compiler checks: who may import whom, how long a file is, what must not be left behind,
//! and that the documents still speak of what is there. Every check is proven on a planted violation.
#![allow(missing_debug_implementations, reason = "nothing here is an API")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The layers of ARCHITECTURE.md: each line may use those above it and its own, never below.
const LAYERS: [&[&str]; 6] = [
    &[
        "limits",
        "topic",
        "position",
        "event",
        "frame",
        "compression",
        "proto",
        "view",
        "cel",
        "blocking",
    ],
    &["backend"],
    &["catalog", "schema", "access"],
    &["hub", "item", "lens", "subscription", "workers", "broker"],
    &["grpc", "http"],
    &["config", "telemetry", "server", "cli", "main", "lib"],
];

/// A library that only one part may name.
struct Wall {
    library: &'static str,
    /// How a name of its looks in code.
    names: &'static [&'static str],
    home: &'static str,
    /// Where the wall stands; elsewhere whoever likes may name it.
    around: &'static [&'static str],
}

const WALLS: [Wall; 2] = [
    Wall {
        library: "tonic",
        names: &["tonic::", "tonic_health::", "tonic_types::", "tonic_reflection::"],
        home: "src/grpc/",
        // The tests and the examples have gRPC clients of their own, as users do.
        around: &["src/"],
    },
    // And raw Redis clients.
    Wall { library: "redis", names: &["redis::"], home: "src/backend/redis/", around: &["src/"] },
];

const LINES_MAX: usize = 900;

// In two parts, so that this file does not hold what it looks for.
const LEFT_BEHIND: [&str; 7] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ign", "ore"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!("),
    concat!("unbounded_", "channel"),
];

struct File {
    /// From the top of the repository, with slashes.
    path: String,
    text: String,
}

#[test]
fn each_layer_uses_only_those_above_it() {
    pass(layering, &rust_files());
}

#[test]
fn tonic_and_redis_are_named_in_one_place_each() {
    pass(walls, &rust_files());
}

#[test]
fn files_are_short_and_nothing_is_left_behind() {
    pass(length, &rust_files());
    pass(left_behind, &rust_files());
}

#[test]
fn architecture_speaks_of_every_module() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let problems = unmentioned(&rust_files(), &text);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_inside_the_repository_lead_somewhere() {
    let problems: Vec<_> = tracked(&["md"])
        .iter()
        .flat_map(|file| {
            let folder = root().join(&file.path).parent().expect("a folder").to_owned();
            dead_links(file, |target| folder.join(target).exists())
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_check_finds_what_it_looks_for() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let finds = |check: fn(&File) -> Vec<String>, path, text: &str, expected: usize| {
        let problems = check(&file(path, text));
        assert_eq!(problems.len(), expected, "{path}: {text:?}: {problems:?}");
    };

    finds(layering, "src/backend/memory.rs", "use crate::hub::Hub;", 1);
    finds(layering, "src/backend/memory.rs", "use crate::{topic::Topic, broker::Broker};", 1);
    finds(layering, "src/topic.rs", "use crate::{\n    event::{Event, a::b},\n    hub,\n};", 1);
    finds(layering, "src/broker.rs", "let x = crate::grpc::status::of(e);", 1);
    finds(layering, "src/unknown.rs", "", 1);
    finds(layering, "src/hub.rs", "use crate::{backend::Feed, limits::A, frame::Frame};", 0);
    finds(layering, "src/hub.rs", "// as crate::broker does", 0);
    finds(layering, "tests/it/main.rs", "use crate::broker::Broker;", 0);

    finds(walls, "src/cli/sub.rs", "use tonic::Status;", 1);
    finds(walls, "src/server.rs", "let s = ::tonic_health::server();", 1);
    finds(walls, "examples/orders/rust/src/main.rs", "fn f() -> tonic::Status {}", 0);
    finds(walls, "tests/it/main.rs", "fn f() -> tonic::Status {}", 0);
    finds(walls, "src/grpc/mod.rs", "use tonic::Status;", 0);
    finds(walls, "src/backend/memory.rs", "redis::cmd(\"PING\")", 1);
    finds(walls, "src/backend/redis/mod.rs", "use redis::cmd;", 0);
    finds(walls, "src/server.rs", "use crate::backend::redis::Redis; backend::redis::open();", 0);
    finds(walls, "src/server.rs", "use crate::proto::redis::v1::Batch; \"redis://h\"", 0);
    finds(walls, "src/server.rs", "use crate::{a, backend::{self, redis}}; redis::open()", 0);
    finds(walls, "tests/it/main.rs", "use redis::cmd;", 0);
    finds(walls, "src/server.rs", "// unlike redis::aio\n", 0);

    finds(length, "src/a.rs", &"\n".repeat(LINES_MAX + 1), 1);
    finds(length, "src/a.rs", &"\n".repeat(LINES_MAX), 0);
    for word in LEFT_BEHIND {
        finds(left_behind, "src/a.rs", &format!("    {word}"), 1);
    }

    let files = [file("src/hub.rs", ""), file("src/backend/mod.rs", ""), file("src/lib.rs", "")];
    assert_eq!(unmentioned(&files, "`hub` and the backend"), ["ARCHITECTURE.md: no `backend`"]);

    let page =
        file("README.md", "[a](src/a.rs) [b](https://x) [c](#c) [d](gone.md#e)\n```\n[e](f)\n```");
    assert_eq!(
        dead_links(&page, |target| target == "src/a.rs"),
        ["README.md: gone.md is not there"]
    );
}

fn pass(check: fn(&File) -> Vec<String>, files: &[File]) {
    let problems: Vec<_> = files.iter().flat_map(check).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn layering(file: &File) -> Vec<String> {
    let Some(module) = module(&file.path) else { return Vec::new() };
    let Some(own) = layer(module) else {
        return vec![format!("{}: {module} is in no layer: put it into LAYERS", file.path)];
    };
    let code = without_comments(&file.text);
    let below = |used: &&str| layer(used).is_some_and(|layer| layer > own);
    let used = used_modules(&code);
    used.iter()
        .filter(|used| below(&used.as_str()))
        .map(|used| format!("{}: uses {used}, which lies below {module}", file.path))
        .collect()
}

fn walls(file: &File) -> Vec<String> {
    let code = without_comments(&file.text);
    let mut problems = Vec::new();
    for Wall { library, names, home, around } in WALLS {
        let around = around.iter().any(|folder| file.path.starts_with(folder));
        if !around || file.path.starts_with(home) || is_ours(library, &file.path, &code) {
            continue;
        }
        let named = |name: &&str| {
            code.match_indices(*name).any(|(at, _)| {
                let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
                // `backend::redis::` is ours, `r2redis::` another's; `::redis::` is the library.
                !before.ends_with(|c: char| is_name(c) || c == ':')
            })
        };
        if names.iter().any(named) {
            problems.push(format!("{}: names {library}: only {home} may", file.path));
        }
    }
    problems
}

/// Whether the name means our module: declared in `backend`, or brought in with `use`.
fn is_ours(library: &str, path: &str, code: &str) -> bool {
    let imported = |import: &str| {
        let import = import.split(';').next().unwrap_or_default();
        let from_backend = import.split("backend::").nth(1);
        from_backend.is_some_and(|rest| rest.split(|c| !is_name(c)).any(|name| name == library))
    };
    path == "src/backend/mod.rs" || code.split("use crate::").skip(1).any(imported)
}

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let long = lines > LINES_MAX;
    long.then(|| format!("{}: {lines} lines, more than {LINES_MAX}", file.path))
        .into_iter()
        .collect()
}

fn left_behind(file: &File) -> Vec<String> {
    let found = LEFT_BEHIND.iter().filter(|word| file.text.contains(**word));
    found.map(|word| format!("{}: {word}", file.path)).collect()
}

fn unmentioned(files: &[File], architecture: &str) -> Vec<String> {
    let mut modules: Vec<_> = files.iter().filter_map(|file| module(&file.path)).collect();
    modules.sort();
    modules.dedup();
    modules.retain(|name| *name != "lib" && !architecture.contains(&format!("`{name}`")));
    modules.iter().map(|name| format!("ARCHITECTURE.md: no `{name}`")).collect()
}

fn dead_links(page: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let prose: String = page.text.split("```").step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !exists(target))
        .map(|target| format!("{}: {target} is not there", page.path))
        .collect()
}

/// `src/backend/redis/mod.rs` belongs to `backend`.
fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    inside.split('/').next().map(|name| name.trim_end_matches(".rs"))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules named after `crate::`, in paths and in braces.
fn used_modules(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            used.push(name_at(rest));
            continue;
        };
        let mut depth = 0;
        let mut expects_name = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                c if expects_name && is_name(c) => {
                    used.push(name_at(&list[at..]));
                    expects_name = false;
                }
                _ => (),
            }
        }
    }
    used
}

fn name_at(code: &str) -> String {
    code.chars().take_while(|c| is_name(*c)).collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap_or_default().to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Those that somebody wrote.
fn rust_files() -> Vec<File> {
    let mut files = tracked(&["rs"]);
    files.retain(|file| !file.path.contains("/generated/"));
    files
}

/// What git knows, and what it would take: a file that is not added yet is checked, too.
fn tracked(extensions: &[&str]) -> Vec<File> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = git.output().ok().filter(|output| output.status.success());
    let paths = match listed {
        Some(listed) => String::from_utf8_lossy(&listed.stdout).lines().map(Into::into).collect(),
        // An archive without its history.
        None => walked(&root(), &root()),
    };
    let wanted = |path: &String| {
        extensions.iter().any(|wanted| Path::new(path).extension().is_some_and(|e| e == *wanted))
    };
    let files = paths.into_iter().filter(wanted).filter_map(|path: String| {
        let text = fs::read_to_string(root().join(&path)).ok()?;
        Some(File { path, text })
    });
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "no files found in {}", root().display());
    files
}

fn walked(folder: &Path, root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            paths.extend(walked(&path, root));
        } else if let Ok(inside) = path.strip_prefix(root) {
            paths.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    paths
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
