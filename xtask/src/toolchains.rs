//! The languages' own tools, which we do not install: found and new enough, or named with how to get them.

use std::{env, ffi::OsStr, path::PathBuf, process::Command};

use crate::tools::on_this_path;

pub(crate) struct Toolchain {
    program: &'static str,
    /// How it is asked for its version.
    ask: &'static str,
    /// Major and minor version of the oldest that will do.
    oldest: (u32, u32),
    what: &'static str,
    how: &'static str,
}

pub(crate) const PYTHON: Toolchain = Toolchain {
    program: "python3",
    ask: "--version",
    oldest: (3, 10),
    what: "Python 3.10 or newer with its venv module",
    how: "`sudo apt-get install python3-venv` or `brew install python`",
};
pub(crate) const GO: Toolchain = Toolchain {
    program: "go",
    ask: "version",
    oldest: (1, 25),
    what: "Go 1.25 or newer",
    how: "from go.dev/dl or with `brew install go`",
};
pub(crate) const NODE: Toolchain = Toolchain {
    program: "node",
    ask: "--version",
    oldest: (20, 0),
    what: "Node 20 or newer",
    how: "from nodejs.org or with `brew install node`",
};
pub(crate) const NPM: Toolchain = Toolchain {
    program: "npm",
    ask: "--version",
    oldest: (9, 0),
    what: "npm 9 or newer, which comes with Node",
    how: "from nodejs.org, `sudo apt-get install npm` or `brew install node`",
};
pub(crate) const JDK: Toolchain = Toolchain {
    program: "javac",
    ask: "-version",
    oldest: (17, 0),
    what: "a JDK 17 or newer",
    how: "`sudo apt-get install openjdk-17-jdk-headless` or `brew install openjdk`",
};
pub(crate) const MAVEN: Toolchain = Toolchain {
    program: "mvn",
    ask: "--version",
    oldest: (3, 8),
    what: "Maven 3.8 or newer",
    how: "`sudo apt-get install maven` or `brew install maven`",
};

/// Before anything else, so that nobody waits for minutes to hear of the next one.
pub(crate) fn check() -> Result<(), String> {
    let all = [PYTHON, GO, NODE, NPM, JDK, MAVEN];
    let missing: Vec<_> = all.iter().filter_map(|toolchain| toolchain.find().err()).collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\nxtask: ")) }
}

impl Toolchain {
    pub(crate) fn find(&self) -> Result<PathBuf, String> {
        self.find_on(&env::var_os("PATH").unwrap_or_default())
    }

    fn find_on(&self, path: &OsStr) -> Result<PathBuf, String> {
        let found = on_this_path(path, self.program).ok_or_else(|| self.problem("is missing"))?;
        // Some say it on standard error.
        let told = Command::new(&found).arg(self.ask).env("PATH", path).output();
        let told = told.map_err(|error| self.problem(&format!("does not run ({error})")))?;
        let told = [told.stdout, told.stderr].concat();
        match version(&String::from_utf8_lossy(&told)) {
            Some(version) if version >= self.oldest => Ok(found),
            Some((major, minor)) => Err(self.problem(&format!("is too old ({major}.{minor})"))),
            None => Err(self.problem("does not say its version")),
        }
    }

    /// What is wrong with it, and how to mend it.
    pub(crate) fn problem(&self, what: &str) -> String {
        let Self { program, what: wanted, how, .. } = self;
        format!("{program} {what}: install {wanted}, for example {how}")
    }
}

/// The first `major.minor` in it.
fn version(told: &str) -> Option<(u32, u32)> {
    // Before it there may be colours of a terminal, which are numbers without a dot.
    told.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        let minor = rest.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_say() {
        for (told, read) in [
            ("go version go1.26.8 linux/amd64\n", Some((1, 26))),
            ("v20.20.2\n", Some((20, 20))),
            ("javac 17.0.15\n", Some((17, 0))),
            ("Python 3.9.2\n", Some((3, 9))),
            ("\u{1b}[1mApache Maven 3.8.7\u{1b}[m\nMaven home: /usr/share/maven\n", Some((3, 8))),
            ("what?", None),
        ] {
            assert_eq!(version(told), read, "{told}");
        }
    }

    #[test]
    fn a_toolchain_that_is_missing_or_too_old_is_named_with_how_to_get_it() {
        let folder = env::temp_dir().join(format!("tidings-toolchains-{}", std::process::id()));
        for (toolchain, old, new) in [
            (PYTHON, "Python 3.9.2", "Python 3.10.0"),
            (GO, "go version go1.24.9 linux/amd64", "go version go1.25.0 linux/amd64"),
            (NODE, "v18.20.4", "v20.0.0"),
            (NPM, "8.19.4", "9.2.0"),
            (JDK, "javac 11.0.21", "javac 17.0.15"),
            (MAVEN, "Apache Maven 3.6.3", "Apache Maven 3.9.11"),
        ] {
            let says = |told: &str| {
                fs::create_dir_all(&folder).expect("a folder");
                let program = folder.join(toolchain.program);
                fs::write(&program, format!("#!/bin/sh\necho '{told}'\n")).expect("a program");
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it runs");
                toolchain.find_on(folder.as_os_str())
            };
            let missing = toolchain.find_on(folder.as_os_str()).expect_err("it is not there");
            let start = format!("{} is missing: install ", toolchain.program);
            assert!(missing.starts_with(&start) && missing.contains(toolchain.how), "{missing}");
            let too_old = says(old).expect_err("it is too old");
            assert!(too_old.contains("is too old (") && too_old.contains(toolchain.what));
            assert_eq!(says(new), Ok(folder.join(toolchain.program)));
        }
        fs::remove_dir_all(&folder).expect("it was ours");
    }
}
