//! Work that blocks, done for several askers at once: fewer threads are woken, and what is alike is done side by side.
//!
//! Nobody waits for company: what waits when a turn comes free goes together. Every asker gets its own answer.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

/// How much goes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// So many askers.
    pub(crate) count: usize,
    /// So many bytes, unless one alone has more.
    pub(crate) bytes: u64,
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
    /// `work` answers each of its inputs in their order. It takes one of `turns` each time. Must be called inside the runtime.
    pub(crate) fn new(
        most: Most,
        turns: Arc<Semaphore>,
        work: impl Fn(Vec<In>) -> Vec<Out> + Send + Sync + 'static,
    ) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(hand_out(waiting, most, turns, Arc::new(work)));
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

async fn hand_out<In: Send + 'static, Out: Send + 'static>(
    mut waiting: mpsc::UnboundedReceiver<Asked<In, Out>>,
    most: Most,
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
        // Company gathers while there is no turn.
        let turn = Arc::clone(&turns).acquire_owned().await.expect("the semaphore is never closed");
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while group.len() < most.count {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.bytes;
            if bytes > most.bytes {
                left_over = Some(next);
                break;
            }
            group.push(next);
        }
        let work = Arc::clone(&work);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (inputs, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|asked| (asked.work, asked.answer)).unzip();
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
}
