//! One-time codes on their way to people: by SMTP, or onto the operator's terminal when no mail server is set up.
//!
//! A code never enters a log. On the terminal it is a line of its own on standard error, which the log is not.

use crate::config::MailSettings;
use lettre::message::{Mailbox, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::fmt;
use std::time::Duration;

/// How long a mail server may take for one mail.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a mail did not go out, or never could.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings are wrong. The source names what, and not the URL, which holds a password.
    #[error("smtp_url is not a usable SMTP URL")]
    Url(#[source] lettre::transport::smtp::Error),
    /// The settings are wrong.
    #[error("smtp_from is not a mail address")]
    From(#[source] lettre::address::AddressError),
    /// The recipient's address is none that mail can go to.
    #[error("the recipient's address is not a mail address")]
    Recipient(#[source] lettre::address::AddressError),
    /// The mail could not be put together.
    #[error("the mail could not be composed")]
    Compose(#[source] lettre::error::Error),
    /// The mail server refused it, or was away.
    #[error("the mail server did not take the mail")]
    Send(#[source] lettre::transport::smtp::Error),
}

impl MailError {
    /// Whether the same mail may go out later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Send(error) => !error.is_permanent(),
            _ => false,
        }
    }
}

/// The way out for codes.
pub enum Mail {
    /// Onto the terminal.
    Terminal,
    /// By a mail server.
    Smtp {
        /// Pooled connections.
        transport: Box<AsyncSmtpTransport<Tokio1Executor>>,
        /// The sender.
        from: Mailbox,
    },
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminal => "Terminal",
            Self::Smtp { .. } => "Smtp",
        })
    }
}

impl Mail {
    /// From the settings; does not connect yet.
    pub fn new(settings: Option<&MailSettings>) -> Result<Self, MailError> {
        let Some(settings) = settings else { return Ok(Self::Terminal) };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.url.expose())
            .map_err(MailError::Url)?
            .timeout(Some(SEND_TIMEOUT))
            .build();
        Ok(Self::Smtp {
            transport: Box::new(transport),
            from: settings.from.parse().map_err(MailError::From)?,
        })
    }

    /// Sends a code to the address that asked for it.
    pub async fn send_code(&self, email: &str, code: &str) -> Result<(), MailError> {
        match self {
            Self::Terminal => {
                print_code(email, code);
                Ok(())
            }
            Self::Smtp { transport, from } => {
                let mail = compose(from, email, code)?;
                transport.send(mail).await.map(|_| ()).map_err(MailError::Send)
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the operator's terminal is where codes go without a mail server")]
fn print_code(email: &str, code: &str) {
    // Control characters in an address must not be able to paint the operator's terminal.
    eprintln!("one-time code for {}: {code}", email.escape_debug());
}

fn compose(from: &Mailbox, email: &str, code: &str) -> Result<Message, MailError> {
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, email.parse().map_err(MailError::Recipient)?))
        .subject(format!("{code} is your code"))
        .header(ContentType::TEXT_PLAIN)
        .body(format!(
            "Your code is {code}\n\nIt is good for one hour, once. If you did not ask for it, ignore this mail: \
             nothing has happened.\n"
        ))
        .map_err(MailError::Compose)
}
