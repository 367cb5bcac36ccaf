//! Histories made up at random, and shortened to what matters when a promise breaks.
//!
//! `DARKSLIDE_MODEL_RUNS` says how many; `cargo xtask model` runs many, optimised, on all cores.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use super::events::{At, Event, Nth};
use super::invariants::Broken;
use super::mutants::Mutant;
use super::run::{History, Next, Pass, Tally};
use super::world::Written;
use crate::folder::reconcile::Direction;

/// How many histories an ordinary test runs.
const RUNS: u64 = 2000;

/// How many of them one core takes at a time.
const ROUND: u64 = 500;

fn at() -> impl Strategy<Value = At> {
    prop_oneof![4 => Just(0), 1 => Just(1), 4 => Just(2), 4 => Just(3), 1 => Just(4), 4 => Just(5)]
        .prop_map(At)
}

fn nth() -> impl Strategy<Value = Nth> {
    (0..5_u8).prop_map(Nth)
}

fn content() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn here() -> impl Strategy<Value = Event> {
    let written = prop_oneof![
        8 => Just(Written::Whole), 1 => Just(Written::Growing), 1 => Just(Written::Unsettled)
    ];
    prop_oneof![
        6 => (at(), content(), written).prop_map(|(at, content, written)| Event::Write(at, content, written)),
        1 => (nth(), content()).prop_map(|(nth, content)| Event::Edit(nth, content)),
        1 => Just(Event::Settle),
        5 => nth().prop_map(Event::Delete),
        3 => (nth(), at()).prop_map(|(from, to)| Event::Rename(from, to)),
        3 => (nth(), at()).prop_map(|(from, to)| Event::Copy(from, to)),
        2 => nth().prop_map(Event::MoveOut),
        2 => nth().prop_map(Event::Aside),
        1 => at().prop_map(Event::FromAside),
        1 => Just(Event::DeleteAside),
        2 => (at(), any::<bool>()).prop_map(|(at, is_same)| Event::PutBack(at, is_same)),
        1 => nth().prop_map(Event::MoveToOther),
        1 => at().prop_map(Event::MoveFromOther),
        1 => Just(Event::DeleteOther),
        1 => at().prop_map(Event::TakeBack),
    ]
}

fn there() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => nth().prop_map(Event::WebTrash),
        3 => nth().prop_map(Event::WebRestore),
        1 => nth().prop_map(Event::WebPurge),
        1 => nth().prop_map(Event::Retention),
        2 => (content(), at(), prop::bool::weighted(0.8))
            .prop_map(|(content, at, is_in_album)| Event::WebUpload(content, at, is_in_album)),
        1 => nth().prop_map(Event::WebDuplicate),
        1 => (nth(), content()).prop_map(|(nth, content)| Event::WebEdit(nth, content)),
        2 => nth().prop_map(Event::WebDetails),
    ]
}

fn trouble() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::SaveVault),
        1 => Just(Event::OldVault),
        1 => Just(Event::SaveBase),
        1 => Just(Event::OldBase),
        1 => Just(Event::LoseBase),
        1 => Just(Event::LocalTrashExpires),
        2 => prop::bool::weighted(0.6).prop_map(Event::Mounted),
        2 => prop::bool::weighted(0.6).prop_map(Event::Listed),
        6 => prop::bool::weighted(0.8).prop_map(Event::Wait),
        1 => Just(Event::ClockSetBack),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![10 => here(), 6 => there(), 3 => trouble()]
}

fn pass() -> impl Strategy<Value = Pass> {
    let during = || prop::option::weighted(0.3, (0..8_u8, event()));
    let crash = prop::option::weighted(0.2, (0..8_u8, any::<bool>()));
    let fails = prop_oneof![8 => Just(0_u8), 1 => any::<u8>()];
    let is_noted_late = prop::bool::weighted(0.3);
    ([during(), during()], crash, fails, is_noted_late, any::<u8>(), any::<bool>()).prop_map(
        |(during, crash, fails, is_noted_late, order, is_approved)| Pass {
            during,
            crash,
            fails,
            is_noted_late,
            order,
            is_approved,
        },
    )
}

fn history() -> impl Strategy<Value = History> {
    let next = prop_oneof![
        9 => event().prop_map(Next::Event),
        6 => pass().prop_map(Next::Pass),
        2 => Just(Next::Rest),
    ];
    let direction = prop_oneof![
        8 => Just(Direction::Both), 1 => Just(Direction::Up), 1 => Just(Direction::Down)
    ];
    let nexts = prop::collection::vec(next, 1..40);
    (direction, prop::bool::weighted(0.2), prop::bool::weighted(0.1), nexts).prop_map(
        |(direction, keeps_old, reuses_numbers, nexts)| History {
            direction,
            keeps_old,
            reuses_numbers,
            nexts,
        },
    )
}

/// Runs so many, and returns the first that breaks a promise, shortened.
pub(super) fn search(runs: u32, seed: u64, mutant: Option<Mutant>) -> Result<Tally, (History, Broken)> {
    let config = Config {
        cases: runs,
        max_shrink_iters: if mutant.is_some() { 2_000 } else { 20_000 },
        // What breaks is written down in `sequences`: a seed says nothing once the events are others.
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let tally = Cell::new(Tally::default());
    let outcome = TestRunner::new(config).run(&history(), |history| {
        let ran = history.run(mutant).map_err(|broken| TestCaseError::fail(broken.to_string()))?;
        tally.set(tally.get().and(ran));
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(tally.get()),
        Err(TestError::Fail(_, history)) => {
            let broken = history.run(mutant).expect_err("it is as bad the second time");
            Err((history, broken))
        }
        Err(TestError::Abort(why)) => panic!("the search was given up: {why}"),
    }
}

/// A number from the environment.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("it is a number"))
}

/// Runs all that are asked for, in rounds, on all cores.
fn search_all(runs: u64, seed: u64) -> Tally {
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let work = || {
        let mut tally = Tally::default();
        loop {
            let begun = next.fetch_add(ROUND, Ordering::Relaxed);
            if begun >= runs {
                return tally;
            }
            if begun % (10 * ROUND) == 0 && begun > 0 {
                println!("{begun} of {runs} runs, {:.0} s", began.elapsed().as_secs_f32());
            }
            let count = ROUND.min(runs - begun);
            match search(u32::try_from(count).expect("a round is short"), seed + begun, None) {
                Ok(found) => tally = tally.and(found),
                Err((history, broken)) => panic!("{broken}\n{history:?}"),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a promise was broken")).collect()
    });
    let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
    println!("{tally:?} in {:.1} s", began.elapsed().as_secs_f32());
    tally
}

/// I1 to I11.
#[test]
fn no_history_breaks_a_promise() {
    let runs = asked("DARKSLIDE_MODEL_RUNS", RUNS);
    let tally = search_all(runs, asked("DARKSLIDE_MODEL_SEED", 1) << 32);
    assert_eq!(tally.runs, runs);
    assert!(tally.removals > runs / 10, "runs that remove nothing prove nothing: {tally:?}");
}
