//! A private PostgreSQL for the tests: its own folder, its own port on 127.0.0.1, gone when the tests end.
//!
//! It never touches a cluster that is already on the machine.

use crate::shell::{command, execute, succeeds};
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running cluster; dropping it stops it.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
}

impl Cluster {
    /// Creates and starts one. Durability is off: these databases live for minutes.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("darkslide-postgres-").tempdir()?;
        let cluster = Self { folder, programs: programs()?, port: free_port()? };
        if is_root() {
            execute(&mut command("chown", &["postgres", &cluster.folder.path().to_string_lossy()]))?;
        }
        execute(
            &mut cluster
                .program("initdb", &["--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", "data"]),
        )?;
        let options = format!(
            "-p {} -k . -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300",
            cluster.port
        );
        execute(&mut cluster.program("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &options, "start"]))?;
        Ok(cluster)
    }

    /// The URL of its administrative database, in which the tests make databases of their own.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// One of its programs, in its folder, as a user whom PostgreSQL accepts: it refuses root.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let path = self.programs.join(name).to_string_lossy().into_owned();
        let mut command = if is_root() {
            let mut words = vec!["-u", "postgres", "--", &path];
            words.extend(arguments);
            command("runuser", &words)
        } else {
            command(&path, arguments)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        succeeds(&mut self.program("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]));
    }
}

/// The folder of the newest PostgreSQL's programs.
fn programs() -> Result<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(versions)
        .with_context(|| format!("PostgreSQL is not in {}", versions.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    folders.sort();
    match folders.pop() {
        Some(folder) => Ok(folder),
        None => bail!("no PostgreSQL server in {}: apt-get install postgresql", versions.display()),
    }
}

fn is_root() -> bool {
    succeeds(&mut command("sh", &["-c", "test \"$(id -u)\" = 0"]))
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
