//! The command line, as clap reads it. Meaning is given to it in `commands`; nothing is done here.

mod agent;
mod backup;

mod sync;

pub(crate) use agent::{Agent, AgentAction, AgentRun, Status, Watch, WatchAction, WatchAdd};
pub(crate) use backup::{Albums, Backup, Import, ImportFrom, Reorganise, Takeout};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
pub(crate) use sync::{Approve, SettlingArguments, Sync, SyncAction, SyncAdd, SyncRun, SyncTrashAction, Way};

/// End-to-end encrypted photo and video backup, on a server that you own.
#[derive(Debug, Parser)]
#[command(name = "darkslide", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) general: General,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The whole command line. The settings of `account` and of `server` may stand before or after their action.
pub(crate) fn command() -> clap::Command {
    use clap::CommandFactory as _;
    let with_settings = |command: clap::Command| command.mut_args(|setting| setting.global(true));
    Arguments::command().mut_subcommand("account", with_settings).mut_subcommand("server", with_settings)
}

/// What the command line says; ends the process with help or an error when it says something else.
pub(crate) fn parse() -> Arguments {
    use clap::FromArgMatches as _;
    Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct General {
    /// Which account on which server, when this computer has several
    #[arg(long, global = true, env = "DARKSLIDE_PROFILE", default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress and no notices
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Trust this certificate authority too (PEM), for a home server that made its own
    #[arg(long, global = true, env = "DARKSLIDE_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server here, make an account and back a folder up, in one go
    Quickstart(Quickstart),
    /// Run a server
    Serve(Serve),
    /// Manage the accounts of a server, on the machine where it runs
    Account(Operator),
    /// Look after a server, on the machine where it runs
    Server(ServerCommand),
    /// Make an account on a server and sign in
    Signup(SignIn),
    /// Sign in to an account
    Login(SignIn),
    /// Sign out; keys and the session are removed from this computer
    Logout,
    /// Show who is signed in, and where
    Whoami,
    /// Set a new password when the old one is forgotten, with the 24 recovery words
    Recover(Recover),
    /// Change the password
    Password(ChangePassword),
    /// Show the 24 recovery words again
    RecoveryPhrase(PasswordQuestion),
    /// List the devices that are signed in, name this one, or sign one out
    Devices(DevicesCommand),
    /// List the devices that are signed in, or sign one out; the same as `devices`
    Sessions(Sessions),
    /// Delete the account with all that it holds
    DeleteAccount(DeleteAccount),
    /// Back pictures and videos up
    Backup(Backup),
    /// Put what was backed up earlier into the albums of its folders; nothing is sent again
    Reorganise(Reorganise),
    /// Take in what another service exported
    Import(Import),
    /// Choose the folders that the agent keeps backed up
    Watch(Watch),
    /// Keep folders in step with the vault, both ways
    Sync(Sync),
    /// Keep watch folders backed up: run the agent, install it as a service, see what it does
    Agent(Agent),
    /// List albums, or the files in the vault
    List(List),
    /// Bring pictures and videos back
    Restore(Restore),
    /// Create, rename, delete and fill albums
    Album(Album),
    /// List, restore or purge what was deleted
    Trash(Trash),
    /// Download, decrypt and compare with what was backed up; or have the server read it back
    Verify(Verify),
    /// List what a file was before it was edited, and bring it back
    Versions(Versions),
    /// List originals on this computer that may go because they are safe, or remove them
    FreeUp(FreeUp),
    /// Show what is safe, what waits for what, and what to do about the rest
    Status(Status),
    /// Say why a picture is or is not backed up
    Explain(Explain),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    ManPages {
        /// Where to
        folder: PathBuf,
    },
}

/// How an account is named and opened without anybody at the keyboard.
#[derive(Clone, Debug, Args)]
pub(crate) struct Credentials {
    /// E-mail address of the account; asked for when absent
    #[arg(long)]
    pub(crate) email: Option<String>,
    #[command(flatten)]
    pub(crate) password: PasswordQuestion,
    /// The one-time code; asked for when it is needed and absent
    #[arg(long)]
    pub(crate) code: Option<String>,
}

/// Where a password comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct PasswordQuestion {
    /// Read the password from the first line of this file (`-` is standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Where the keys rest on this computer.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyStorage {
    /// Where keys rest: the system's keyring, or a file encrypted with a passphrase or with a key file beside it
    #[arg(long, value_enum, default_value_t = KeyPlace::Automatic)]
    pub(crate) keys: KeyPlace,
}

