//! How far a run is, in files and in their own bytes, and how long the rest of it may take.
//!
//! What crosses the network is more than that: keys, headers, repetitions. So what is told of a file counts for as many bytes as it has, and no
//! more. It draws nothing and reads no clock.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that a file is worth beside its own: looking, hashing and committing take their time for each, however small it is.
const FILE_WEIGHT: u64 = 64 << 10;

/// A file that is being worked on.
#[derive(Debug)]
pub(crate) struct InWork {
    pub(crate) name: Arc<Path>,
    /// Its own bytes.
    pub(crate) bytes: u64,
    /// Of these, what crossed the network.
    pub(crate) moved: u64,
}

/// How far a run is.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pub(crate) files: u64,
    pub(crate) files_done: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_done: u64,
    pub(crate) in_work: VecDeque<InWork>,
    since: Option<Instant>,
}

impl Pace {
    pub(crate) fn plan(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bytes += bytes;
    }

    pub(crate) fn start(&mut self, name: Arc<Path>, bytes: u64, now: Instant) {
        self.since.get_or_insert(now);
        self.in_work.push_back(InWork { name, bytes, moved: 0 });
    }

    /// So many bytes crossed the network. Gives how many of the file's own that makes more.
    pub(crate) fn advance(&mut self, name: &Path, bytes: u64) -> u64 {
        let Some(file) = self.in_work.iter_mut().find(|file| file.name.as_os_str() == name.as_os_str())
        else {
            return 0;
        };
        let more = bytes.min(file.bytes.saturating_sub(file.moved));
        file.moved += more;
        self.bytes_done += more;
        more
    }

    /// Work on a file is over: what needed no sending is behind us too. Gives how many bytes that makes more.
    pub(crate) fn finish(&mut self, name: &Path) -> u64 {
        self.files_done += 1;
        let place = self.in_work.iter().position(|file| file.name.as_os_str() == name.as_os_str());
        let more =
            place.and_then(|place| self.in_work.remove(place)).map_or(0, |file| file.bytes - file.moved);
        self.bytes_done += more;
        more
    }

    /// How long the rest takes, if it goes on as so far. Nothing is said before anything is done: nobody knows yet.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let weight = |files: u64, bytes: u64| u128::from(files) * u128::from(FILE_WEIGHT) + u128::from(bytes);
        let done = weight(self.files_done, self.bytes_done);
        let left =
            weight(self.files.saturating_sub(self.files_done), self.bytes.saturating_sub(self.bytes_done));
        let elapsed = now.saturating_duration_since(self.since?).as_millis();
        let millis = (elapsed * left).checked_div(done)?;
        Some(Duration::from_secs(u64::try_from(millis / 1000).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> Arc<Path> {
        Path::new(&format!("/p/{number}.jpg")).into()
    }

    /// 60,000 pictures of 160 bytes, each of which takes more than twice that on the network.
    #[test]
    fn many_small_files_are_not_done_before_they_are() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        pace.plan(60_000, 9_600_000);
        for number in 0..15_000 {
            pace.start(name(number), 160, begin);
            assert_eq!(pace.advance(&name(number), 400), 160);
            assert_eq!(pace.advance(&name(number), 400), 0, "sent again");
            assert_eq!(pace.finish(&name(number)), 0);
        }
        assert_eq!((pace.files_done, pace.bytes_done), (15_000, 2_400_000));
        assert_eq!(pace.left(begin + Duration::from_secs(10)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_film_among_photos_takes_its_time() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.left(begin), None);
        pace.plan(11, 1_010_000_000);
        for number in 0..10 {
            pace.start(name(number), 1_000_000, begin);
            assert_eq!(pace.finish(&name(number)), 1_000_000, "it was in the vault");
        }
        let left = pace.left(begin + Duration::from_secs(1)).unwrap();
        assert!((90..100).contains(&left.as_secs()), "{left:?}");
    }
}
