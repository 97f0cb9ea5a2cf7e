//! What a harness drives of each client: its interop driver, and its service of the orders story.

pub(crate) mod go;
pub(crate) mod java;
pub(crate) mod python;
pub(crate) mod typescript;

use std::path::Path;

struct Client {
    language: &'static str,
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

pub(crate) fn run() -> Result<(), String> {
    let tools = crate::tools();
    for client in clients![go, java, python, typescript] {
        println!("== {}", client.language);
        (client.prepare)(&tools)?;
        println!("   driver   {}", (client.driver)(&tools).join(" "));
        println!("   service  {}", (client.service)(&tools).join(" "));
    }
    Ok(())
}
