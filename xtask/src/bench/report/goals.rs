//! What was aimed at, beside what came of it. Nothing fails here: it is looked at by people.
//!
//! Where both sides write, the times until everything is on the disk are compared, for only then have they done the same; the ratio of
//! the bare times is shown too. A goal whose parts were not measured has no figure.

use super::super::growth::{BESIDE_FEW, BESIDE_MANY, NEWCOMERS};
use super::{Figures, Kind};
use serde_json::{Value, json};
use std::fmt;

/// Our own sides, and the peers.
const OURS: &str = "darkslide";
const RESTIC: &str = "restic, local";
const RCLONE: &str = "restic, rclone";
const RUSTIC: &str = "rustic, local";
const FLOOR: &str = "floor";
const TLS: &str = "darkslide, TLS";
const THUMBNAILS: &str = "darkslide, thumbnails";

/// Bytes in the MB of the goals.
const MB: f64 = 1e6;

/// Resident memory of a client, and of a server, at most.
const CLIENT_MB: f64 = 96.0;
const SERVER_MB: f64 = 100.0;

/// How much longer something may take in a hundred times as large an account and still count as not growing: what an index lookup adds,
/// and noise.
const GROWTH_MAX: f64 = 1.5;

/// On which side of its bound a figure should be.
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Goal {
    what: &'static str,
    /// What is compared with the bound.
    figure: Option<f64>,
    /// The same by bare times, where that is something else.
    bare: Option<f64>,
    bound: Bound,
    unit: &'static str,
}

impl Goal {
    fn is_met(&self) -> Option<bool> {
        self.figure.map(|figure| match self.bound {
            Bound::AtLeast(bound) => figure >= bound,
            Bound::AtMost(bound) => figure <= bound,
        })
    }

    fn bound(&self) -> String {
        let unit = self.unit;
        match self.bound {
            Bound::AtLeast(bound) => format!("≥ {bound}{unit}"),
            Bound::AtMost(bound) => format!("≤ {bound}{unit}"),
        }
    }
}

/// All goals with their figures.
pub(crate) struct Goals(Vec<Goal>);

impl Goals {
    /// Those of the whole project.
    pub(crate) fn of(figures: &Figures) -> Self {
        let look = Look(figures);
        let mut goals = Vec::new();
        goals.extend(look.photos());
        goals.extend(look.thumbnails());
        goals.extend(look.small_and_huge());
        goals.extend(look.second_runs_and_restore());
        goals.extend(look.account());
        goals.extend(look.memory());
        Self(goals)
    }

    /// All of them, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let goal = |goal: &Goal| {
            json!({ "what": goal.what, "figure": goal.figure, "byBareTimes": goal.bare,
                    "goal": goal.bound(), "met": goal.is_met() })
        };
        self.0.iter().map(goal).collect()
    }
}

impl fmt::Display for Goals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| goal | figure | by bare times | aimed at | met |\n|---|---|---|---|---|")?;
        for goal in &self.0 {
            let shown = |figure: Option<f64>| {
                figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.3}{}", goal.unit))
            };
            let met = goal.is_met().map_or("not measured", |met| if met { "yes" } else { "no" });
            let (figure, bare) = (shown(goal.figure), shown(goal.bare));
            writeln!(out, "| {} | {figure} | {bare} | {} | {met} |", goal.what, goal.bound())?;
        }
        Ok(())
    }
}

/// Where goals find their figures.
struct Look<'a>(&'a Figures);

