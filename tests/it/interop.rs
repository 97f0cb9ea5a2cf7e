//! The clients in every language against a broker: each runs its interop driver (`clients/README.md`).

use serde_json::Value;

use crate::support::{
    broker::Broker,
    process::{Process, client_program},
};

const LANGUAGES: [&str; 5] = ["rust", "python", "typescript", "go", "java"];
const CHECKS: [&str; 6] = ["publish", "subscribe", "error_details", "deadline", "cancel", "gzip"];

#[tokio::test]
async fn every_language_passes_every_check() {
    let broker = Broker::program(&[]).await;
    for language in LANGUAGES {
        let mut driver = client_program(language, "driver");
        driver.args(["checks", "--target", &broker.address().to_string()]);
        let lines = Process::run(driver, "").await.ok();
        let results: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let passed = |result: &Value| result["ok"] == true;
        assert!(results.iter().all(passed), "{language}: {lines:#?}");
        assert!(results.iter().map(|result| &result["check"]).eq(CHECKS), "{language}: {lines:#?}");
    }
}
