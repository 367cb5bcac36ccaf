//! The C library has one arena for each processor, however many threads there are.

use crate::machine::Machine;
use std::thread::available_parallelism;

/// Bytes that the C library reserves for each arena but the first, which lie at a multiple of it.
const ARENA: u64 = 64 << 20;

/// How many arenas a process reserved beside the first.
fn arenas(process: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let parts: Vec<_> = maps
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let (from, to) = words.next().unwrap().split_once('-').unwrap();
            let at = |text| u64::from_str_radix(text, 16).unwrap();
            (at(from), at(to), words.next().unwrap())
        })
        .collect();
    // What is in use, and behind it what is only reserved.
    let pairs = parts.iter().zip(parts.iter().skip(1));
    pairs
        .filter(|((from, to, may), (next, end, may_not))| {
            from % ARENA == 0 && *may == "rw-p" && to == next && *may_not == "---p" && *end == from + ARENA
        })
        .count()
}

#[test]
fn there_is_one_arena_for_each_processor_unless_somebody_says_otherwise() {
    let processors = available_parallelism().unwrap().get().max(2);
    let of = |environment: &[(&str, &str)]| {
        let machine = Machine::new();
        let server = machine.serve_under(environment);
        machine.sign_up(&server, "first@example.org", "default");
        arenas(server.id())
    };
    // The first is not counted.
    assert!(of(&[]) < processors);
    let freely = of(&[("MALLOC_ARENA_MAX", "64")]);
    assert!(freely >= processors.min(4), "{freely}: threads without bound have more, or this counts nothing");
}
