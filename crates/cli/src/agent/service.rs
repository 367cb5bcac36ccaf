//! The agent as a service of its user: started at login by the system's own service manager, and watched by it.
//!
//! On Linux a systemd *user* unit of our own; on macOS a launch agent and on Windows a service, both as the `service-manager` crate
//! writes them: these two are compiled and were never run.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use darkslide_client::profile::ProfileName;
use service_manager::{
    RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceLevel, ServiceManager, ServiceStartCtx,
    ServiceStatus, ServiceStatusCtx, ServiceStopCtx, ServiceUninstallCtx, native_service_manager,
    systemd_user_dir_path,
};

/// How long the service manager bears with an agent that gives no sign of life.
const WATCHDOG_SECONDS: u32 = 120;

/// What an installed service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Whose agent.
    pub(crate) profile: ProfileName,
    /// This program.
    pub(crate) program: PathBuf,
    /// The variables of now that decide what it does.
    pub(crate) environment: Vec<(String, String)>,
}

impl Service {
    fn label(&self) -> ServiceLabel {
        label(&self.profile)
    }

    fn arguments(&self) -> Vec<OsString> {
        ["--profile", self.profile.as_str(), "agent", "run"].map(OsString::from).to_vec()
    }

    /// The unit file for systemd.
    fn unit(&self) -> String {
        let mut unit = format!(
            "[Unit]\nDescription=Darkslide keeps watch folders backed up (profile {})\n\n\
             [Service]\nType=notify\nNotifyAccess=main\n",
            self.profile
        );
        // The C library keeps what was freed in as many places as there were threads; two are enough for an agent.
        unit += "Environment=MALLOC_ARENA_MAX=2\n";
        for (name, value) in &self.environment {
            unit += &format!("Environment={}\n", quoted(&format!("{name}={value}")));
        }
        let words = self.arguments();
        let words = words.iter().map(|word| word.to_string_lossy());
        let program = self.program.to_string_lossy();
        let line: Vec<String> =
            std::iter::once(program).chain(words).map(|word| quoted(&word).replace('$', "$$")).collect();
        unit += &format!(
            "ExecStart={}\nRestart=on-failure\nRestartSec=10\nWatchdogSec={WATCHDOG_SECONDS}\nTimeoutStopSec=60\n\
             Nice=10\nIOSchedulingClass=idle\nNoNewPrivileges=true\n\n[Install]\nWantedBy=default.target\n",
            line.join(" ")
        );
        unit
    }

    fn context(&self) -> ServiceInstallCtx {
        ServiceInstallCtx {
            label: self.label(),
            program: self.program.clone(),
            args: self.arguments(),
            contents: cfg!(target_os = "linux").then(|| self.unit()),
            username: None,
            working_directory: None,
            environment: Some(self.environment.clone()),
            autostart: true,
            restart_policy: RestartPolicy::OnFailure {
                delay_secs: Some(10),
                max_retries: None,
                reset_after_secs: None,
            },
        }
    }

    /// Installs and starts it. Where that fails, what was there before is there again.
    pub(crate) fn install(&self) -> Result<()> {
        let manager = manager()?;
        let before = Before::of(&*manager, self.label())?;
        let install = || {
            manager.install(self.context()).context("the service could not be installed")?;
            manager.start(ServiceStartCtx { label: self.label() }).context("the service could not be started")
        };
        install().map_err(|error| error.context(before.put_back(&*manager)))
    }
}

/// What there was of a service before it was installed.
#[derive(Debug)]
struct Before {
    label: ServiceLabel,
    was_installed: bool,
    /// Of systemd, the unit, and the link that starts it at login; with what was in the unit.
    unit: Option<(PathBuf, Option<Vec<u8>>)>,
    link: Option<PathBuf>,
}

impl Before {
    fn of(manager: &dyn ServiceManager, label: ServiceLabel) -> Result<Self> {
        let name = format!("{}.service", label.to_script_name());
        let Some(folder) = systemd_user_dir_path().ok().filter(|_| cfg!(target_os = "linux")) else {
            let told = manager.status(ServiceStatusCtx { label: label.clone() });
            let was_installed = !matches!(told, Ok(ServiceStatus::NotInstalled));
            return Ok(Self { label, was_installed, unit: None, link: None });
        };
        let unit = folder.join(&name);
        let link = folder.join("default.target.wants").join(&name);
        // What cannot be read cannot be put back.
        let contents = unit.symlink_metadata().is_ok().then(|| fs::read(&unit)).transpose();
        let contents = contents.with_context(|| format!("{} is in the way", unit.display()))?;
        Ok(Self {
            label,
            was_installed: contents.is_some(),
            link: link.symlink_metadata().is_err().then_some(link),
            unit: Some((unit, contents)),
        })
    }

