//! `docs/errors.md` lists what the broker says, all of it and nothing else.

use std::collections::BTreeMap;

use tidings::grpc::status::Reason;

#[test]
fn the_page_of_errors_and_the_code_say_the_same() {
    let page = include_str!("../../docs/errors.md");
    let row = |line: &str| {
        let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        let (_, reason, code) = (cells.next()?, cells.next()?, cells.next()?);
        reason.chars().all(|c| c.is_ascii_uppercase() || c == '_').then_some((reason, code))
    };
    let told: BTreeMap<_, _> =
        page.lines().filter_map(row).filter(|(r, _)| !r.is_empty()).collect();
    let screaming = |code: String| {
        let mut name = String::new();
        for c in code.chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    };
    let said: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), screaming(format!("{:?}", reason.code()))))
        .collect();
    assert_eq!(told, said);
}
