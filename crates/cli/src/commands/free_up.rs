//! `darkslide free-up`: which originals on this device may go because they are safe, and removing them when their owner says so.

use crate::Ending;
use crate::arguments::{FreeUp, General};
use crate::output::{Output, bytes, counted};
use crate::progress::Progress;
use crate::{profile, questions};
use anyhow::{Context as _, Result, bail};
use darkslide_client::event::Event;
use darkslide_client::free_up::{FreeUpPlan, FreeUpRule, meant, plan_free_up, remove};
use darkslide_client::micros_of;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Lists, or removes.
pub(crate) async fn run(output: Output, general: &General, arguments: FreeUp) -> Result<Ending> {
    let paths = arguments.paths.iter().map(|path| {
        meant(path).with_context(|| format!("{} is not there, or may not be looked at", path.display()))
    });
    let paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    let (session, catalog) = profile::current(output, general).await?;
    let cut_off = SystemTime::now().checked_sub(arguments.older_than).unwrap_or(SystemTime::UNIX_EPOCH);
    let rule = FreeUpRule { taken_before: micros_of(cut_off), favourites: arguments.favourites };
    let progress = Progress::begin(output, "having the server read back");
    let plan = plan_free_up(&session, &catalog, &paths, rule, &progress.events).await;
    progress.end().await;
    let Some(plan) = plan? else {
        bail!("the server gives no receipts, so nothing is proved to be safe, and nothing may go");
    };
    if !arguments.remove {
        output.answer(&json!({ "plan": plan, "bytes": plan.bytes() }), |_| listed(&plan))?;
        return Ok(Ending::Done);
    }
    if !plan.candidates.is_empty() {
        let count = counted(plan.candidates.len() as u64, "original");
        let question = format!("Remove {count} from this device, {} in all?", bytes(plan.bytes()));
        questions::confirm(arguments.yes, &question)?;
    }
    let progress = Progress::begin(output, "reading and removing");
    let (assets, all) = (plan.candidates.len() as u64, plan.bytes());
    progress.events.send(Event::Planned { assets, bytes: all }).await;
    let removal = remove(&session, &catalog, &plan.candidates, &progress.events).await;
    progress.end().await;
    let (removed, freed) = (removal.removed, removal.bytes);
    let failed: Vec<String> = removal.kept.iter().map(ToString::to_string).collect();
    for reason in &failed {
        output.warn(reason);
    }
    // Names need not be UTF-8.
    let texts = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let answer = json!({ "removed": removed, "bytes": freed, "failed": failed,
        "notVouchedFor": texts(&plan.not_vouched_for), "inStep": texts(&plan.in_step) });
    output.answer(&answer, |_| {
        let done = format!("Removed {}; {} are free now.", counted(removed, "original"), bytes(freed));
        [done].into_iter().chain(kept(&plan)).collect::<Vec<_>>().join("\n")
    })?;
    let is_whole = failed.is_empty() && plan.not_vouched_for.is_empty();
    Ok(if is_whole { Ending::Done } else { Ending::Incomplete })
}

fn listed(plan: &FreeUpPlan) -> String {
    let mut lines: Vec<String> = plan
        .candidates
        .iter()
        .flat_map(|candidate| candidate.paths.iter().map(|path| path.display().to_string()))
        .collect();
    for path in &plan.not_vouched_for {
        lines.push(format!("{}  stays: the server does not vouch for it", path.display()));
    }
    lines.extend(kept(plan));
    let count = counted(plan.candidates.len() as u64, "original");
    lines.push(if plan.candidates.is_empty() {
        "Nothing may go: nothing here is backed up, unchanged and old enough.".to_owned()
    } else {
        format!(
            "{count} may go, {} in all: the server has just read its copies back. `--remove` removes them.",
            bytes(plan.bytes())
        )
    });
    lines.join("\n")
}

/// Says which originals stay although they are safe.
fn kept(plan: &FreeUpPlan) -> Option<String> {
    let first = plan.in_step.first()?;
    let count = counted(plan.in_step.len() as u64, "original");
    Some(format!(
        "{count} in sync folders stay ({} …): what goes from such a folder is deleted in the vault too.",
        first.display()
    ))
}

/// An age such as `30d`, `6w`, `18m` or `2y`; months have 30 days and years 365.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no age: say a number and d, w, m or y, such as 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let days: u64 = match unit {
        "d" => 1,
        "w" => 7,
        "m" => 30,
        "y" => 365,
        _ => return Err(wrong()),
    };
    let days = number.parse::<u64>().ok().and_then(|number| number.checked_mul(days)).ok_or_else(wrong)?;
    days.checked_mul(24 * 60 * 60).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let days = |days: u64| Ok(Duration::from_secs(days * 86_400));
        for (text, expected) in
            [("0d", days(0)), ("30d", days(30)), ("2w", days(14)), ("1m", days(30)), ("2y", days(730))]
        {
            assert_eq!(parse_age(text), expected, "{text}");
        }
        for text in ["", "d", "30", "-1d", "1h", "99999999999999999999d", "1é"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