    /// Takes back what was written since, and says what came of that.
    fn put_back(self, manager: &dyn ServiceManager) -> String {
        if !self.was_installed {
            // Whatever does not answer has nothing to stop or to forget; what it leaves lying is removed below.
            let _stopped = manager.stop(ServiceStopCtx { label: self.label.clone() });
            let _gone = manager.uninstall(ServiceUninstallCtx { label: self.label });
        }
        let unit = self.unit.map(|(unit, contents)| match contents {
            Some(contents) => fs::write(&unit, contents).map_err(|error| (unit, error)),
            None => remove(unit),
        });
        let undone = self.link.map_or(Ok(()), remove).and(unit.unwrap_or(Ok(())));
        let stands = if self.was_installed { "stays installed as it was" } else { "is not installed" };
        let undone = match undone {
            Ok(()) if self.was_installed => String::new(),
            Ok(()) => "; what was written for it is removed again".to_owned(),
            Err((path, error)) => format!("; {} was written for it and stays: {error}", path.display()),
        };
        format!("the agent {stands}{undone}. `darkslide agent run` does the same without a service")
    }
}

fn remove(path: PathBuf) -> Result<(), (PathBuf, io::Error)> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path, error)),
        _ => Ok(()),
    }
}

fn label(profile: &ProfileName) -> ServiceLabel {
    ServiceLabel {
        qualifier: Some("org".to_owned()),
        organization: Some("darkslide".to_owned()),
        application: format!("agent-{profile}"),
    }
}

/// Stops and removes the service.
pub(crate) fn uninstall(profile: &ProfileName) -> Result<()> {
    let manager = manager()?;
    // One that does not run cannot be stopped, and need not be.
    let _stopped = manager.stop(ServiceStopCtx { label: label(profile) });
    manager
        .uninstall(ServiceUninstallCtx { label: label(profile) })
        .context("the service could not be removed")
}

/// What the service manager says of it, in one word for people.
pub(crate) fn state(profile: &ProfileName) -> String {
    let asked = manager().and_then(|manager| Ok(manager.status(ServiceStatusCtx { label: label(profile) })?));
    match asked {
        Ok(ServiceStatus::NotInstalled) => "not installed".to_owned(),
        Ok(ServiceStatus::Running) => "running".to_owned(),
        Ok(ServiceStatus::Stopped(_)) => "stopped".to_owned(),
        Err(error) => format!("unknown ({})", format!("{error:#}").trim()),
    }
}

fn manager() -> Result<Box<dyn ServiceManager>> {
    let unavailable =
        "there is no service manager that we know on this system; start `darkslide agent run` in another way";
    let mut manager = native_service_manager().context(unavailable)?;
    manager.set_level(ServiceLevel::User).context("services of single users are not supported here")?;
    Ok(manager)
}

/// A word of a unit file (systemd.syntax(7)): in quotes, with what systemd would expand doubled.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

/// Tells the service manager that the agent watches.
pub(crate) fn tell_ready() {
    #[cfg(unix)]
    // Without one there is nobody to tell.
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells the service manager that the agent is ending.
pub(crate) fn tell_stopping() {
    #[cfg(unix)]
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}

/// Tells the service manager that the loop goes round, as often as it wants to know.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<tokio::time::Interval>);

/// The watchdog that the service manager wants, if it does.
pub(crate) fn watchdog() -> Watchdog {
    #[cfg(unix)]
    let wanted: Option<Duration> = sd_notify::watchdog_enabled();
    #[cfg(not(unix))]
    let wanted: Option<Duration> = None;
    Watchdog(wanted.filter(|every| !every.is_zero()).map(|every| tokio::time::interval(every / 3)))
}

impl Watchdog {
    /// Comes back when it has told; never, where nobody wants to know.
    pub(crate) async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
                #[cfg(unix)]
                let _told = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_says_what_is_run() {
        let service = Service {
            profile: ProfileName::parse("home").unwrap(),
            program: "/opt/dark slide/50%/darkslide".into(),
            environment: vec![("DARKSLIDE_HOME".to_owned(), "/srv/a \"b\"".to_owned())],
        };
        insta::assert_snapshot!(service.unit());
        assert_eq!(service.label().to_script_name(), "darkslide-agent-home");
        let context = service.context();
        assert!(context.autostart);
        assert_eq!(context.args, ["--profile", "home", "agent", "run"]);
    }
}
