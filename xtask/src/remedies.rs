//! `cargo xtask remedies`: each remedy against a known failing sequence is taken out of a copy of
//! the tree, and the test that needs it has to fail there. A test that passes without its remedy
//! proves nothing.
//!
//! The sequences were found on paper and by a model before the broker was written; the names are
//! theirs: `B`, `C` and `U` of a review, `F` flaws of the first protocol.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{cargo, root, target, tools};

#[derive(Debug, Clone, Copy)]
struct Remedy {
    against: &'static str,
    file: &'static str,
    with: &'static str,
    without: &'static str,
    /// What `cargo test --test it` is asked for; `lib:` before it asks the unit tests.
    test: &'static str,
}

const LISTENER: &str = "src/backend/redis/listener.rs";
const PUBLISHER: &str = "src/backend/redis/publisher.rs";
const SYNC: &str = "src/backend/redis/sync.rs";
const SENTINEL: &str = "src/backend/redis/sentinel.rs";
const SESSION: &str = "src/backend/redis/session.rs";
const OPEN: &str = "src/backend/redis/scripts/open.lua";
const PUBLISH: &str = "src/backend/redis/scripts/publish_begin.lua";
const PUBLISH_LIVE: &str = "src/backend/redis/scripts/publish_live.lua";
const READ: &str = "src/backend/redis/scripts/read.lua";

