//! One computer of one user: a home, pictures, and the binary. Servers end with the test.

use serde_json::Value;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A password that nobody has to remember.
pub(crate) const PASSWORD: &str = "a fine password";

/// Whose account it is where it matters to nobody.
pub(crate) const EMAIL: &str = "anna@example.org";

/// The folders in which the programs of one user find each other.
const SHARED: [&str; 2] = ["run", "temporary"];

/// A folder that stands for a computer.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// The same in a folder of one's own.
    pub(crate) fn within(folder: tempfile::TempDir) -> Self {
        let machine = Self { folder };
        for name in SHARED {
            std::fs::create_dir(machine.path(name)).unwrap();
            std::fs::set_permissions(machine.path(name), Permissions::from_mode(0o700)).unwrap();
        }
        std::fs::write(machine.path("password"), format!("{PASSWORD}\n")).unwrap();
        machine
    }

    /// Another home of profiles, of the same user on the same computer.
    pub(crate) fn sharing(other: &Self) -> Self {
        let machine = Self::new();
        for name in SHARED {
            std::fs::remove_dir(machine.path(name)).unwrap();
            symlink(other.path(name), machine.path(name)).unwrap();
        }
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command, in an environment without anybody's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkslide"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DARKSLIDE_")) {
            command.env_remove(name);
        }
        command.env("DARKSLIDE_HOME", self.path("home")).env("TZ", "UTC");
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("TMPDIR", self.path("temporary"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed says.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that must succeed answers with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// What a command that must fail says on standard error.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// A server with its data in `server`, on a port of its own.
    pub(crate) fn serve(&self, further: &[&str]) -> Server {
        self.serve_with("127.0.0.1:0", further, &[])
    }

    /// The same with further variables.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(crate) fn serve_under(&self, environment: &[(&str, &str)]) -> Server {
        self.serve_with("127.0.0.1:0", &[], environment)
    }

    /// The same server again, where it was.
    pub(crate) fn serve_at(&self, address: &str) -> Server {
        self.serve_with(address, &[], &[])
    }

    fn serve_with(&self, address: &str, further: &[&str], environment: &[(&str, &str)]) -> Server {
        let arguments = [&["serve", "--listen", address, "--data-dir", "server"], further].concat();
        let mut command = self.command(&arguments);
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let address = lines.lines().map_while(Result::ok).find_map(|line| address_in(&line));
        Server { url: format!("http://{}", address.expect("the log says where it listens")), child }
    }

    /// A server and the account of [`EMAIL`] on it, signed in as the default profile: a copy of one that signed up once, as an operator would
    /// copy it. Deriving keys from passwords would take most of these tests' time.
    pub(crate) fn with_account(&self) -> Server {
        let pattern = Pattern::get();
        pattern.copy_to(self.folder.path());
        let server = self.serve(&[]);
        let config = self.path("home/default/config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(&pattern.url), "{text}");
        std::fs::write(&config, text.replace(&pattern.url, &server.url)).unwrap();
        server
    }

    /// The answer of a sign-up with a code from the operator.
    pub(crate) fn sign_up(&self, server: &Server, email: &str, profile: &str) -> Value {
        self.says(&["account", "--data-dir", "server", "add", email]);
        let code = self.says(&["account", "--data-dir", "server", "code", email]);
        let words =
            ["signup", &server.url, "--email", email, "--password-file", "password", "--code", code.trim()];
        self.json(&[&words[..], &["--keys", "key-file", "--profile", profile]].concat())
    }

    /// Some small pictures in two folders, and something that is none.
    pub(crate) fn pictures(&self) -> PathBuf {
        let folder = self.path("pictures");
        for (name, seed) in [("a.jpg", 1), ("trip/b.jpg", 2), ("trip/ü 1.jpg", 3)] {
            write(&folder.join(name), &jpeg(seed));
        }
        write(&folder.join("notes.txt"), b"not a picture");
        folder
    }
}

/// What machines with an account are copies of.
struct Pattern {
    /// Folders, and files with what is in them; each by its path, a folder before what is in it.
    parts: Vec<(PathBuf, Permissions, Option<Vec<u8>>)>,
    url: String,
}

impl Pattern {
    /// Made once for all tests of this process.
    fn get() -> &'static Self {
        static PATTERN: OnceLock<Pattern> = OnceLock::new();
        PATTERN.get_or_init(|| {
            let machine = Machine::new();
            let server = machine.serve(&[]);
            let url = server.url.clone();
            machine.sign_up(&server, EMAIL, "default");
            drop(server);
            let (mut parts, mut left) = (Vec::new(), vec![PathBuf::from("server"), PathBuf::from("home")]);
            while let Some(part) = left.pop() {
                let path = machine.folder.path().join(&part);
                let permissions = path.metadata().unwrap().permissions();
                let bytes = path.is_file().then(|| std::fs::read(&path).unwrap());
                if bytes.is_none() {
                    left.extend(path.read_dir().unwrap().map(|entry| part.join(entry.unwrap().file_name())));
                }
                parts.push((part, permissions, bytes));
            }
            Self { parts, url }
        })
    }

    fn copy_to(&self, folder: &Path) {
        for (part, permissions, bytes) in &self.parts {
            let path = folder.join(part);
            match bytes {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::create_dir(&path).unwrap(),
            }
            std::fs::set_permissions(&path, permissions.clone()).unwrap();
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) url: String,
    child: Child,
}

impl Server {
    /// Its process.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn address_in(line: &str) -> Option<String> {
    let rest = line.split("127.0.0.1:").nth(1)?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// JPEG enough to be a picture by its bytes; no two seeds alike.
pub(crate) fn jpeg(seed: u8) -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    bytes.extend((0..2000u32).map(|index| (index * 31 + u32::from(seed) * 7) as u8));
    bytes.extend(b"\xff\xd9");
    bytes
}

/// Every file under a folder: its relative path, bytes and modification time.
pub(crate) fn tree(folder: &Path) -> std::collections::BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut files = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(parent) = folders.pop() {
        for entry in std::fs::read_dir(&parent).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let modified = entry.metadata().unwrap().modified().unwrap();
                let relative = path.strip_prefix(folder).unwrap().to_path_buf();
                files.insert(relative, (std::fs::read(&path).unwrap(), modified));
            }
        }
    }
    files
}
