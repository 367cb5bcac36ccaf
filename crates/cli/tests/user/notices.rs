//! What somebody at a screen is shown: the agent on a session bus of its own, with a program there that notes what it is asked to show.

#![expect(
    clippy::used_underscore_binding,
    reason = "what implements the interface passes on all that the protocol has"
)]

use crate::agent::Agent;
use crate::machine::{EMAIL, Machine, write};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use zbus::wire::OwnedVariant;

/// How long a notification may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A bus that knows nothing but what it is told here: no program is started because somebody calls it.
const BUS: &str = "<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context=\"default\">
    <allow send_destination=\"*\" eavesdrop=\"true\"/>
    <allow eavesdrop=\"true\"/>
    <allow own=\"*\"/>
  </policy>
</busconfig>
";

/// A session's bus, which ends with the test.
struct Bus {
    child: Child,
    address: String,
}

impl Bus {
    fn start(machine: &Machine) -> Self {
        let (socket, config) = (machine.path("bus"), machine.path("bus.conf"));
        write(&config, BUS.replace("SOCKET", socket.to_str().unwrap()).as_bytes());
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--print-address=1", "--config-file"]).arg(config);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo xtask setup` installs it");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What was shown: who by, in short, and in full.
#[derive(Clone, Default)]
struct Shown(Arc<(Mutex<Vec<[String; 3]>>, Condvar)>);

impl Shown {
    /// Serves at the place where a desktop does.
    fn serve_on(bus: &Bus) -> Self {
        let shown = Self::default();
        let (screen, address) = (Screen(shown.clone()), bus.address.clone());
        let (sender, ready) = channel();
        // It serves for as long as the bus is there, and says no more after that.
        std::thread::spawn(move || {
            zbus::block_on(async move {
                let builder = zbus::connection::Builder::address(address.as_str());
                let builder = builder.serve_at("/org/freedesktop/Notifications", screen);
                let connection = builder.name("org.freedesktop.Notifications").build().await.unwrap();
                sender.send(()).unwrap();
                std::future::pending::<()>().await;
                drop(connection);
            });
        });
        ready.recv_timeout(PATIENCE).unwrap();
        shown
    }

    fn now(&self) -> Vec<[String; 3]> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until there are so many.
    fn until(&self, count: usize) -> Vec<[String; 3]> {
        let (list, more) = &*self.0;
        let (list, waited) =
            more.wait_timeout_while(list.lock().unwrap(), PATIENCE, |list| list.len() < count).unwrap();
        assert!(!waited.timed_out(), "{count} were never shown: {list:?}");
        list.clone()
    }
}

/// The program that shows notifications (<https://specifications.freedesktop.org/notification-spec/latest/>).
struct Screen(Shown);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Screen {
    #[expect(clippy::too_many_arguments, reason = "the protocol has so many")]
    fn notify(
        &self,
        program: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedVariant>,
        _expires: i32,
    ) -> u32 {
        let (list, more) = &*self.0.0;
        let mut list = list.lock().unwrap();
        list.push([program, summary, body]);
        more.notify_all();
        u32::try_from(list.len()).unwrap()
    }
}

#[test]
fn what_needs_somebody_is_shown_once_and_nothing_else_is() {
    let machine = Machine::new();
    let folder = machine.pictures();
    let server = machine.with_account();
    machine.says(&["watch", "add", folder.to_str().unwrap()]);
    let bus = Bus::start(&machine);
    let shown = Shown::serve_on(&bus);
    let mut command = machine.command(&["agent", "run", "--settle-photos", "100"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let agent = Agent::begin(&machine, command);
    agent.until_done(3, 0);
    // What it does, what its owner does, and what passes by itself is no news.
    machine.says(&["agent", "pause"]);
    write(&folder.join("c.jpg"), &crate::agent::picture(9));
    machine.says(&["agent", "resume"]);
    agent.until_done(4, 0);
    let address = server.url.trim_start_matches("http://").to_owned();
    drop(server);
    write(&folder.join("d.jpg"), &crate::agent::picture(10));
    machine.says(&["agent", "scan"]);
    agent.until("the server is away", |status| status["state"] == "retrying");
    let server = machine.serve_at(&address);
    agent.until_done(5, 0);
    let sign_out = || {
        machine.says(&["logout"]);
        agent.until("signed out", |status| status["state"] == "signed-out");
    };
    sign_out();
    let [program, summary, body] = shown.until(1).remove(0);
    assert_eq!((program.as_str(), summary.as_str()), ("Darkslide", "Darkslide"));
    assert!(body.starts_with("Pictures are not backed up: ") && body.contains("darkslide login"), "{body}");
    // However often it finds that out.
    for _ in 0..2 {
        machine.says(&["agent", "scan"]);
        agent.until("still signed out", |status| status["state"] == "signed-out");
    }
    let words = ["login", &server.url, "--email", EMAIL, "--password-file", "password", "--keys", "key-file"];
    machine.says(&words);
    agent.until("signed in", |status| status["state"] == "idle");
    // Again: that the session before has ended needs nobody.
    machine.says(&words);
    write(&folder.join("e.jpg"), &crate::agent::picture(11));
    agent.until_done(6, 0);
    // It is another time: had anything else been shown before, it would be there now.
    sign_out();
    let all = shown.until(2);
    assert!(all.iter().all(|[_, _, text]| *text == body), "{all:?}");
    agent.stop();
    assert_eq!(shown.now().len(), 2, "{:?}", shown.now());
}

/// Whoever does not wish it is shown nothing, and a machine without a session's bus does not mind.
#[test]
fn nothing_is_shown_where_that_is_not_wished_for() {
    let machine = Machine::new();
    let _server = machine.with_account();
    let bus = Bus::start(&machine);
    let shown = Shown::serve_on(&bus);
    let nowhere = format!("unix:path={}", machine.path("no bus").display());
    machine.says(&["logout"]);
    for (further, address) in [(&["--no-notifications"][..], &bus.address), (&[], &nowhere)] {
        let mut command = machine.command(&[&["agent", "run"], further].concat());
        command.env("DBUS_SESSION_BUS_ADDRESS", address);
        let agent = Agent::begin(&machine, command);
        agent.until("signed out", |status| status["state"] == "signed-out");
        agent.stop();
    }
    assert_eq!(shown.now(), Vec::<[String; 3]>::new());
}
