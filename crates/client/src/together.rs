//! Work that blocks, done for several askers at once: fewer threads are woken, and what is alike is done side by side.
//!
//! What waits when a turn comes free goes together, and where company is worth it, it is waited for a little. Every asker gets its own answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// How much goes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// So many askers.
    pub(crate) count: usize,
    /// So many bytes, unless one alone has more.
    pub(crate) bytes: u64,
}

/// Whom the first asker of a group waits for, before it takes a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Company {
    /// So many in all, itself included.
    pub(crate) count: usize,
    /// At most so long.
    pub(crate) within: Duration,
}

impl Company {
    /// Nobody.
    pub(crate) const NONE: Self = Self { count: 1, within: Duration::ZERO };
}

/// One who asks, and what answers.
struct Asked<In, Out> {
    work: In,
    bytes: u64,
    answer: oneshot::Sender<Out>,
}

/// Where work is handed in. The hands that do it end when it is dropped.
#[derive(Debug)]
pub(crate) struct Together<In, Out>(mpsc::UnboundedSender<Asked<In, Out>>);

impl<In: Send + 'static, Out: Send + 'static> Together<In, Out> {
    /// `work` answers each of its inputs in their order. It takes one of `turns` each time. Nobody waits for company. Must be called inside the runtime.
    pub(crate) fn new(
        most: Most,
        turns: Arc<Semaphore>,
        work: impl Fn(Vec<In>) -> Vec<Out> + Send + Sync + 'static,
    ) -> Self {
        Self::in_company(most, Company::NONE, turns, work)
    }

    /// The same that waits for company.
    pub(crate) fn in_company(
        most: Most,
        company: Company,
        turns: Arc<Semaphore>,
        work: impl Fn(Vec<In>) -> Vec<Out> + Send + Sync + 'static,
    ) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(hand_out(waiting, (most, company), turns, Arc::new(work)));
        Self(sender)
    }

    /// Waits for its turn, and for the answer. `bytes` is how much it weighs.
    pub(crate) async fn ask(&self, work: In, bytes: u64) -> Out {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { work, bytes, answer };
        assert!(self.0.send(asked).is_ok(), "work is handed out for as long as somebody asks");
        answered.await.expect("the work does not panic and is not aborted")
    }
}

/// Those who go together.
struct Group<In, Out> {
    askers: Vec<Asked<In, Out>>,
    bytes: u64,
    most: Most,
}

impl<In, Out> Group<In, Out> {
    /// Takes one more, or gives it back where that would be too much.
    fn join(&mut self, next: Asked<In, Out>) -> Option<Asked<In, Out>> {
        let bytes = self.bytes.saturating_add(next.bytes);
        if self.askers.len() >= self.most.count || bytes > self.most.bytes {
            return Some(next);
        }
        self.bytes = bytes;
        self.askers.push(next);
        None
    }
}

async fn hand_out<In: Send + 'static, Out: Send + 'static>(
    mut waiting: mpsc::UnboundedReceiver<Asked<In, Out>>,
    (most, company): (Most, Company),
    turns: Arc<Semaphore>,
    work: Arc<impl Fn(Vec<In>) -> Vec<Out> + Send + Sync + 'static>,
) {
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut group = Group { bytes: first.bytes, askers: vec![first], most };
        let deadline = Instant::now() + company.within;
        while left_over.is_none() && group.askers.len() < company.count {
            let Ok(Some(next)) = timeout_at(deadline, waiting.recv()).await else { break };
            left_over = group.join(next);
        }
        // More company gathers while there is no turn.
        let turn = Arc::clone(&turns).acquire_owned().await.expect("the semaphore is never closed");
        while left_over.is_none()
            && let Ok(next) = waiting.try_recv()
        {
            left_over = group.join(next);
        }
        let work = Arc::clone(&work);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (inputs, answers): (Vec<_>, Vec<_>) =
                group.askers.into_iter().map(|asked| (asked.work, asked.answer)).unzip();
            for (answer, out) in answers.into_iter().zip(work(inputs)) {
                // Whoever asked has gone only when the run ends.
                let _ = answer.send(out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    #[tokio::test]
    async fn everybody_gets_their_own_answer_and_no_group_is_too_large() {
        const MOST: Most = Most { count: 3, bytes: 100 };
        let turns = Arc::new(Semaphore::new(1));
        let together = Together::new(MOST, turns, |inputs: Vec<u64>| {
            let (count, bytes) = (inputs.len(), inputs.iter().sum::<u64>());
            inputs.into_iter().map(|input| (input, count, bytes)).collect()
        });
        let answers = join_all([10, 20, 30, 40, 500, 60, 50].map(|bytes| together.ask(bytes, bytes))).await;
        for ((input, count, bytes), expected) in answers.into_iter().zip([10, 20, 30, 40, 500, 60, 50]) {
            assert_eq!(input, expected);
            assert!(count <= MOST.count && (bytes <= MOST.bytes || count == 1), "{input}: {count}, {bytes}");
        }
    }
    #[tokio::test(start_paused = true)]
    async fn company_is_waited_for_but_not_for_long() {
        let company = Company { count: 3, within: Duration::from_millis(15) };
        let most = Most { count: 4, bytes: 100 };
        let turns = Arc::new(Semaphore::new(1));
        let together = Together::in_company(most, company, turns, |inputs: Vec<u64>| {
            let count = inputs.len();
            inputs.into_iter().map(|_| count).collect()
        });
        let after = async |millis| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            (together.ask(millis, 30).await, Instant::now())
        };
        let began = Instant::now();
        // Three are enough; who comes later is alone, and waits no longer than it should. Four would be too many bytes.
        let answers = join_all([0, 5, 10, 12, 50, 100, 100, 100, 100].map(after)).await;
        let counts: Vec<usize> = answers.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, [3, 3, 3, 1, 1, 3, 3, 3, 1]);
        let waited: Vec<u128> = answers.iter().map(|(_, at)| (*at - began).as_millis()).collect();
        assert_eq!(waited, [10, 10, 10, 27, 65, 100, 100, 100, 115]);
    }
}
