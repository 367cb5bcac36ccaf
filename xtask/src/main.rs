#![doc = include_str!("../README.md")]

mod agent;
mod api;
mod bench;
mod ci;
mod fuzz;
mod model;
mod mutants;
mod postgres;
mod rows;
mod setup;
mod shell;
mod tidy;
mod wall;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that is checked, in order; installs what it needs
    Ci,
    /// Install what the tests need
    Setup,
    /// The tests alone, on SQLite and on a private PostgreSQL
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Calls made up from the API's document, on the real server: every answer must be as it says
    Api,
    /// House rules that no compiler knows
    Tidy,
    /// Change the pure decisions of backups and sync folders in every way: a test must notice each
    Mutants {
        /// Passed on to cargo-mutants, such as `--shard 0/8`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Prove the decisions of a sync folder over many random histories, on all cores
    Model(model::Arguments),
    /// Write which tests show which promised behaviour into docs/backup-rules.md
    Rows,
    /// Prove that the server cannot come to depend on the crypto crate
    Wall,
    /// Ratios against peers and floors, measured in one run
    Bench(bench::Arguments),
    /// A watch folder on a hard day: many files arrive, the agent is killed, files are renamed and moved
    Agent(agent::Arguments),
    /// Build every fuzz target and run each for some seconds
    Fuzz {
        /// Seconds a target
        #[arg(long, default_value_t = 15)]
        seconds: u32,
    },
}

fn main() -> std::process::ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: {}",
                error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
            );
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Ci => ci::run(),
        Task::Setup => setup::run().map(drop),
        Task::Test { arguments } => ci::test(&setup::run()?, &arguments),
        Task::Api => api::run(&setup::run()?),
        Task::Tidy => tidy::run(),
        Task::Mutants { arguments } => mutants::run(&arguments),
        Task::Model(arguments) => model::run(&arguments),
        Task::Rows => rows::write(&tidy::tracked()?),
        Task::Wall => wall::run(&setup::run()?),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Agent(arguments) => agent::run(&arguments),
        Task::Fuzz { seconds } => fuzz::run(&setup::run()?, seconds),
    }
}