const REMEDIES: &[Remedy] = &[
    Remedy {
        against: "B1: epochs compared by order",
        file: LISTENER,
        with: "let Some(told) = followed.told else { return Ok(()) };\n        let compare",
        without: "let Some(told) = followed.told.filter(|told| told.epoch <= heard.epoch) else { \
                  return Ok(()) };\n        let compare",
        test: "redis_protocol::an_epoch_below_ours_is_another_history_and_is_followed",
    },
    Remedy {
        against: "B2: a cached higher epoch is not refused",
        file: PUBLISH,
        with: "if life ~= epoch or kept ~= version then return false end",
        without: "if life > epoch then return false end",
        test: "redis_protocol::a_publisher_with_a_stale_view_opens_the_topic_again",
    },
    Remedy {
        against: "B3: a position given twice, by the answer",
        file: PUBLISHER,
        with: "if was_given && self.session.rules.check_positions {",
        without: "if false && was_given && self.session.rules.check_positions {",
        test: "redis_protocol::a_position_given_twice_is_an_unknown_outcome_and_a_new_epoch",
    },
    Remedy {
        against: "B3: a position given twice, heard live",
        file: LISTENER,
        with: "if self.session.rules.check_positions && seen.is_some_and(again) {",
        without: "if false && seen.is_some_and(again) {",
        test: "redis_protocol::a_live_batch_below_what_was_heard_proves_a_rollback",
    },
    Remedy {
        against: "B4: retention as each broker's settings say",
        file: PUBLISHER,
        with: "            keeping: opened.keeping,\n            count",
        without: "            keeping: settings.keeping,\n            count",
        test: "redis_protocol::how_a_topic_is_kept_is_read_from_redis_and_not_from_each_brokers_settings",
    },
    Remedy {
        against: "B4: the bytes to keep as each broker's settings say",
        file: PUBLISH,
        with: "max_events, max_bytes = unpack('<I8I8I8I8I8', ARGV[2])",
        without: "max_events = unpack('<I8I8I8I8I8', ARGV[2])\nlocal max_bytes = 16 * 1024 * 1024",
        test: "redis_protocol::how_many_bytes_are_kept_is_read_from_redis_and_not_from_each_brokers_settings",
    },
    Remedy {
        against: "B5: a topic in use is forgotten",
        file: SESSION,
        with: "&& due.len() < REFRESH_MAX {",
        without: "&& due.len() < REFRESH_MAX && false {",
        test: "redis_protocol::a_topic_that_is_followed_is_not_forgotten_and_one_that_is_not_is",
    },
    Remedy {
        against: "B6: trimming by entries keeps less than the history",
        file: PUBLISH,
        with: "local keep = first - max_events - widest",
        without: "local keep = first - max_events",
        test: "redis_protocol::at_least_the_history_is_kept_and_at_most_one_request_and_a_margin_more",
    },
    Remedy {
        against: "B6: a live history without a bound in bytes",
        file: PUBLISH_LIVE,
        with: "if grown > max_bytes and",
        without: "if grown < 0 and",
        test: "redis_protocol::the_history_is_bounded_in_bytes_too",
    },
    Remedy {
        against: "B7: trimming across an epoch",
        file: PUBLISH,
        with: "local trims = keep > 0 and (reached",
        without: "keep = math.max(keep, 0)\nlocal trims = (reached",
        test: "redis_protocol::a_new_epoch_does_not_trim_the_history_of_the_one_before",
    },
    Remedy {
        against: "B8: the publish time is not stored",
        file: PUBLISH_LIVE,
        with: "added = redis.pcall('XADD', stream, id, 't', now,",
        without: "added = redis.pcall('XADD', stream, id, 't', '0',",
        test: "redis_protocol::what_is_read_from_history_is_what_was_heard_live",
    },
    Remedy {
        against: "B9: half a script is allowed",
        file: "src/backend/redis/mod.rs",
        with: "try_scripts(&link, &config.broker_id).await.map_err(",
        without: "Ok::<(), (&str, CallError)>(()).map_err(",
        test: "redis_protocol::a_redis_that_lets_a_script_run_only_half_is_refused_at_the_start",
    },
    Remedy {
        against: "B10: every event twice on a bridged topic",
        file: LISTENER,
        with: "iter().position(|echo| *echo == hash)",
        without: "iter().position(|echo| *echo == hash && false)",
        test: "redis_protocol::what_is_copied_to_the_bridges_channel_does_not_come_back",
    },
    Remedy {
        against: "B11: an epoch is believed before the stream confirms it",
        file: LISTENER,
        with: "let follows = told.epoch == heard.epoch || !compare;",
        without: "let follows = !told.is_beginning(); let told = if told.epoch == heard.epoch { told } \
                  else { Position::new(heard.epoch, heard.first.saturating_sub(1)) }; let _ = compare;",
        test: "redis_protocol::a_forged_batch_moves_nobody",
    },
    Remedy {
        against: "B11: channels know no databases",
        file: LISTENER,
        with: "if heard.deployment != self.session.deployment().as_bytes() || !heard.is_of(topic) {",
        without: "if !heard.is_of(topic) {",
        test: "hostile_redis::forged_bytes_on_a_topics_channel_move_nobody",
    },
    Remedy {
        against: "B11: a batch of another topic",
        file: LISTENER,
        with: "if heard.deployment != self.session.deployment().as_bytes() || !heard.is_of(topic) {",
        without: "if heard.deployment != self.session.deployment().as_bytes() {",
        test: "hostile_redis::forged_bytes_on_a_topics_channel_move_nobody",
    },
    Remedy {
        against: "C3: a lost last event is never found",
        file: LISTENER,
        with: "if self.session.rules.check_positions {\n            self.sync_these",
        without: "if false {\n            self.sync_these",
        test: "redis_races::a_last_event_that_was_not_heard_is_found_by_comparing",
    },
    Remedy {
        against: "C6: a topic exists before the index names it",
        file: PUBLISHER,
        with: "link.enlist(topic, idle).await.map_err(BackendError::from)?;\n            \
               opened = self.open(link, topic, settings, known, true).await?;",
        without: "opened = self.open(link, topic, settings, known, true).await?;",
        test: "redis_protocol::the_index_names_a_topic_before_it_exists_and_tells_who_watches",
    },
    Remedy {
        against: "U1: a position inside a batch",
        file: READ,
        with: "from = begins + holds - 1 > tonumber(ARGV[2]) and x[1] or '(' .. x[1]",
        without: "from = '(' .. x[1]",
        test: "backend::redis::history_is_what_was_stored",
    },
    Remedy {
        against: "U3: what was sent behind a call that timed out",
        file: "src/backend/redis/connection.rs",
        with: "                self.close();\n                Err(CallError::Lost(format!(\"none within",
        without: "                Err(CallError::Lost(format!(\"none within",
        test: "redis_protocol::what_took_too_long_ends_the_connection_and_nothing_is_sent_behind_it",
    },
    Remedy {
        against: "U4: a script that Redis forgot",
        file: "src/backend/redis/scripts.rs",
        with: "if error.code() == Some(\"NOSCRIPT\") => {",
        without: "if error.code() == Some(\"NOSUCH\") => {",
        test: "redis_protocol::forgotten_scripts_are_loaded_again_in_place",
    },
    Remedy {
        against: "U5: away while the listener waits",
        file: "src/backend/redis/reach.rs",
        with: "if following && session.is_connected() {",
        without: "if following {",
        test: "redis_races::redis_is_told_as_away_also_while_the_listener_waits_for_it",
    },
    Remedy {
        against: "U5: away since it was noticed",
        file: "src/backend/redis/reach.rs",
        with: "self.heard_us.load(Ordering::Relaxed)",
        without: "micros(SystemTime::now())",
        test: "live::a_half_open_path_is_noticed",
    },
    Remedy {
        against: "U6: a rollback where nobody publishes",
        file: SYNC,
        with: "            let opened =\n                self.session.open(",
        without: "            if self.why != Why::Attach { return Ok(()); }\n            \
                  let opened =\n                self.session.open(",
        test: "redis_protocol::a_restart_that_forgot_is_told_also_where_nobody_publishes",
    },
    Remedy {
        against: "U9: more than the inbox holds",
        file: LISTENER,
        with: "if inbox.has_overflowed() {",
        without: "if inbox.has_overflowed() && false {",
        test: "redis_races::a_topic_that_is_born_in_a_flood_is_told_soon",
    },
    Remedy {
        against: "F7: who was not listening has no proof",
        file: PUBLISH,
        with: "if us - clock > 10000 or us < clock then",
        without: "if false then",
        test: "redis_protocol::a_redis_that_went_back_under_another_name_takes_no_publish_into_the_old_life",
    },
    Remedy {
        against: "F1: the same lineage proves nothing",
        file: OPEN,
        with: "elseif replid ~= id then",
        without: "elseif replid ~= id and string.find(info, 'master_replid2:' .. replid, 1, true) then\n  \
                  redis.call('HSET', KEYS[1], 'replid', id)\nelseif replid ~= id then",
        test: "redis_races::a_replica_that_took_over_with_less_is_another_history",
    },
    Remedy {
        against: "F2: a life between the one heard and the one opened",
        file: "src/backend/replay.rs",
        with: "Bound::Present { heard } if heard == Some(entry.epoch()) && self.follows(entry) => {",
        without: "Bound::Present { heard } if heard.is_some() && self.follows(entry) => {",
        test: "lib:replay",
    },
    Remedy {
        against: "F3: a demoted primary that opens",
        file: OPEN,
        with: "if not string.find(info, 'role:master', 1, true) then",
        without: "if false then",
        test: "redis_protocol::who_comes_to_a_demoted_primary_before_that_is_noticed_is_told_of_no_place",
    },
    Remedy {
        against: "F4: a name that changed with nothing lost",
        file: SESSION,
        with: "if before.is_the_same_redis_as(&now) => self.rename(link, &now),",
        without: "if false && before.is_the_same_redis_as(&now) => self.rename(link, &now),",
        test: "redis_protocol::a_first_replica_renames_the_history_and_nobody_is_told_of_a_gap",
    },
    Remedy {
        against: "F4: a name that was seen to change, and changed again",
        file: OPEN,
        with: "replid == ARGV[13] and id == ARGV[14] then",
        without: "replid == ARGV[13] then",
        test: "redis_races::a_name_that_redis_had_before_last_proves_nothing",
    },
    Remedy {
        against: "F5: epochs in milliseconds collide",
        file: OPEN,
        with: "local us = tonumber(t[1]) * 1000000 + tonumber(t[2])\n",
        without: "local us = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)\n",
        test: "redis_protocol::epochs_never_collide_however_fast_topics_begin",
    },
    Remedy {
        against: "F6: nobody hears of a life that begins",
        file: OPEN,
        with: "redis.call('PUBLISH', ARGV[8], ",
        without: "redis.call('PUBLISH', ARGV[8] .. '.nobody', ",
        test: "redis_protocol::a_life_that_begins_is_heard_by_who_follows_a_quiet_topic",
    },
    Remedy {
        against: "F7: what a broker was told is not claimed",
        file: PUBLISHER,
        with: "claim: known.claim.filter(|_| self.rules.compare_epochs),",
        without: "claim: known.claim.filter(|_| false),",
        test: "redis_protocol::a_broker_that_was_told_more_than_is_left_begins_a_new_epoch_where_it_opens",
    },
    Remedy {
        against: "F7: only the publisher's own connection is compared",
        file: PUBLISHER,
        with: "let was_given = [acked.map(|(_, position)| position), told]",
        without: "let _ = told;\n            let was_given = [acked.map(|(_, position)| position), None]",
        test: "redis_protocol::a_position_that_was_heard_on_the_other_connection_proves_a_rollback_too",
    },
    Remedy {
        against: "F8: a deleted hash over a living stream",
        file: OPEN,
        with: "epoch = math.max(epoch, tonumber(string.match(top, '^%d+')) + 1)",
        without: "epoch = math.max(epoch, 1)",
        test: "redis_protocol::a_deleted_hash_over_a_living_stream_does_not_stop_the_topic",
    },
    Remedy {
        against: "F9: a present life that lies before the place",
        file: "src/backend/replay.rs",
        with: "if wanted.epoch == present.epoch && self.at.epoch != present.epoch {",
        without: "if false {",
        test: "lib:replay",
    },
    Remedy {
        against: "F10: a client that is ahead of the topic",
        file: "src/subscription/begin.rs",
        with: "if !place.has_reached(position) {",
        without: "if false {",
        test: "delivery_on_redis::a_client_that_comes_to_a_broker_that_is_behind_misses_and_repeats_nothing",
    },
    Remedy {
        against: "bridge: echoes pending from one batch to the next",
        file: LISTENER,
        with: "followed.echoes.clone_from(&heard.echo);",
        without: "followed.echoes.clear();",
        test: "redis_protocol::what_is_copied_to_the_bridges_channel_does_not_come_back",
    },
    Remedy {
        against: "bridge: pending hashes end with the connection",
        file: LISTENER,
        with: "                followed.echoes.clear();",
        without: "",
        test: "redis_protocol::echoes_that_are_waited_for_end_with_the_connection",
    },
    Remedy {
        against: "group commit: what waits has no end",
        file: PUBLISHER,
        with: "self.since.elapsed() >= COMMIT_WAIT_MAX",
        without: "self.since.elapsed() >= COMMIT_WAIT_MAX && false",
        test: "redis_group_commit::what_has_waited_too_long_to_be_stored_is_refused_and_not_stored",
    },
    Remedy {
        against: "a life that ends before it is read",
        file: SYNC,
        with: "                        Why::Live { heard } => known.lock().leave(heard),\n",
        without: "                        Why::Live { .. } => false,\n",
        test: "redis_races::a_life_that_ends_before_it_is_read_is_told_as_lost",
    },
    Remedy {
        against: "a page of another life than the open named",
        file: SYNC,
        with: "if known.lock().has_left(last.epoch) {",
        without: "if false {",
        test: "redis_races::a_life_that_was_left_does_not_come_back",
    },
    Remedy {
        against: "sentinels: a switch of which the old primary knows nothing",
        file: SESSION,
        with: "if commands || listening {",
        without: "if false && (commands || listening) {",
        test: "sentinel::a_primary_that_knows_of_no_switch_is_left_also_when_the_first_sentinel_dies",
    },
    Remedy {
        against: "sentinels: the one that is listened to dies",
        file: SENTINEL,
        with: "self.put_last(&first);",
        without: "",
        test: "sentinel::a_primary_that_knows_of_no_switch_is_left_also_when_the_first_sentinel_dies",
    },
    Remedy {
        against: "a sign of life that a Redis refuses that cannot save",
        file: "src/backend/redis/connection.rs",
        with: "redis::cmd(\"ECHO\")",
        without: "redis::cmd(\"PING\")",
        test: "redis_errors::a_redis_that_cannot_save_is_unavailable_and_heals",
    },
];

