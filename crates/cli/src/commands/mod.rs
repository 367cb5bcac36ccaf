//! One file a group of commands; this one only says which is which.

mod account;
mod agent;
mod asked;
pub(crate) mod backup;
mod explain;
mod free_up;
mod import;
mod left;
mod operator;
mod quickstart;
mod restore;
mod serve;
mod server;
mod shell;
mod status;
pub(crate) mod sync;
mod vault;
mod versions;
mod watch;

use crate::Ending;
use crate::arguments::{Arguments, Command};
use crate::output::Output;
use anyhow::Result;

pub(crate) use free_up::parse_age;

/// Does what the command line says.
pub(crate) async fn run(output: Output, arguments: Arguments) -> Result<Ending> {
    let general = &arguments.general;
    match arguments.command {
        Command::Quickstart(arguments) => quickstart::run(output, general, arguments).await,
        Command::Serve(arguments) => serve::run(output, arguments).await.map(|()| Ending::Done),
        Command::Account(arguments) => operator::run(output, arguments).await,
        Command::Server(arguments) => server::run(output, arguments).await,
        Command::Signup(arguments) => account::sign_up(output, general, arguments).await,
        Command::Login(arguments) => account::log_in(output, general, arguments).await,
        Command::Logout => account::log_out(output, general).await,
        Command::Whoami => account::who_am_i(output, general).await,
        Command::Recover(arguments) => account::recover(output, general, arguments).await,
        Command::Password(arguments) => account::password(output, general, arguments).await,
        Command::RecoveryPhrase(question) => {
            account::recovery_phrase(output, general, question.password_file.as_deref()).await
        }
        Command::Devices(arguments) => account::devices(output, general, arguments).await,
        Command::Sessions(arguments) => account::sessions(output, general, arguments).await,
        Command::DeleteAccount(arguments) => account::delete(output, general, arguments).await,
        Command::Backup(arguments) => backup::run(output, general, arguments).await,
        Command::Reorganise(arguments) => backup::reorganise(output, general, arguments).await,
        Command::Import(arguments) => import::run(output, general, arguments).await,
        Command::Watch(arguments) => watch::run(output, general, arguments.action).await,
        Command::Sync(arguments) => sync::run(output, general, arguments.action).await,
        Command::Agent(arguments) => agent::run(output, general, arguments.action).await,
        Command::List(arguments) => vault::list(output, general, arguments).await,
        Command::Restore(arguments) => restore::run(output, general, arguments).await,
        Command::Album(arguments) => vault::album(output, general, arguments.action).await,
        Command::Trash(arguments) => vault::trash(output, general, arguments.action).await,
        Command::Verify(arguments) => restore::check(output, general, arguments).await,
        Command::Versions(arguments) => versions::run(output, general, arguments).await,
        Command::FreeUp(arguments) => free_up::run(output, general, arguments).await,
        Command::Status(arguments) => status::run(output, general, arguments).await,
        Command::Explain(arguments) => explain::run(output, general, arguments).await,
        Command::Completions { shell } => shell::completions(output, shell),
        Command::ManPages { folder } => shell::manual_pages(output, &folder),
    }
}