/// The choices of [`KeyStorage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyPlace {
    /// The keyring where there is one, else the key file
    Automatic,
    /// The operating system's keyring
    Keyring,
    /// A file encrypted with a passphrase that is asked for (or read from `DARKSLIDE_PASSPHRASE`)
    Passphrase,
    /// A file encrypted with a key file that only you can read
    KeyFile,
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// The folder (or file) to back up
    pub(crate) path: PathBuf,
    /// Where the server keeps its data [default: ./darkslide-data, or where the last run had it]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the server listens; 0.0.0.0:PORT lets phones in the same network reach it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Ask nothing: generate e-mail address and password, and print them
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Stop after the backup instead of serving until Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) config: ServerConfig,
    /// Print the settings that are in force (flag over environment over file over default) instead of serving
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// The server's settings: flag over environment over file over default.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerConfig {
    /// Read settings from this TOML file
    #[arg(long, env = "DARKSLIDE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: darkslide_server::config::RawConfig,
}

#[derive(Debug, Args)]
pub(crate) struct Operator {
    #[command(flatten)]
    pub(crate) server: ServerConfig,
    #[command(subcommand)]
    pub(crate) action: OperatorAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorAction {
    /// Let an address sign up although sign-up is closed
    Add {
        /// E-mail address
        email: String,
        /// Bytes that it may store, such as 500GB
        #[arg(long)]
        quota: Option<darkslide_server::config::ByteSize>,
    },
    /// List accounts and invitations
    List,
    /// Set how much an account may store
    Quota {
        /// E-mail address
        email: String,
        /// Bytes, such as 500GB; `default` for the server's default
        quota: String,
    },
    /// Sign all of an account's devices out and let none in
    Disable {
        /// E-mail address
        email: String,
    },
    /// Let a disabled account in again
    Enable {
        /// E-mail address
        email: String,
    },
    /// Delete an account with all that it holds
    Remove {
        /// E-mail address
        email: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Make a one-time code for an address, and print it
    Code {
        /// E-mail address
        email: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ServerCommand {
    #[command(flatten)]
    pub(crate) server: ServerConfig,
    #[command(subcommand)]
    pub(crate) action: ServerAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerAction {
    /// Show how much a server holds, and whether all of it was read back whole; the exit status is 1 when something is damaged or
    /// missing
    Status,
}

/// An account on a server, and where its keys shall rest here: for a new one and for one that exists.
#[derive(Debug, Args)]
pub(crate) struct SignIn {
    /// The server, such as `https://photos.example.org`
    pub(crate) server: darkslide_client::api::ServerUrl,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    #[command(flatten)]
    pub(crate) keys: KeyStorage,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The server, such as `https://photos.example.org`
    pub(crate) server: darkslide_client::api::ServerUrl,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Read the 24 words from this file instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: KeyStorage,
}

#[derive(Debug, Args)]
pub(crate) struct ChangePassword {
    #[command(flatten)]
    pub(crate) current: PasswordQuestion,
    /// Read the new password from the first line of this file instead of asking
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Leave the other devices signed in
    #[arg(long)]
    pub(crate) keep_devices: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// Sign this one out
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesCommand {
    #[command(subcommand)]
    pub(crate) action: Option<DevicesAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevicesAction {
    /// List the devices that are signed in
    List,
    /// Give this device a name; only your own devices can read it
    Rename {
        /// Its new name
        name: String,
    },
    /// Sign a device out at once
    Revoke {
        /// Its id, as listed
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Versions {
    /// The file: its number, as `list` shows it, or its name
    pub(crate) file: String,
    /// Bring this version back, by the number that is listed; what the file is now becomes an earlier version
    #[arg(long, value_name = "VERSION")]
    pub(crate) restore: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct FreeUp {
    /// Folders, or single pictures
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Only what was taken longer ago than this: a number and d, w, m or y
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = crate::commands::parse_age)]
    pub(crate) older_than: std::time::Duration,
    /// Favourites too
    #[arg(long)]
    pub(crate) favourites: bool,
    /// Remove them from this computer; they stay in the vault
    #[arg(long)]
    pub(crate) remove: bool,
    /// Do not ask
    #[arg(long, short, requires = "remove")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteAccount {
    #[command(flatten)]
    pub(crate) password: PasswordQuestion,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list
    #[arg(value_enum, default_value_t = ListWhat::Files)]
    pub(crate) what: ListWhat,
    #[command(flatten)]
    pub(crate) filter: FileFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListWhat {
    /// Albums
    Albums,
    /// Pictures and videos
    Files,
}

/// Which files.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FileFilter {
    /// Only those in this album
    #[arg(long, value_name = "NAME")]
    pub(crate) album: Option<String>,
    /// Only those taken on this day or later (YYYY-MM-DD)
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<String>,
    /// Only those taken before this day (YYYY-MM-DD)
    #[arg(long, value_name = "DATE")]
    pub(crate) before: Option<String>,
    /// Only this kind
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
    /// Only those with this text in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Pictures
    Image,
    /// Videos
    Video,
    /// Live Photos
    Live,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Where to
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: PathBuf,
    /// Only these files, by the number that `list` shows
    pub(crate) files: Vec<i64>,
    #[command(flatten)]
    pub(crate) filter: FileFilter,
}

#[derive(Debug, Args)]
pub(crate) struct Album {
    #[command(subcommand)]
    pub(crate) action: AlbumAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlbumAction {
    /// List albums
    List,
    /// Make an empty album
    Create {
        /// Its name
        name: String,
    },
    /// Give an album another name
    Rename {
        /// Its name or number
        album: String,
        /// The new name
        name: String,
    },
    /// Delete an album; its files stay in the vault unless told otherwise
    Delete {
        /// Its name or number
        album: String,
        /// Trash its files too
        #[arg(long)]
        trash_files: bool,
    },
    /// Put files that are in the vault into an album
    Add {
        /// Its name or number
        album: String,
        /// Files, by the number that `list` shows
        #[arg(required = true)]
        files: Vec<i64>,
    },
    /// Take files out of an album; they stay in the vault
    Remove {
        /// Its name or number
        album: String,
        /// Files, by the number that `list` shows
        #[arg(required = true)]
        files: Vec<i64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Trash {
    #[command(subcommand)]
    pub(crate) action: TrashAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashAction {
    /// List what is in the trash, and until when
    List,
    /// Move files from the vault into the trash, for 30 days
    Add {
        /// Files, by the number that `list` shows
        #[arg(required = true)]
        files: Vec<i64>,
    },
    /// Take files out of the trash, back into the album that they were in
    Restore {
        /// Files, by the number that `trash list` shows; none means all
        files: Vec<i64>,
        /// Into this album instead
        #[arg(long, value_name = "NAME")]
        album: Option<String>,
    },
    /// Purge everything in the trash now: it cannot be brought back
    Empty {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only so many files, chosen at random
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Only those in this album
    #[arg(long, value_name = "NAME", conflicts_with = "sample")]
    pub(crate) album: Option<String>,
    /// Have the server read its disk and compare, instead of downloading: fast, and the server's word
    #[arg(long)]
    pub(crate) server: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A picture or video on this computer, or the number of a file in the vault
    #[arg(required = true, value_name = "PATH|NUMBER")]
    pub(crate) paths: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
