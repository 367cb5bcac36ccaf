//! A day on which anybody does anything anywhere, by chance. Afterwards whatever nobody deleted or edited is everywhere.
//!
//! `DARKSLIDE_PAIR_SEED` plays one day again, as far as two Syncthings and an agent do the same thing twice.

use super::world::{Hands as _, World, files, tree};
use crate::chance::Chance;
use darkslide_e2e::syncthing::Instance;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What is done in a day.
const DEEDS: usize = 40;

/// Pictures that nobody touches: so that never all of them are gone.
const UNTOUCHED: i64 = 8;

/// What people did so far.
struct Day {
    chance: Chance,
    /// The next picture.
    number: i64,
    /// Pictures that nobody deleted or edited.
    kept: BTreeSet<i64>,
    deeds: Vec<String>,
    is_apart: bool,
}

impl Day {
    fn new_picture(&mut self) -> i64 {
        self.number += 1;
        self.kept.insert(self.number);
        self.number
    }

    /// One deed on one side, on a file that is there.
    fn on(&mut self, side: &Instance, who: &str, found: &BTreeMap<String, i64>) {
        let touched: Vec<(String, i64)> = found
            .iter()
            .filter(|(name, number)| **number > UNTOUCHED && !name.starts_with('.'))
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        let deed = self.chance.below(10);
        match (deed, self.chance.one_of(&touched).cloned()) {
            // Somebody else may be faster by a moment.
            (4 | 5, Some((name, number))) if fs::remove_file(side.folder().join(&name)).is_ok() => {
                self.kept.remove(&number);
                self.deeds.push(format!("{who} deletes {name} ({number})"));
            }
            (6 | 7, Some((name, number))) => {
                let to = format!("{who} moved/{}.jpg", self.deeds.len());
                fs::create_dir_all(side.folder().join(&to).parent().unwrap()).unwrap();
                if fs::rename(side.folder().join(&name), side.folder().join(&to)).is_ok() {
                    self.deeds.push(format!("{who} moves {name} ({number}) to {to}"));
                }
            }
            (8, Some((name, before))) => {
                let number = self.new_picture();
                side.put(&name, number);
                self.kept.remove(&before);
                self.deeds.push(format!("{who} edits {name} ({before} becomes {number})"));
            }
            (9, Some((name, number))) => {
                side.put(&format!("{who} copy {}.jpg", self.deeds.len()), number);
                self.deeds.push(format!("{who} copies {name} ({number})"));
            }
            _ => {
                let number = self.new_picture();
                side.put(&format!("{who} {number}.jpg"), number);
                self.deeds.push(format!("{who} takes {number}"));
            }
        }
    }

    fn on_the_web(&mut self, world: &World) {
        let (live, trash) = world.vault();
        let live: Vec<i64> = live.into_iter().filter(|number| *number > UNTOUCHED).collect();
        let trash: Vec<i64> = trash.into_iter().collect();
        if self.chance.below(3) == 0
            && let Some(number) = self.chance.one_of(&trash)
        {
            if world.web_tries("trash", *number) {
                self.deeds.push(format!("the web restores {number}"));
            }
        } else if let Some(number) = self.chance.one_of(&live)
            && world.web_tries("list", *number)
        {
            self.kept.remove(number);
            self.deeds.push(format!("the web deletes {number}"));
        }
    }

    fn something_happens(&mut self, world: &World) {
        match self.chance.below(8) {
            0..3 if !self.is_apart => world.pair.in_step(),
            0..3 => {
                world.pair.reunite();
                self.is_apart = false;
                self.deeds.push("they meet".to_owned());
            }
            3 if !self.is_apart => {
                world.pair.part();
                self.is_apart = true;
                self.deeds.push("they part".to_owned());
            }
            4 => {
                world.kill_agent();
                world.start_agent();
                self.deeds.push("the agent is killed".to_owned());
            }
            _ => {}
        }
    }
}

/// Shows S6.
#[test]
fn a_day_of_anything_anywhere() {
    let given = std::env::var("DARKSLIDE_PAIR_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    let world = World::new();
    let (phone, home) = (&world.pair.phone, &world.pair.home);
    let names: Vec<String> = (1..=UNTOUCHED).map(|number| format!("untouched {number}.jpg")).collect();
    let first: Vec<(&str, i64)> = names.iter().map(String::as_str).zip(1..).collect();
    for (name, number) in &first {
        phone.put(name, *number);
    }
    world.comes_to("the first pictures", &files(&first));
    let mut day = Day {
        chance: Chance(seed),
        number: UNTOUCHED,
        kept: (1..=UNTOUCHED).collect(),
        deeds: vec![format!("seed {seed}")],
        is_apart: false,
    };
    while day.deeds.len() <= DEEDS {
        match day.chance.below(8) {
            0..4 => day.on(phone, "phone", &tree(phone)),
            4..6 => day.on(home, "home", &tree(home)),
            6 => day.on_the_web(&world),
            _ => day.something_happens(&world),
        }
    }
    if day.is_apart {
        world.pair.reunite();
    }
    let found = world.comes_to_rest(&day.deeds);
    let lost: Vec<&i64> = day.kept.difference(&found.live).collect();
    assert!(lost.is_empty(), "{lost:?} are not live any more, and nobody deleted them: {:#?}", day.deeds);
    world.ends();
}
