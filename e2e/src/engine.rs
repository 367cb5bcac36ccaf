//! The two database engines, so that one test plays on both.
//!
//! It starts no PostgreSQL of its own: `DARKSLIDE_TEST_POSTGRES` names the administrator's URL of a private cluster.

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Executor as _};
use std::path::Path;
use uuid::Uuid;

/// Where the server under test keeps its rows.
#[derive(Clone, Debug)]
pub enum Engine {
    /// A file in its data folder.
    Sqlite,
    /// A database of its own in the cluster that this administrator's URL names.
    Postgres(String),
}

/// The engines to test on. Without a cluster only SQLite, which is said on the terminal; in CI that is a failure.
#[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
pub fn engines() -> Vec<Engine> {
    match std::env::var("DARKSLIDE_TEST_POSTGRES") {
        Ok(url) if !url.is_empty() => vec![Engine::Sqlite, Engine::Postgres(url)],
        _ if std::env::var_os("CI").is_some() => panic!("CI needs DARKSLIDE_TEST_POSTGRES"),
        _ => {
            eprintln!("DARKSLIDE_TEST_POSTGRES is not set: played on SQLite only");
            vec![Engine::Sqlite]
        }
    }
}

impl Engine {
    /// The URL of a fresh database; `data_dir` exists.
    pub async fn create_database(&self, data_dir: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite:{}", data_dir.join("darkslide.db").display()),
            Self::Postgres(administrator) => {
                let name = format!("e2e_{}", Uuid::new_v4().simple());
                let pool = open(administrator).await;
                pool.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
                pool.close().await;
                let mut url = url::Url::parse(administrator).unwrap();
                url.set_path(&name);
                url.to_string()
            }
        }
    }
}

/// A connection beside the server's own, to look at its tables.
pub async fn open(url: &str) -> AnyPool {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}
