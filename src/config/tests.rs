use proptest::prelude::*;

use super::*;

fn flags(set: impl FnOnce(&mut Flags)) -> Flags {
    let mut flags = Flags::default();
    set(&mut flags);
    flags
}

fn load(text: &str, flags: &Flags) -> Result<Config, String> {
    let source = Source { file: "tidings.toml".into(), text: text.into() };
    let file = source
        .parse()
        .map_err(|(place, message)| ConfigError::File { place, message }.to_string())?;
    Config::assemble(flags, &source, file).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    load(text, &Flags::default()).expect_err(text)
}

#[test]
fn nothing_said_means_memory_on_loopback() {
    let config = load("", &Flags::default()).expect("the defaults");
    assert_eq!(config.listen.to_string(), "127.0.0.1:7070");
    assert!(config.redis.is_none() && config.topics.is_empty());
    assert_eq!(config.drain_grace.to_string(), "5s");
    assert_eq!(config.max_stream_age.to_string(), "30m");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let text = "listen = '127.0.0.1:1'\ndrain_grace = '1s'\nlog = 'warn'";
    let flags = flags(|flags| flags.listen = Some("127.0.0.1:2".into()));
    let config = load(text, &flags).expect("consistent");
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.drain_grace.to_string(), "1s");
    assert_eq!(config.log.to_string(), "warn");
}

#[test]
fn nobody_gets_events_compressed_unless_it_is_said_how() {
    let of = |text: &str, flag: Option<&str>| {
        let flags = flags(|flags| flags.subscribe_compression = flag.map(Into::into));
        let config = load(text, &flags).expect("consistent");
        config.subscribe_compression.into_iter().map(Compression::name).collect::<Vec<_>>()
    };
    let file = "subscribe_compression = ['gzip']";
    assert!(of("", None).is_empty());
    assert_eq!(of(file, None), ["gzip"]);
    assert_eq!(of(file, Some("zstd, gzip")), ["zstd", "gzip"]);
    assert!(of(file, Some("")).is_empty());
    let error = refused("subscribe_compression = ['zstd', 'brotli']");
    assert!(error.contains("subscribe_compression: \"brotli\""), "{error}");
    assert!(error.contains("write gzip or zstd"), "{error}");
}

#[test]
fn schemas_are_read_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.proto");
    std::fs::write(&file, "package shop; message Order {}").expect("written");
    let file = file.display().to_string();
    let types = |text: &str, flag: Option<&str>| {
        let flags = flags(|flags| flags.schemas = flag.map(Into::into));
        let types = load(text, &flags).expect("consistent").schemas.types;
        types.into_iter().map(|one| one.type_name).collect::<Vec<_>>()
    };
    assert!(types("", None).is_empty());
    assert_eq!(types(&format!("schemas = ['{file}']"), None), ["shop.Order"]);
    assert_eq!(types("", Some(&format!("{file}, "))), ["shop.Order"]);
    assert!(types(&format!("schemas = ['{file}']"), Some("")).is_empty());
    let error = refused("schemas = ['/nowhere/*.proto']");
    assert_eq!(error, "schemas: \"/nowhere/*.proto\" chooses no file: correct it, or leave it out");
    std::fs::write(folder.path().join("bad.proto"), "package shop;\nmessage {}").expect("written");
    let error = refused(&format!("schemas = ['{}']", folder.path().display()));
    assert!(error.contains("bad.proto:2:9: "), "{error}");
}

#[test]
fn a_rule_says_what_events_have_to_be() {
    let text =
        "[[topics]]\npattern = 'a'\nenforcement = 'reject'\ntypes = ['shop.v1.B', 'shop.v1.A']";
    let config = load(text, &Flags::default()).expect("consistent");
    let told = config.to_string();
    assert!(told.contains("enforcement = \"reject\"\n"), "{told}");
    assert!(told.contains("types = [\"shop.v1.A\", \"shop.v1.B\"]\n"), "{told}");
    assert_eq!(load(&told, &Flags::default()).expect("what it says").topics, config.topics);
    let error = refused("[[topics]]\npattern = 'a'\nenforcement = 'hard'");
    assert!(error.contains("tidings.toml:3:") && error.contains("reject"), "{error}");
    let error = refused("[[topics]]\npattern = 'a'\ntypes = ['shop v1']");
    assert!(error.contains("tidings.toml:3:9: types are full names of messages"), "{error}");
}

