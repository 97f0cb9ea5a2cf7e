//! What tests and people run of each client: its interop driver, and its service of the orders story.
//!
//! Each is put at `target/tools/clients/<language>/{driver,service}`, whatever it takes to run it. What the
//! pages of docs/languages fetch is put aside, too, and `target/tools/clients/bin` has the generators that
//! they type: their test then needs no network.

pub(crate) mod go;
pub(crate) mod java;
pub(crate) mod python;
pub(crate) mod rust;
pub(crate) mod typescript;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{generate, root};

pub(crate) struct Client {
    pub(crate) language: &'static str,
    /// Installs and builds what is missing.
    prepare: fn(&Path) -> Result<(), String>,
    /// The commands to begin with.
    driver: fn(&Path) -> Vec<String>,
    service: fn(&Path) -> Vec<String>,
}

macro_rules! clients {
    ($($language:ident),*) => {
        [$(Client {
            language: stringify!($language),
            prepare: $language::prepare,
            driver: $language::driver,
            service: $language::service,
        }),*]
    };
}

pub(crate) const ALL: [Client; 5] = clients![rust, python, typescript, go, java];

pub(crate) fn run() -> Result<(), String> {
    let tools = crate::tools();
    generators(&tools)?;
    for client in ALL {
        println!("== {}", client.language);
        client.prepare(&tools)?;
        for (program, what) in
            ["driver", "service"].map(|name| (client.program(&tools, name), name))
        {
            println!("   {what:<8} {}", program.display());
        }
    }
    Ok(())
}

/// protoc and its plugins, as whoever reads docs/languages has them.
pub(crate) fn generators(tools: &Path) -> Result<(), String> {
    for (name, program) in generate::for_users(tools)? {
        put(&tools.join("clients/bin").join(name), &[program.display().to_string()])?;
    }
    Ok(())
}

impl Client {
    /// Installs and builds what is missing, or says what to install.
    pub(crate) fn prepare(&self, tools: &Path) -> Result<(), String> {
        (self.prepare)(tools)?;
        put(&self.program(tools, "driver"), &(self.driver)(tools))?;
        put(&self.program(tools, "service"), &(self.service)(tools))
    }

    fn program(&self, tools: &Path, name: &str) -> PathBuf {
        tools.join("clients").join(self.language).join(name)
    }
}

/// A program that becomes `command`: a signal to it reaches whom it is meant for.
fn put(program: &Path, command: &[String]) -> Result<(), String> {
    let words: Vec<_> = command.iter().map(|word| format!("'{word}'")).collect();
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
    let folder = program.parent().expect("it lies in a folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(program, script))
        .and_then(|()| fs::set_permissions(program, fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("{}: {error}", program.display()))
}

/// Fills a folder of its own, where it was not filled for the same `wanted` before.
fn once(
    folder: &Path,
    wanted: &str,
    fill: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("   filling {}", folder.display());
    emptied(folder)?;
    fill()?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

pub(crate) fn emptied(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn page(language: &str) -> Result<String, String> {
    let page = root().join("docs/languages").join(format!("{language}.md"));
    fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))
}

/// What a page says of a checkout beside the reader's folder, with this one.
fn here(text: &str) -> String {
    text.replace("../tidings", &root().display().to_string())
}