impl Look<'_> {
    fn photos(&self) -> Vec<Goal> {
        let first = |what, over, under, bound| self.ratio(what, "photos", "first backup", over, under, bound);
        vec![
            first("1,000 × 3 MB, first backup: restic, local / ours", RESTIC, OURS, Bound::AtLeast(1.8)),
            first("1,000 × 3 MB, first backup: restic, rclone / ours", RCLONE, OURS, Bound::AtLeast(3.0)),
            first("1,000 × 3 MB, first backup: floor / ours", FLOOR, OURS, Bound::AtLeast(0.6)),
            first("1,000 × 3 MB, first backup: over TLS / plain", TLS, OURS, Bound::AtMost(1.4)),
        ]
    }

    fn thumbnails(&self) -> Vec<Goal> {
        let seconds = |part, side, work| self.0.median(part, side, work, Kind::Seconds);
        let safe = divided(
            seconds("pictures", THUMBNAILS, "originals safe"),
            seconds("pictures", OURS, "first backup"),
        );
        let small = "small-pictures";
        let needed = seconds(small, "codec alone", "all thumbnails")
            .zip(seconds(small, OURS, "first backup"))
            .map(|(codec, backup)| codec + backup);
        let bound_by_codec = divided(seconds(small, THUMBNAILS, "first backup"), needed);
        vec![
            plain(
                "1,000 × 3 MB: originals safe with thumbnails on / thumbnails off",
                safe,
                Bound::AtMost(1.3),
            ),
            plain(
                "20,000 × 40 KB: with thumbnails / (codec alone + thumbnails off)",
                bound_by_codec,
                Bound::AtMost(1.0),
            ),
        ]
    }

    fn small_and_huge(&self) -> Vec<Goal> {
        let first = |what, part, over, bound| self.ratio(what, part, "first backup", over, OURS, bound);
        vec![
            first("20,000 × 40 KB, first backup: restic, local / ours", "small", RESTIC, Bound::AtLeast(1.3)),
            first("4 GB, first backup: restic, local / ours", "huge", RESTIC, Bound::AtLeast(2.0)),
            first("4 GB, first backup: floor / ours", "huge", FLOOR, Bound::AtLeast(0.6)),
        ]
    }

    fn second_runs_and_restore(&self) -> Vec<Goal> {
        let second = |part, side| self.0.median(part, side, "second run", Kind::Seconds);
        let photos = divided(second("photos", RESTIC), second("photos", OURS));
        let allowed = second("many", "walk + stat").map(|walk| 2.0 * walk + 0.1);
        let many = divided(second("many", OURS), allowed);
        let restore = |what, over, bound| self.ratio(what, "photos", "restore", over, OURS, bound);
        let memory = |side| self.0.median("photos", side, "restore", Kind::Memory);
        let memory = divided(memory(OURS), memory(RUSTIC));
        vec![
            plain("1,000 × 3 MB, second run: restic, local / ours", photos, Bound::AtLeast(10.0)),
            plain("100,000 files, second run: ours / (2 × walk + 0.1 s)", many, Bound::AtMost(1.0)),
            restore("1,000 × 3 MB, restore: restic, local / ours", RESTIC, Bound::AtLeast(1.2)),
            restore("1,000 × 3 MB, restore: rustic / ours", RUSTIC, Bound::AtLeast(1.0)),
            plain("1,000 × 3 MB, restore: our memory / rustic's", memory, Bound::AtMost(0.1)),
        ]
    }

    fn account(&self) -> Vec<Goal> {
        let many = |work| self.0.median("many", OURS, work, Kind::Seconds);
        let seconds =
            |what, work, bound| Goal { unit: " s", ..plain(what, many(work), Bound::AtMost(bound)) };
        let growth = |what, work| {
            let at = |side| self.0.median("growth", side, work, Kind::Seconds);
            plain(what, divided(at("large account"), at("small account")), Bound::AtMost(GROWTH_MAX))
        };
        let newcomers = |side| self.0.median("growth", side, NEWCOMERS, Kind::Seconds);
        vec![
            seconds("100,000 entries of the feed into a new catalog", "feed", 5.0),
            seconds("100,000 tags looked up", "lookup", 0.5),
            growth("100 × the files: cold start", "cold start"),
            growth("100 × the files: page at the feed's beginning", "feed, beginning"),
            growth("100 × the files: page in the feed's middle", "feed, middle"),
            growth("100 × the files: page at the feed's end", "feed, end"),
            growth("100 × the files: page of a collection's diff", "diff, middle"),
            plain(
                "the 1,000,001st file / the 1,001st",
                divided(newcomers(BESIDE_MANY), newcomers(BESIDE_FEW)),
                Bound::AtMost(1.2),
            ),
        ]
    }

    fn memory(&self) -> Vec<Goal> {
        let most = |part, side, kind| self.0.most(part, side, kind).map(|bytes| bytes / MB);
        let goal = |what, figure, bound| Goal { unit: " MB", ..plain(what, figure, Bound::AtMost(bound)) };
        let client = |what, part, side| goal(what, most(part, side, Kind::Memory), CLIENT_MB);
        let server = |what, part, side| goal(what, most(part, side, Kind::ServerMemory), SERVER_MB);
        vec![
            server("server at 64 concurrent uploads", "uploads", OURS),
            server("server, 1,000 × 3 MB over TLS", "photos", TLS),
            server("server, 20,000 × 40 KB over TLS", "small", TLS),
            server("server, 4 GB over TLS", "huge", TLS),
            server("server, new files beside 1,000,000", "growth", BESIDE_MANY),
            client("client, 1,000 × 3 MB", "photos", OURS),
            client("client, 1,000 × 3 MB over TLS", "photos", TLS),
            client("client, 1,000 × 3 MB, with thumbnails", "pictures", THUMBNAILS),
            client("client, 20,000 × 40 KB", "small", OURS),
            client("client, 20,000 × 40 KB over TLS", "small", TLS),
            client("client, 20,000 × 40 KB, with thumbnails", "small-pictures", THUMBNAILS),
            client("client, 4 GB", "huge", OURS),
            client("client, 4 GB over TLS", "huge", TLS),
            client("client, 100,000 files", "many", OURS),
            client("client, new files beside 1,000", "growth", BESIDE_FEW),
            client("client, new files beside 1,000,000", "growth", BESIDE_MANY),
        ]
    }

    /// One side's time over another's, until everything is on the disk.
    fn ratio(
        &self,
        what: &'static str,
        part: &'static str,
        work: &str,
        over: &str,
        under: &str,
        bound: Bound,
    ) -> Goal {
        let by =
            |kind| divided(self.0.median(part, over, work, kind), self.0.median(part, under, work, kind));
        Goal { bare: by(Kind::Seconds), ..plain(what, by(Kind::SecondsOnDisk), bound) }
    }
}

