//! What tests and people run of each client: its interop driver, and its service of the orders story.
//!
//! Each is put at `target/tools/clients/<language>/{driver,service}`, whatever it takes to run it.

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

impl Client {
    /// Installs and builds what is missing, or says what to install.
    pub(crate) fn prepare(&self, tools: &Path) -> Result<(), String> {
        (self.prepare)(tools)?;
        self.put(tools, "driver", &(self.driver)(tools))?;
        self.put(tools, "service", &(self.service)(tools))
    }

    fn program(&self, tools: &Path, name: &str) -> PathBuf {
        tools.join("clients").join(self.language).join(name)
    }

    /// A program that becomes `command`: a signal to it reaches whom it is meant for.
    fn put(&self, tools: &Path, name: &str, command: &[String]) -> Result<(), String> {
        let program = self.program(tools, name);
        let words: Vec<_> = command.iter().map(|word| format!("'{word}'")).collect();
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
        let folder = program.parent().expect("it lies in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&program, script))
            .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", program.display()))
    }
}
