//! `darkslide account`: what the operator of a server does, on the machine where its data is. The server may be running.

use super::serve::{self, settings};
use crate::Ending;
use crate::arguments::{Operator, OperatorAction};
use crate::output::{Output, bytes, date, table};
use crate::questions;
use anyhow::Result;
use darkslide_server::config::{ByteSize, Config};
use darkslide_server::operator::{self, ListedAccount, Standing};
use darkslide_server::store::Store;
use serde_json::json;

/// Opens the database that the settings name and does one thing to it.
pub(crate) async fn run(output: Output, arguments: Operator) -> Result<Ending> {
    let config = settings(&arguments.server)?;
    serve::expect_server(&config)?;
    let store = Store::open(config.effective_database_url().expose()).await?;
    let done = act(output, &store, &config, arguments.action).await;
    store.close().await;
    done.map(|()| Ending::Done)
}

async fn act(output: Output, store: &Store, config: &Config, action: OperatorAction) -> Result<()> {
    match action {
        OperatorAction::Add { email, quota } => {
            operator::add(store, &email, quota.map(|size| size.0)).await?;
            output.answer(&json!({ "invited": email }), |_| format!("{email} may sign up now"))
        }
        OperatorAction::List => {
            let accounts = operator::list(store).await?;
            output.answer(&json!({ "accounts": accounts }), |_| list(&accounts, config.default_quota))
        }
        OperatorAction::Quota { email, quota } => {
            let size = if quota == "default" { None } else { Some(quota.parse::<ByteSize>()?.0) };
            operator::set_quota(store, &email, size).await?;
            output.answer(&json!({ "email": email, "quota": size }), |_| {
                format!("{email} may store {quota} now")
            })
        }
        OperatorAction::Disable { email } => {
            operator::disable(store, &email).await?;
            output.answer(&json!({ "disabled": email }), |_| {
                format!("{email} is shut out; nothing was deleted")
            })
        }
        OperatorAction::Enable { email } => {
            operator::enable(store, &email).await?;
            output.answer(&json!({ "enabled": email }), |_| format!("{email} may sign in again"))
        }
        OperatorAction::Remove { email, yes } => {
            questions::confirm(
                yes,
                &format!("Delete the account {email} with all that it holds, for ever?"),
            )?;
            operator::remove(store, &email).await?;
            output.answer(&json!({ "removed": email }), |_| format!("{email} is removed"))
        }
        OperatorAction::Code { email } => {
            let code = operator::code(store, &email).await?;
            output.answer(&json!({ "email": email, "code": code.as_str() }), |_| code.to_string())
        }
    }
}

fn list(accounts: &[ListedAccount], default_quota: u64) -> String {
    if accounts.is_empty() {
        return "There is no account yet: the first sign-up needs no invitation.".to_owned();
    }
    let mut rows =
        vec![["address", "standing", "files", "stored", "quota", "last used"].map(str::to_owned).to_vec()];
    rows.extend(accounts.iter().map(|account| row(account, default_quota)));
    table(&rows)
}

fn row(account: &ListedAccount, default_quota: u64) -> Vec<String> {
    let standing = match account.standing {
        Standing::Invited => "invited",
        Standing::Incomplete => "signing up",
        Standing::Active => "active",
        Standing::Disabled => "disabled",
    };
    let quota = account.quota.map_or(default_quota, |quota| u64::try_from(quota).unwrap_or(0));
    vec![
        account.email.clone(),
        standing.to_owned(),
        account.files.to_string(),
        bytes(u64::try_from(account.usage).unwrap_or(0)),
        if quota >= darkslide_server::config::QUOTA_UNLIMITED { "no limit".to_owned() } else { bytes(quota) },
        account.last_used_at.map_or_else(|| "never".to_owned(), date),
    ]
}
