//! Talking to the running agent: a socket in the profile's folder that only its owner can reach, and one JSON value a line.
//!
//! ```text
//! → {"do":"status"}                     ← {"ok":{…status…}}
//! → {"do":"follow"}                     ← {"ok":{…}} now and at every change, until the line is closed
//! → {"do":"pause" | "resume" | "scan" | "reload"}   ← {"ok":null}
//! → {"do":"stop"}                       the line is closed when the agent has ended
//! → {"do":"yield"}                      ← {"ok":null} when the agent's hands are off; it goes on when the line is closed
//! ```
//!
//! The socket has mode 0600 in a folder of mode 0700, and the caller's user id is asked of the system too: whoever has another
//! one is hung up on. No secret ever crosses it. A folder whose path is longer than a socket's may be is reached through a descriptor of it, where the
//! system has that (Linux); elsewhere an agent there runs without being talked to.

#[cfg(not(unix))]
mod elsewhere;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::status::AgentStatus;

/// The longest request.
const REQUEST_BYTES_MAX: u64 = 1024;

/// What the agent is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub(crate) enum Request {
    /// Say how things stand.
    Status,
    /// The same again and again.
    Follow,
    /// Do nothing until `Resume`.
    Pause,
    /// Go on.
    Resume,
    /// Look at everything now.
    Scan,
    /// Read the list of watch folders again.
    Reload,
    /// Leave the profile to the caller for as long as it holds the line.
    Yield,
    /// The same for the agent's own passes over sync folders: nobody from outside asks for it.
    #[serde(skip)]
    Turn,
    /// End.
    Stop,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(String),
}

/// A request on its way to the agent.
#[derive(Debug)]
pub(crate) struct Command {
    /// What.
    pub(crate) request: Request,
    /// The caller's process, where the system tells.
    pub(crate) caller: Option<u32>,
    /// Ends when the caller hangs up.
    pub(crate) line: CancellationToken,
    /// To be told when it is done.
    pub(crate) done: oneshot::Sender<()>,
}

#[cfg(unix)]
pub(crate) use on_unix::{Door, Line};

#[cfg(unix)]
mod on_unix {
    use super::{AgentStatus, Answer, Command, REQUEST_BYTES_MAX, Request};
    use anyhow::{Context as _, Result, bail};
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use std::fs;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::{mpsc, oneshot, watch};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    /// The longest path that a socket may have, on every system that we know of.
    const PATH_BYTES_MAX: usize = 100;

    const SOCKET: &str = "agent.sock";

    /// How long an agent may be silent when it is called: it answers at once, whatever it does, unless its machine has no breath left.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// What the system is told in place of the socket's path.
    struct Address {
        path: PathBuf,
        /// Kept open for as long as the path goes through it.
        through: Option<fs::File>,
    }

    impl Address {
        fn of(folder: &Path) -> io::Result<Self> {
            let path = folder.join(SOCKET);
            if path.as_os_str().len() <= PATH_BYTES_MAX {
                return Ok(Self { path, through: None });
            }
            let folder = fs::File::open(folder)?;
            let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
            Ok(Self { path, through: Some(folder) })
        }
    }

    /// The agent's end. The socket is gone when this is.
    #[derive(Debug)]
    pub(crate) struct Door {
        /// None where no socket can be.
        listener: Option<UnixListener>,
        path: PathBuf,
        owner: u32,
    }

