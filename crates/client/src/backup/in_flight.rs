//! The contents that a run is dealing with, so that of several files with the same bytes one is sent and the others
//! wait to be linked to it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use darkslide_crypto::ContentHash;

/// Work by content: at most one at a time for each.
#[derive(Debug)]
pub(super) struct InFlight<Job>(Mutex<HashMap<ContentHash, VecDeque<Job>>>);

impl<Job> InFlight<Job> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Gives the job back if its content is free, which it then is no longer; keeps it to be [taken
    /// over](Self::next) otherwise.
    pub(super) fn claim(&self, content: ContentHash, job: Job) -> Option<Job> {
        let mut map = self.map();
        if let Some(waiting) = map.get_mut(&content) {
            waiting.push_back(job);
            return None;
        }
        map.insert(content, VecDeque::new());
        Some(job)
    }

    /// The next job of a content that its holder is done with, in the order in which they came; frees the content when there is none.
    pub(super) fn next(&self, content: &ContentHash) -> Option<Job> {
        let mut map = self.map();
        let job = map.get_mut(content).and_then(VecDeque::pop_front);
        if job.is_none() {
            map.remove(content);
        }
        job
    }

    fn map(&self) -> MutexGuard<'_, HashMap<ContentHash, VecDeque<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Job> Default for InFlight<Job> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_a_content_at_a_time() {
        let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
        let jobs = InFlight::new();
        assert_eq!(jobs.claim(a, 1), Some(1));
        assert_eq!(jobs.claim(b, 2), Some(2));
        assert_eq!(jobs.claim(a, 3), None);
        assert_eq!(jobs.claim(a, 4), None);
        assert_eq!(jobs.next(&a), Some(3));
        assert_eq!(jobs.next(&a), Some(4));
        assert_eq!(jobs.next(&a), None);
        assert_eq!(jobs.claim(a, 5), Some(5));
    }
}