fn plain(what: &'static str, figure: Option<f64>, bound: Bound) -> Goal {
    Goal { what, figure, bare: None, bound, unit: "" }
}

fn divided(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    over.zip(under).map(|(over, under)| over / under)
}

#[cfg(test)]
mod tests {
    use super::super::super::measure::Measured;
    use super::*;
    use std::time::Duration;

    /// Memory that only these parts of the bench need was measured, and held against nothing.
    #[test]
    fn memory_is_judged_over_tls_and_beside_many_files_too() {
        let mut figures = Figures::default();
        let run = Measured { time: Duration::from_secs(1), memory: 97_000_000 };
        for (part, side, work) in [
            ("photos", TLS, "first backup"),
            ("small", TLS, "second run"),
            ("huge", TLS, "restore"),
            ("growth", BESIDE_FEW, NEWCOMERS),
            ("growth", BESIDE_MANY, NEWCOMERS),
        ] {
            figures.add_run(part, side, work, &run);
            figures.add_server(part, side, 101_000_000);
        }
        let missed = |who: &str| {
            let goals = Goals::of(&figures).0;
            let missed =
                goals.iter().filter(|goal| goal.what.starts_with(who) && goal.is_met() == Some(false));
            missed.map(|goal| goal.what).collect::<Vec<_>>()
        };
        assert_eq!(
            missed("client"),
            [
                "client, 1,000 × 3 MB over TLS",
                "client, 20,000 × 40 KB over TLS",
                "client, 4 GB over TLS",
                "client, new files beside 1,000",
                "client, new files beside 1,000,000",
            ]
        );
        assert_eq!(
            missed("server"),
            [
                "server, 1,000 × 3 MB over TLS",
                "server, 20,000 × 40 KB over TLS",
                "server, 4 GB over TLS",
                "server, new files beside 1,000,000",
            ]
        );
    }
}