    impl Door {
        /// Opens the socket. A socket of before is replaced: whoever calls this holds the agent's lock.
        pub(crate) fn open(folder: &Path) -> Result<Self> {
            let path = folder.join(SOCKET);
            let failed = || format!("cannot open {}", path.display());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(failed);
                }
                _ => {}
            }
            let owner = rustix::process::geteuid().as_raw();
            let address = Address::of(folder).with_context(failed)?;
            let listener = match UnixListener::bind(&address.path) {
                Err(_) if address.through.is_some() => return Ok(Self { listener: None, path, owner }),
                listener => listener.with_context(failed)?,
            };
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).with_context(failed)?;
            Ok(Self { listener: Some(listener), path, owner })
        }

        /// Whether nobody can come in, because the folder's path is too long for a socket here.
        pub(crate) fn is_walled_up(&self) -> bool {
            self.listener.is_none()
        }

        /// Serves callers until it is dropped.
        pub(crate) async fn serve(
            self,
            status: watch::Receiver<AgentStatus>,
            commands: mpsc::Sender<Command>,
        ) {
            let Some(listener) = &self.listener else { return std::future::pending().await };
            let mut callers = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((caller, _)) if is_owner(&caller, self.owner) => {
                            callers.spawn(attend(caller, status.clone(), commands.clone()));
                        }
                        Ok(_) => {}
                        // Out of descriptors, most likely: others hang up sooner or later.
                        Err(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
                    },
                    Some(_) = callers.join_next() => {}
                }
            }
        }
    }

    impl Drop for Door {
        fn drop(&mut self) {
            let _gone = fs::remove_file(&self.path);
        }
    }

    /// Asked of the system, not of the caller.
    fn is_owner(caller: &UnixStream, owner: u32) -> bool {
        caller.peer_cred().is_ok_and(|credentials| credentials.uid() == owner)
    }

    /// Serves one caller until it hangs up.
    async fn attend(
        caller: UnixStream,
        status: watch::Receiver<AgentStatus>,
        commands: mpsc::Sender<Command>,
    ) {
        let process = caller.peer_cred().ok().and_then(|credentials| credentials.pid());
        let process = process.and_then(|process| u32::try_from(process).ok());
        let (reader, mut writer) = caller.into_split();
        let mut lines = BufReader::new(reader);
        let line = CancellationToken::new();
        let _hang_up = line.clone().drop_guard();
        loop {
            let mut text = String::new();
            match (&mut lines).take(REQUEST_BYTES_MAX).read_line(&mut text).await {
                Ok(read) if read > 0 && text.ends_with('\n') => {}
                _ => return,
            }
            let told = match serde_json::from_str(&text) {
                Err(error) => {
                    tell(&mut writer, &Answer::<()>::Error(format!("not understood: {error}"))).await
                }
                Ok(Request::Status) => {
                    let now = status.borrow().clone();
                    tell(&mut writer, &Answer::Ok(now)).await
                }
                Ok(Request::Follow) => follow(&mut lines, &mut writer, status.clone()).await,
                Ok(request) => {
                    let (done, is_done) = oneshot::channel();
                    let sent =
                        commands.send(Command { request, caller: process, line: line.clone(), done }).await;
                    let answer = match (sent, is_done.await) {
                        (Ok(()), Ok(())) => Answer::Ok(()),
                        _ => Answer::Error("the agent is ending".to_owned()),
                    };
                    tell(&mut writer, &answer).await
                }
            };
            if told.is_err() {
                return;
            }
        }
    }

    /// Tells every change. Whoever follows says nothing more, so that the end of what it says is the end of the line: an agent at rest may have
    /// nothing to tell for hours.
    async fn follow(
        lines: &mut BufReader<OwnedReadHalf>,
        writer: &mut OwnedWriteHalf,
        mut status: watch::Receiver<AgentStatus>,
    ) -> io::Result<()> {
        loop {
            let now = status.borrow_and_update().clone();
            tell(writer, &Answer::Ok(now)).await?;
            tokio::select! {
                changed = status.changed() => changed.map_err(|_| io::ErrorKind::BrokenPipe)?,
                _ = lines.read_u8() => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    async fn tell<T: Serialize>(writer: &mut OwnedWriteHalf, answer: &Answer<T>) -> io::Result<()> {
        let mut text = serde_json::to_vec(answer)?;
        text.push(b'\n');
        writer.write_all(&text).await
    }

    /// What is said of an agent that is there and says nothing.
    fn silent(process: Option<i32>) -> String {
        let Some(process) = process else {
            return "the agent does not answer: it hangs, or was suspended; end it and start it again"
                .to_owned();
        };
        format!(
            "the agent (process {process}) does not answer: it hangs, or was suspended. `kill -CONT {process}` wakes it up; if that does not help, \
             `kill -KILL {process}` ends it without harm, and `darkslide agent run` starts it again"
        )
    }

    /// A caller's end.
    #[derive(Debug)]
    pub(crate) struct Line {
        reader: BufReader<OwnedReadHalf>,
        writer: OwnedWriteHalf,
        /// What has come of a line that somebody stopped waiting for.
        partly: Vec<u8>,
    }

    impl Line {
        /// Calls the agent of the profile in this folder; none when no agent is running. Fails where one is that does not answer.
        pub(crate) async fn call(folder: &Path) -> Result<Option<Self>> {
            Self::call_within(folder, PATIENCE).await
        }

        async fn call_within(folder: &Path, patience: Duration) -> Result<Option<Self>> {
            let connecting = async {
                let address = Address::of(folder)?;
                let connected = UnixStream::connect(&address.path).await;
                drop(address.through);
                connected
            };
            match connecting.await {
                Ok(stream) => {
                    let credentials = stream.peer_cred().ok();
                    let process = credentials.as_ref().and_then(tokio::net::unix::UCred::pid);
                    let (owner, own) =
                        (credentials.map(|its| its.uid()), rustix::process::geteuid().as_raw());
                    if let Some(owner) = owner.filter(|owner| *owner != own) {
                        bail!(
                            "the agent belongs to the user with the number {owner}, and listens to nobody else; this is the user with the number {own}"
                        );
                    }
                    let (reader, writer) = stream.into_split();
                    let mut line = Self { reader: BufReader::new(reader), writer, partly: Vec::new() };
                    if tokio::time::timeout(patience, line.hear()).await.is_err() {
                        bail!(silent(process));
                    }
                    Ok(Some(line))
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error).context("the agent cannot be reached"),
            }
        }

        /// Leaves a request for an agent that does not answer: it does that when it goes on.
        pub(crate) async fn leave(folder: &Path, request: Request) -> Result<()> {
            let address = Address::of(folder)?;
            let mut stream = UnixStream::connect(&address.path).await?;
            if !is_owner(&stream, rustix::process::geteuid().as_raw()) {
                bail!("it listens to nobody else");
            }
            let mut text = serde_json::to_vec(&request)?;
            text.push(b'\n');
            Ok(stream.write_all(&text).await?)
        }

        /// Waits for a word of it, whatever that is: an agent of another version may still be asked to end.
        async fn hear(&mut self) -> Result<()> {
            self.send(Request::Status).await?;
            self.reader.read_line(&mut String::new()).await?;
            Ok(())
        }

        /// Has something done.
        pub(crate) async fn ask(&mut self, request: Request) -> Result<()> {
            self.send(request).await?;
            self.answer().await
        }

        /// Ends the agent, and comes back when it has hung up.
        pub(crate) async fn stop(mut self) -> Result<()> {
            self.send(Request::Stop).await?;
            let mut last_words = Vec::new();
            self.reader.read_to_end(&mut last_words).await.context("the agent hung up")?;
            Ok(())
        }

        /// How things stand with the agent of the profile in this folder; none when no agent is running.
        pub(crate) async fn status_of(folder: &Path) -> Result<Option<AgentStatus>> {
            Self::status_within(folder, PATIENCE).await
        }

        /// The same for whoever has something to say without it.
        pub(crate) async fn status_within(folder: &Path, patience: Duration) -> Result<Option<AgentStatus>> {
            match Self::call_within(folder, patience).await? {
                Some(mut line) => line.status().await.map(Some),
                None => Ok(None),
            }
        }

        /// How things stand.
        pub(crate) async fn status(&mut self) -> Result<AgentStatus> {
            self.send(Request::Status).await?;
            self.answer().await
        }

        /// Asks to be told; [`news`](Self::news) has it.
        pub(crate) async fn follow(&mut self) -> Result<()> {
            self.send(Request::Follow).await
        }

        /// The next change.
        pub(crate) async fn news(&mut self) -> Result<AgentStatus> {
            self.answer().await
        }

        async fn send(&mut self, request: Request) -> Result<()> {
            let mut text = serde_json::to_vec(&request)?;
            text.push(b'\n');
            self.writer.write_all(&text).await.context("the agent hung up")
        }

        async fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
            self.reader.read_until(b'\n', &mut self.partly).await.context("the agent hung up")?;
            if self.partly.last() != Some(&b'\n') {
                bail!("the agent hung up");
            }
            let line = std::mem::take(&mut self.partly);
            let answer: Answer<T> = serde_json::from_slice(&line)
                .context("the running agent is of another version; start it again")?;
            match answer {
                Answer::Ok(value) => Ok(value),
                Answer::Error(reason) => bail!("the agent says: {reason}"),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::agent::status::State;

        struct Agent {
            folder: tempfile::TempDir,
            status: watch::Sender<AgentStatus>,
            commands: mpsc::Receiver<Command>,
            _serving: JoinSet<()>,
        }

        fn agent(owner: Option<u32>) -> Agent {
            let folder = tempfile::tempdir().unwrap();
            let mut door = Door::open(folder.path()).unwrap();
            door.owner = owner.unwrap_or(door.owner);
            let (status, receiver) = watch::channel(AgentStatus { process: 7, ..AgentStatus::default() });
            let (sender, commands) = mpsc::channel(8);
            let mut serving = JoinSet::new();
            serving.spawn(door.serve(receiver, sender));
            Agent { folder, status, commands, _serving: serving }
        }

        async fn line(agent: &Agent) -> Line {
            Line::call(agent.folder.path()).await.unwrap().unwrap()
        }

        #[tokio::test]
        async fn status_is_told_and_followed() {
            let agent = agent(None);
            let mut caller = line(&agent).await;
            assert_eq!(caller.status().await.unwrap().process, 7);
            caller.follow().await.unwrap();
            assert_eq!(caller.news().await.unwrap().state, State::Idle);
            agent.status.send_modify(|status| status.state = State::BackingUp);
            assert_eq!(caller.news().await.unwrap().state, State::BackingUp);
        }

        /// Once, each kept a descriptor until the next change, and an agent at rest ran out of them.
        #[tokio::test]
        async fn whoever_follows_and_hangs_up_is_let_go_of_although_nothing_changes() {
            let agent = agent(None);
            let followed = async {
                let mut caller = line(&agent).await;
                caller.follow().await.unwrap();
                caller.news().await.unwrap();
                assert!(agent.status.receiver_count() > 1);
                drop(caller);
                // The door has one.
                while agent.status.receiver_count() > 1 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), followed).await.unwrap();
        }

        #[tokio::test]
        async fn commands_are_done_before_they_are_answered_and_a_line_is_a_lease() {
            let mut agent = agent(None);
            let mut caller = line(&agent).await;
            let asking = tokio::spawn(async move {
                caller.ask(Request::Yield).await.unwrap();
                caller
            });
            let command = agent.commands.recv().await.unwrap();
            assert_eq!((command.request, command.caller), (Request::Yield, Some(std::process::id())));
            assert!(!asking.is_finished() && !command.line.is_cancelled());
            command.done.send(()).unwrap();
            drop(asking.await.unwrap());
            command.line.cancelled().await;
        }

        #[tokio::test]
        async fn strangers_are_hung_up_on() {
            let stranger = rustix::process::geteuid().as_raw() + 1;
            let agent = agent(Some(stranger));
            let mut caller = line(&agent).await;
            assert!(caller.status().await.unwrap_err().to_string().contains("hung up"));
            let mode = fs::metadata(agent.folder.path().join("agent.sock")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        #[tokio::test]
        async fn nonsense_is_answered_and_endless_lines_are_not() {
            let agent = agent(None);
            let mut caller = line(&agent).await;
            caller.writer.write_all(b"{\"do\":\"dance\"}\n").await.unwrap();
            let error = caller.answer::<AgentStatus>().await.unwrap_err().to_string();
            assert!(error.contains("not understood"), "{error}");
            caller.status().await.unwrap();
            caller.writer.write_all(&[b'x'; 5000]).await.unwrap();
            assert!(caller.answer::<()>().await.is_err());
        }

        #[tokio::test]
        async fn without_an_agent_nobody_answers() {
            let folder = tempfile::tempdir().unwrap();
            assert!(Line::call(folder.path()).await.unwrap().is_none());
            drop(Door::open(folder.path()).unwrap());
            assert!(Line::call(folder.path()).await.unwrap().is_none());
        }

        /// One that was suspended is connected to by the system all the same.
        #[tokio::test]
        async fn an_agent_that_hangs_is_not_waited_for() {
            let folder = tempfile::tempdir().unwrap();
            let _door = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
            let calling = Line::call_within(folder.path(), Duration::from_millis(20));
            let error = calling.await.unwrap_err().to_string();
            assert!(error.contains("does not answer") && error.contains("kill -CONT"), "{error}");
        }

        /// What was left for one that hung is done when it goes on, by whoever is there then.
        #[tokio::test]
        async fn what_is_left_for_an_agent_is_done() {
            let mut agent = agent(None);
            Line::leave(agent.folder.path(), Request::Reload).await.unwrap();
            assert_eq!(agent.commands.recv().await.unwrap().request, Request::Reload);
            let nobody = tempfile::tempdir().unwrap();
            assert!(Line::leave(nobody.path(), Request::Reload).await.is_err());
        }

        #[cfg(target_os = "linux")]
        #[tokio::test]
        async fn a_folder_with_a_long_path_has_a_socket_too() {
            let folder = tempfile::tempdir().unwrap();
            let long = folder.path().join("x".repeat(120));
            assert!(Line::call(&long).await.unwrap().is_none(), "there is no such folder");
            fs::create_dir(&long).unwrap();
            assert!(Line::call(&long).await.unwrap().is_none());
            let door = Door::open(&long).unwrap();
            assert!(door.listener.is_some());
            assert_eq!(fs::metadata(&door.path).unwrap().permissions().mode() & 0o777, 0o600);
            let (_status, receiver) = watch::channel(AgentStatus { process: 9, ..AgentStatus::default() });
            let mut serving = JoinSet::new();
            serving.spawn(door.serve(receiver, mpsc::channel(1).0));
            assert_eq!(Line::status_of(&long).await.unwrap().unwrap().process, 9);
            serving.shutdown().await;
            assert!(Line::call(&long).await.unwrap().is_none());
            assert!(!long.join(SOCKET).exists());
        }
    }
}

/// Windows has no such sockets in the runtime that we use; a named pipe with the same lines is to come. Until then an agent there
/// runs without being talked to.
#[cfg(not(unix))]
pub(crate) use elsewhere::{Door, Line};
