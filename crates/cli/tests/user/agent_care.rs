//! What the agent does about what its owner changes while it works, and about what keeps it from working.
//!
//! Nothing here sleeps: what is waited for is told by the agent itself, through its status.

use crate::agent::{Agent, at_a_thumbnail, at_rest, picture};
use crate::machine::{EMAIL, Machine, write};
use crate::sync::until;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

/// Once, the folder was shown as paused, and the rest of it was sent.
#[test]
fn a_folder_that_is_paused_has_its_run_stopped() {
    let machine = Machine::new();
    let (folder, _server, agent) = at_a_thumbnail(&machine);
    machine.says(&["watch", "pause", folder.to_str().unwrap()]);
    let status = agent.until("the run has ended", |status| status["run"].is_null());
    assert_eq!((&status["folders"][0]["state"], &status["problem"]), (&"paused".into(), &Value::Null));
    write(&folder.join("b.jpg"), &picture(2));
    write(&machine.path("go"), b"");
    machine.says(&["watch", "resume", folder.to_str().unwrap()]);
    agent.until_done(2, 0);
}

/// Once, what kept it from being backed up was told for as long as the agent lived.
#[test]
fn a_folder_that_is_not_watched_any_more_has_no_problem() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    drop(server);
    let agent = Agent::start(&machine, &[]);
    agent.until("it tries again", |status| status["state"] == "retrying");
    machine.says(&["watch", "remove", folder.to_str().unwrap()]);
    let status = agent.until("nothing is under way", |status| status["run"].is_null());
    assert_eq!((&status["state"], &status["problem"]), (&"idle".into(), &Value::Null), "{status}");
}

/// Once, nobody was told before there was something to send.
#[test]
fn an_idle_agent_says_that_its_session_has_ended() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    let login = |profile: &str| {
        let words =
            ["--profile", profile, "login", &server.url, "--email", EMAIL, "--password-file", "password"];
        machine.says(&[&words[..], &["--keys", "key-file"]].concat());
    };
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &["--rescan", "86400000"]);
    agent.until_done(3, 0);
    let is_out = |status: &Value| {
        let advice = status["problem"]["advice"].as_str();
        status["state"] == "signed-out" && advice.is_some_and(|advice| advice.contains("darkslide login"))
    };
    login("other");
    let list = machine.json(&["--profile", "other", "devices"]);
    let mut devices = list["devices"].as_array().unwrap().iter();
    let agents = devices.find(|device| device["isThis"] == false).unwrap();
    machine.says(&["--profile", "other", "devices", "revoke", agents["id"].as_str().unwrap()]);
    agent.until("revoked elsewhere", is_out);
    login("default");
    agent.until("signed in again", |status| status["state"] == "idle");
    // Signing in again ends the session that the agent has: it goes on with the new one, and is no second device.
    login("default");
    let list = machine.json(&["--profile", "other", "devices"]);
    assert_eq!(list["devices"].as_array().unwrap().len(), 2, "{list}");
    write(&folder.join("new.jpg"), &picture(90));
    agent.until_done(4, 0);
    machine.says(&["logout"]);
    agent.until("signed out here", is_out);
}

/// The server is not there to say that the session has ended.
#[test]
fn an_agent_without_a_server_knows_that_its_owner_signed_out() {
    let machine = Machine::new();
    let (_folder, server, agent) = at_rest(&machine);
    drop(server);
    std::fs::remove_file(machine.path("home/default/config.toml")).unwrap();
    machine.says(&["agent", "scan"]);
    agent.until("signed out", |status| status["state"] == "signed-out");
}

/// It said that all that is there is backed up.
#[test]
fn an_agent_whose_folders_are_paused_says_so() {
    let machine = Machine::new();
    let (folder, _server, agent) = at_rest(&machine);
    assert_eq!(machine.json(&["status"])["pausedFolders"], 0);
    machine.says(&["watch", "pause", folder.to_str().unwrap()]);
    write(&folder.join("new.jpg"), &picture(90));
    agent.until("nothing is looked at", |status| status["state"] == "all-paused");
    let told = machine.json(&["status"]);
    assert_eq!(
        (&told["agent"]["state"], &told["pausedFolders"], &told["folders"][0]["state"]),
        (&"all-paused".into(), &1.into(), &"paused".into()),
        "{told}"
    );
    for words in [&["status"][..], &["agent", "status"]] {
        let told = machine.says(words);
        let says_so = told.contains("every watch folder is paused; `darkslide watch resume");
        assert!(says_so && !told.contains("all that is there is backed up"), "{told}");
    }
    // Of some of several it says that, too.
    write(&machine.path("more/e.jpg"), &picture(91));
    machine.says(&["watch", "add", "more"]);
    agent.until_done(4, 0);
    let told = machine.says(&["status"]);
    assert!(told.contains("backed up but for what is new in 1 paused folder (process"), "{told}");
    machine.says(&["watch", "resume", folder.to_str().unwrap()]);
    agent.until_done(5, 0);
    assert_eq!(machine.json(&["agent", "status"])["pausedFolders"], 0);
    // The only one is a sync folder.
    machine.says(&["watch", "remove", folder.to_str().unwrap()]);
    machine.says(&["watch", "remove", "more"]);
    write(&machine.path("Phone/f.jpg"), &picture(92));
    machine.says(&["sync", "add", "Phone"]);
    machine.says(&["sync", "pause", "Phone"]);
    agent.until("no watch folder is left", |status| status["folders"].as_array().is_some_and(Vec::is_empty));
    let told = machine.says(&["agent", "status"]);
    assert!(told.contains("but for what is new in 1 paused folder"), "{told}");
}