/// Sequences without a row, each with the reason.
const WITHOUT_A_ROW: &[(&str, &str)] = &[
    ("B12", "of a cluster, which is not built"),
    ("B13", "of expected_last, which is not built"),
    ("B14", "of de-duplication, which is not built"),
    ("B15", "of worker groups, which are not built"),
    ("B16", "of durable topics, which are not built"),
    ("B17", "a bound at the door: hostile::what_is_too_large_is_told_with_its_size"),
    ("C1", "decided the other way: decision 0012 says which identities begin no life"),
    ("C2", "a Redis without a replication id is refused at the start"),
    ("C4", "a cost, measured by the benchmark"),
    ("C5", "of WAIT, which only durable topics will use"),
    ("C7", "no topic is configured by being used: there is nothing to take out"),
    ("C8", "of durable topics on a cache, which are not built"),
    ("U2", "there is no other place to read from"),
    ("U7", "of expected_last, which is not built"),
    ("U8", "decision 0015: what a receipt says of a live topic"),
    ("F11", "fields of a message, without which nothing builds"),
    (
        "F12",
        "one SUBSCRIBE for both channels: its absence shows only between two commands of one write",
    ),
];

/// `--only TEXT`: those of which the name, the file or the test contains it.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let only = match args {
        [] => "",
        [option, text] if option == "--only" => text,
        _ => return Err(format!("{args:?}: there is --only TEXT")),
    };
    tools::redis_server()?;
    let tree = target().join("remedies");
    let mut kept = Vec::new();
    let chosen = REMEDIES.iter().filter(|remedy| {
        [remedy.against, remedy.file, remedy.test].iter().any(|text| text.contains(only))
    });
    let mut count = 0;
    for remedy in chosen {
        count += 1;
        copy(&tree)?;
        let file = tree.join(remedy.file);
        let mended = fs::read_to_string(&file).map_err(|error| format!("{error}"))?;
        fs::write(&file, mended.replace(remedy.with, remedy.without))
            .map_err(|error| error.to_string())?;
        let verdict = match test(&tree, remedy.test) {
            Verdict::Failed => "needed",
            Verdict::Passed => "NOT NEEDED: its test passes without it",
            Verdict::Broken => "NOT TRIED: it does not build without it",
        };
        println!("{:<60} {verdict}", remedy.against);
        if verdict != "needed" {
            kept.push(remedy.against);
        }
    }
    if only.is_empty() {
        for (name, why) in WITHOUT_A_ROW {
            println!("{name:<60} no row: {why}");
        }
    }
    println!("{} of {count} remedies are needed by their tests", count - kept.len());
    if kept.is_empty() { Ok(()) } else { Err(format!("tests that prove nothing: {kept:?}")) }
}