#[test]
fn what_a_publish_waits_for_is_one_thing_and_of_a_durable_topic() {
    let rule = |more: &str| format!("[[topics]]\npattern = 'a'\n{more}");
    let config = load(&rule("mode = 'durable'\nreplicas = 2"), &Flags::default()).expect("fine");
    assert_eq!((config.topics[0].replicas, config.topics[0].fsync), (Some(2), None));
    assert!(config.to_string().contains("replicas = 2"), "{config}");
    assert!(!config.allow_volatile);
    assert!(refused(&rule("replicas = 1")).contains("for durable topics"));
    assert!(refused(&rule("fsync = true")).contains("for durable topics"));
    assert!(refused(&rule("mode = 'durable'\nreplicas = 17")).contains("at most 16"));
    let both = refused(&rule("mode = 'durable'\nreplicas = 1\nfsync = true"));
    assert!(both.contains("leave one of both out"), "{both}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_what_there_is() {
    let error = refused("listen = '127.0.0.1:1'\n  lisen = 2\n");
    assert!(error.starts_with("tidings.toml:2:3: "), "{error}");
    assert!(error.contains("`lisen`") && error.contains("`drain_grace`"), "{error}");
    let error = refused("[[topics]]\npattern = 'a'\nevents = 1\n");
    assert!(error.starts_with("tidings.toml:3:1: "), "{error}");
    assert!(error.contains("`max_events`"), "{error}");
}

#[test]
fn what_is_wrong_in_the_file_is_said_with_its_place() {
    for (text, place, part) in [
        ("listen = 'nowhere'", "1:10", "127.0.0.1:7070"),
        ("\ndrain_grace = 5", "2:15", "string"),
        ("drain_grace = '5'", "1:15", "30m"),
        ("redis = 'http://h'", "1:9", "redis://"),
        ("log_format = 'xml'", "1:14", "`json`"),
        ("[[topics]]\npattern = 'a..b'", "2:11", "empty token"),
        ("[[topics]]\nbridge = 'raw'", "1:1", "pattern"),
        ("[[topics]]\npattern = 'a'\nbridge = 'both'", "3:10", "`cloudevents-json`"),
        ("[[topics]]\npattern = 'a.*'\nchannel = 'c'", "3:11", "one topic"),
        ("[[topics]]\npattern = 'a'\nbridge = 'off'\nchannel = 'c'", "4:11", "off"),
        ("[[topics]]\npattern = 'a'\nmax_events = 1000001", "3:14", "1000000"),
        ("[[topics]]\npattern = 'a'\nmax_bytes = '1 elephant'", "3:13", "16MiB"),
        ("[[topics]]\npattern = 'a'\nmode = 'kept'", "3:8", "`durable`"),
        ("[[topics]]\npattern = 'a'\nmax_age = '7d'", "3:11", "mode = \"durable\""),
        ("[[topics]]\npattern = 'a'\nmode = 'durable'\nmax_age = '1ms'", "4:11", "at least 1s"),
        ("[[topics]]\npattern = 'a'\ndedupe_window = '25h'", "3:17", "at most 86400s"),
        (
            "[[topics]]\npattern = 'a'\nmode = 'durable'\nmax_events = 9000000000000000",
            "4:14",
            "most",
        ),
        ("[[topics]]\npattern = 'a'\ndefault_type = ''", "3:16", "shop.v1"),
        ("[[topics]]\npattern = 'a'\n[[topics]]\npattern = 'a'", "4:11", "tidings.toml:2:11"),
        (
            "[[topics]]\npattern = 'a'\nchannel = 'c'\n[[topics]]\npattern = 'b'\nchannel = 'c'",
            "6:11",
            "tidings.toml:3:11",
        ),
        ("listen = ", "1:10", ""),
    ] {
        let error = refused(text);
        let expected = format!("tidings.toml:{place}: ");
        assert!(error.starts_with(&expected), "{text:?}: expected {expected}, got {error}");
        assert!(error.contains(part), "{text:?}: expected {part:?}, got {error}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    for (text, part) in [
        ("listen = '0.0.0.0:1'", "--insecure"),
        ("redis = 'redis://h'\nredis_ca = 'ca.pem'", "rediss://"),
        ("redis = 'rediss://h'\nredis_ca = 'there-is-no-such.pem'", "there-is-no-such.pem"),
        ("drain_grace = '1h'", "at most 5m"),
        ("max_stream_age = '10ms'", "at least 1s"),
        ("threads = 0", "a number of threads"),
        ("threads = '2000'", "up to 1024"),
        ("channel_prefix = \"a\\n\"", "control character"),
        ("log = 'a=b=c'", "log filter"),
    ] {
        assert!(refused(text).contains(part), "{text:?}: {}", refused(text));
    }
}

#[test]
fn what_is_unwise_is_said_with_numbers() {
    for (text, part) in [
        ("listen = '0.0.0.0:1'\ninsecure = true", "in the clear"),
        ("redis = 'redis://10.0.0.1'", "10.0.0.1 is spoken to in the clear"),
        ("drain_grace = '40s'", "Kubernetes kills after 30s"),
        ("max_stream_age = '10s'", "100 times a second"),
        ("redis_ca = 'x'", "does nothing without redis"),
        ("[[topics]]\npattern = 'a'\nbridge = 'raw'", "the bridge of a does nothing"),
        ("[[topics]]\npattern = 'a.>'\nmax_bytes = '2GiB'", "2GiB"),
        ("[[topics]]\npattern = 'a'\nmax_bytes = 1000", "1000"),
        (
            "[[topics]]\npattern = 'a'\nmode = 'durable'\nmax_age = '1d'",
            "max_bytes of a is not set",
        ),
    ] {
        let warnings = load(text, &Flags::default()).expect(text).warnings;
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{text}: {warnings:?}");
    }
}

#[test]
fn a_misspelt_variable_is_said_and_those_of_kubernetes_are_not() {
    let names = [
        "TIDINGS_REDIS_ULR",
        "TIDINGS_REDIS",
        "TIDINGS_SERVICE_HOST",
        "TIDINGS_PORT_7070_TCP",
        "TIDINGS_ADDRESS",
        "PATH",
    ];
    let said: Vec<_> = unknown_variables(names.into_iter().map(Into::into)).collect();
    assert_eq!(said, ["TIDINGS_REDIS_ULR is no setting: it does nothing"]);
}

#[test]
fn what_check_prints_says_the_same_again_without_the_password() {
    let text = "redis = 'redis://ann:canary@h/2'\ninsecure = true\nlog = 'tidings=debug'\n\
                [[topics]]\npattern = 'orders.*'\nbridge = 'cloudevents-json'\n\
                max_events = 5\nmax_bytes = '2MiB'\ndefault_type = 'shop.v1.Order'\n\
                [[topics]]\npattern = 'b'\nmode = 'durable'\nmax_age = '7d'\ndedupe_window = '0s'\n\
                [[topics]]\npattern = 'a'\nchannel = 'order \"events\"'\n";
    let config = load(text, &Flags::default()).expect("consistent");
    let printed = config.to_string();
    assert!(!printed.contains("canary"), "{printed}");
    let again =
        load(&printed, &Flags::default()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.topics, config.topics);
}

#[test]
fn no_error_shows_a_password() {
    for text in [
        "redis = 'http://ann:canary@h'",
        "redis = 'redis://ann:canary@h:x'",
        "listen = 'redis://ann:canary@h'",
        "log = 'redis://ann:canary@h'",
        "drain_grace = 'redis://ann:canary@h'",
        "redis = 'redis://ann:canary@h'\nredis_ca = 'x'",
        "redis = 'redis://ann:canary@h",
        "rediss = 'redis://ann:canary@h'",
        "[redis]\nurl = 'redis://ann:canary@h'",
        "log_format = 'redis://ann:canary@h'",
        "insecure = 'redis://ann:canary@h'",
    ] {
        let error = refused(text);
        assert!(!error.contains("canary"), "{error}");
    }
    let flags = flags(|flags| flags.redis = Some("redis://ann:canary@h:x".into()));
    let error = load("", &flags).expect_err("no port");
    assert!(error.starts_with("--redis: ") && !error.contains("canary"), "{error}");
}

proptest! {
    /// Whatever is wrong around it, and wherever it stands.
    #[test]
    fn a_password_in_the_file_is_never_shown(
        key in prop_oneof![Just("redis"), Just("listen"), Just("log"), Just("nonsense")],
        scheme in prop_oneof![Just("redis"), Just("rediss"), Just("unix"), Just("http"), Just("")],
        (before, after) in ("[a-z ='\"\\[\\]\n#]{0,20}", "[a-z0-9 ='\"\\[\\]\n:/@?]{0,20}"),
    ) {
        let text = format!("{before}\n{key} = '{scheme}://ann:hunter2@{after}'");
        match load(&text, &Flags::default()) {
            Ok(config) => prop_assert!(!config.to_string().contains("hunter2")),
            Err(error) => prop_assert!(!error.contains("hunter2"), "{error}"),
        }
    }
}