/// Once, each pass over the sync folder led to the next one, and the run that stood back for all of them never came to its end.
#[test]
fn what_cannot_be_sent_of_a_sync_folder_keeps_no_watch_folder_waiting() {
    let machine = Machine::new();
    // A run takes longer than a pass, and less than the pauses between failures grow to.
    let tool = machine.path("tools/ffmpeg");
    write(&tool, b"#!/bin/sh\nsleep 2\n");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let programs = format!("{}:/usr/bin:/bin", machine.path("tools").display());
    let _server = machine.with_account();
    machine.says(&["account", "--data-dir", "server", "quota", EMAIL, "1MB"]);
    let (synced, watched) = (machine.path("synced"), machine.path("watched"));
    // One megabyte and the grace of 50 MiB have no room for this.
    std::fs::create_dir_all(&synced).unwrap();
    std::fs::File::create(synced.join("long.mov")).unwrap().set_len(80_000_000).unwrap();
    write(&watched.join("small.jpg"), &picture(2));
    machine.says(&["sync", "add", synced.to_str().unwrap()]);
    let agent = Agent::start_with(&machine, &["--settle-incomplete", "100"], &programs);
    until("it could not be sent", &machine, || {
        let told = machine.run(&["sync", "status", "--json"]).stdout;
        String::from_utf8(told).unwrap().contains("the vault takes no more")
    });
    machine.says(&["watch", "add", watched.to_str().unwrap()]);
    agent.until("a run has come to its end", |status| {
        let (runs, sent) = (&status["done"]["runs"], &status["done"]["uploaded"]);
        runs.as_u64().is_some_and(|runs| runs > 0) && *sent == 1
    });
}

/// Once, the agent ended, and said that the profile belongs to another account.
#[test]
fn an_agent_goes_on_where_its_server_has_another_address() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &[]);
    let before = agent.until_done(3, 0);
    let other = server.url.replace("127.0.0.1", "localhost");
    machine.says(&["login", &other, "--email", EMAIL, "--password-file", "password", "--keys", "key-file"]);
    write(&folder.join("c.jpg"), &picture(4));
    agent.until_done(4, 0);
    write(&folder.join("d.jpg"), &picture(5));
    let after = agent.until_done(5, 0);
    assert_eq!((&after["process"], &after["since"]), (&before["process"], &before["since"]));
}

/// Once, it went on with the catalog that the login had thrown away, and nobody else saw what it did.
#[test]
fn an_agent_begins_anew_with_another_account_on_a_server_that_began_anew() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start(&machine, &[]);
    let before = agent.until_done(3, 0);
    let address = server.url.trim_start_matches("http://").to_owned();
    drop(server);
    std::fs::rename(machine.path("server"), machine.path("server before")).unwrap();
    // It gives the numbers of before again.
    let server = machine.serve_at(&address);
    machine.sign_up(&server, EMAIL, "default");
    write(&folder.join("c.jpg"), &picture(4));
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let after = agent.until_done(4, 0);
    assert_eq!(before["process"], after["process"]);
    let known = machine.json(&["list"]);
    assert_eq!(known["files"].as_array().unwrap().len(), 4, "{known}");
    let told = machine.says(&["explain", folder.join("c.jpg").to_str().unwrap()]);
    assert!(told.contains("Backed up"), "{told}");
    agent.stop();
}

/// Once, no folder was backed up where one had such a pattern.
#[test]
fn patterns_may_have_letters_of_all_kinds_between_brackets() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap(), "--exclude", "[äöü]*.jpg"]);
    let agent = Agent::start(&machine, &[]);
    agent.until_done(2, 0);
}

/// Once, they failed, and one of them had done what it was told to.
#[test]
fn an_agent_that_hangs_keeps_nobody_from_the_catalog() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let folder = machine.pictures();
    let folder = folder.to_str().unwrap();
    machine.says(&["backup", folder]);
    // It is there, and says nothing.
    let hangs = UnixListener::bind(machine.path("home/default/agent.sock")).unwrap();
    let added = machine.run(&["watch", "add", folder]);
    let told = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.success(), "{told}");
    for part in
        ["does not answer", "The change is made; it reads the new list when it goes on.", "is watched; "]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    let picture = format!("{folder}/a.jpg");
    let explained = machine.run(&["explain", &picture]);
    let told = String::from_utf8([explained.stdout, explained.stderr].concat()).unwrap();
    assert!(explained.status.success(), "{told}");
    assert!(told.contains("Backed up on 20") && told.contains("does not answer"), "{told}");
    let status = machine.run(&["status", "--json"]);
    assert_eq!(status.status.code(), Some(1), "whoever asks in a script hears of it");
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert!(status["agentProblem"].as_str().unwrap().contains("does not answer"), "{status}");
    assert_eq!(status["backedUp"], 3, "{status}");
    drop(hangs);
}