enum Verdict {
    Failed,
    Passed,
    Broken,
}

/// The sources as they are, and nothing that was built.
fn copy(tree: &Path) -> Result<(), String> {
    let list = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("git: {error}"))?;
    let list = String::from_utf8_lossy(&list.stdout);
    let names: HashSet<&Path> =
        list.split('\0').filter(|name| !name.is_empty()).map(Path::new).collect();
    forget_others(tree, tree, &names).map_err(|error| format!("{}: {error}", tree.display()))?;
    for name in names {
        let (from, to) = (root().join(name), tree.join(name));
        let Ok(content) = fs::read(&from) else { continue };
        // What has not changed keeps its time: cargo builds little again.
        if fs::read(&to).is_ok_and(|present| present == content) {
            continue;
        }
        let folder = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&to, content))
            .map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

/// A module that has moved must not stand there twice.
fn forget_others(tree: &Path, folder: &Path, names: &HashSet<&Path>) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(tree).expect("a path below the tree");
        if path.is_dir() {
            if name != Path::new("target") {
                forget_others(tree, &path, names)?;
            }
        } else if !names.contains(name) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn test(tree: &Path, test: &str) -> Verdict {
    let built: PathBuf = tree.join("target");
    let cargo = || {
        let mut cargo = cargo(["test", "--locked"]);
        cargo.current_dir(tree).env("CARGO_TARGET_DIR", &built);
        // Our own crates are built once for each remedy: that takes longer than their tests.
        cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        cargo.stdout(Stdio::null()).stderr(Stdio::null());
        cargo
    };
    let of = |cargo: &mut Command| match test.strip_prefix("lib:") {
        Some(_) => _ = cargo.arg("--lib"),
        None => _ = cargo.args(["--test", "it"]),
    };
    let mut build = cargo();
    of(&mut build);
    if !build.arg("--no-run").status().is_ok_and(|status| status.success()) {
        return Verdict::Broken;
    }
    let mut run = cargo();
    of(&mut run);
    run.arg("--").args(test.trim_start_matches("lib:").split_whitespace());
    match run.status() {
        Ok(status) if status.success() => Verdict::Passed,
        Ok(_) => Verdict::Failed,
        Err(_) => Verdict::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_is_where_the_table_says() {
        for remedy in REMEDIES {
            let source = fs::read_to_string(root().join(remedy.file)).expect(remedy.file);
            let times = source.matches(remedy.with).count();
            assert_eq!(times, 1, "{}: {:?} stands {times} times", remedy.against, remedy.with);
        }
    }

    #[test]
    fn each_test_of_the_table_exists() {
        for remedy in REMEDIES {
            for test in remedy.test.split_whitespace() {
                let Some((module, rest)) = test.split_once("::") else { continue };
                let name = rest.rsplit("::").next().unwrap_or(rest);
                let file = root().join(format!("tests/it/{module}.rs"));
                let source = fs::read_to_string(file).expect(module);
                assert!(source.contains(&format!("fn {name}(")), "{test}");
            }
        }
    }

    #[test]
    fn each_known_sequence_has_a_row_or_a_reason() {
        let all = (1..=17).map(|n| format!("B{n}"));
        let all = all.chain((1..=8).map(|n| format!("C{n}")));
        let all = all.chain((1..=9).map(|n| format!("U{n}")));
        for name in all.chain((1..=12).map(|n| format!("F{n}"))) {
            let row = REMEDIES.iter().any(|remedy| remedy.against.starts_with(&format!("{name}:")));
            let reason = WITHOUT_A_ROW.iter().any(|(without, _)| *without == name);
            assert!(row != reason, "{name}: a row, or a reason why there is none");
        }
    }
}
