//! What the agent does about what its owner changes while it works, and about what keeps it from working.
//!
//! Nothing here sleeps: what is waited for is told by the agent itself, through its status.

use crate::agent::{Agent, picture, thumbnails_that_wait};
use crate::machine::{Machine, write};
use serde_json::Value;

/// Once, the folder was shown as paused, and the rest of it was sent.
#[test]
fn a_folder_that_is_paused_has_its_run_stopped() {
    let machine = Machine::new();
    let programs = thumbnails_that_wait(&machine);
    let folder = machine.path("pictures");
    write(&folder.join("a.jpg"), &picture(1));
    let _server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let agent = Agent::start_with(&machine, &[], &programs);
    agent.until("it is at a thumbnail", |status| status["run"]["thumbnailsLeft"] == 1);
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
