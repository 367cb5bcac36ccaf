//! Questions to the person at the terminal, and what answers them when there is nobody: files and flags.
//!
//! A question without a terminal is an error that names the flag, never a hang.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use zeroize::Zeroizing;

/// A secret that somebody typed.
pub(crate) type Secret = Zeroizing<String>;

/// The shortest password that is taken for a new account.
const PASSWORD_CHARACTERS_MIN: usize = 8;

/// An answer that is given, or asked for.
pub(crate) fn text(given: Option<&str>, question: &str, flag: &str) -> Result<String> {
    if let Some(answer) = given {
        return Ok(answer.to_owned());
    }
    at_terminal(question, flag)?;
    Ok(dialoguer::Input::<String>::new().with_prompt(question).interact_text()?)
}

/// A password that exists: from a file, or typed once.
pub(crate) fn password(file: Option<&Path>, question: &str, flag: &str) -> Result<Secret> {
    if let Some(file) = file {
        return first_line(file);
    }
    at_terminal(question, flag)?;
    Ok(Zeroizing::new(dialoguer::Password::new().with_prompt(question).interact()?))
}

/// A password to be: from a file, or typed twice, and again while it is too short.
pub(crate) fn new_password(file: Option<&Path>, question: &str, flag: &str) -> Result<Secret> {
    if let Some(file) = file {
        let password = first_line(file)?;
        return long_enough(&password).map(|()| password).map_err(anyhow::Error::msg);
    }
    at_terminal(question, flag)?;
    let prompt = dialoguer::Password::new()
        .with_prompt(question)
        .with_confirmation("Again", "The two are not the same. Once more, please.")
        .validate_with(|password: &String| long_enough(password));
    Ok(Zeroizing::new(prompt.interact()?))
}

fn long_enough(password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(format!(
            "the password is too short: at least {PASSWORD_CHARACTERS_MIN} characters, better a sentence"
        ));
    }
    Ok(())
}

/// Yes or no, before something that cannot be undone.
pub(crate) fn confirm(given: bool, question: &str) -> Result<()> {
    if given {
        return Ok(());
    }
    at_terminal(question, "--yes")?;
    if dialoguer::Confirm::new().with_prompt(question).default(false).interact()? {
        Ok(())
    } else {
        bail!("nothing was changed")
    }
}

/// The first line of a file, or of standard input for `-`.
pub(crate) fn first_line(file: &Path) -> Result<Secret> {
    let mut line = Zeroizing::new(String::new());
    if file == Path::new("-") {
        std::io::stdin().lock().read_line(&mut line)?;
    } else {
        let opened =
            std::fs::File::open(file).with_context(|| format!("could not read {}", file.display()))?;
        std::io::BufReader::new(opened).read_line(&mut line)?;
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}

fn at_terminal(question: &str, flag: &str) -> Result<()> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    bail!("cannot ask “{question}” without a terminal; use {flag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_ends_at_its_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  correct horse \r\nsecond\n").unwrap();
        assert_eq!(first_line(file.path()).unwrap().as_str(), "  correct horse ");
        assert!(new_password(Some(Path::new("/nonexistent")), "?", "--x").is_err());
        std::fs::write(file.path(), "1234567\n").unwrap();
        let error = new_password(Some(file.path()), "?", "--x").unwrap_err().to_string();
        assert!(error.contains("at least 8"), "{error}");
    }
}
