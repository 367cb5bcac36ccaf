//! Boxes of ISO base media and QuickTime files (ISO/IEC 14496-12 §4.2).

use super::source::{Source, be32, be64};

/// Boxes beside each other that are looked at; real files have a few dozen at most, fragmented movies excepted.
const MAX_SIBLINGS: usize = 1024;

/// A box: its type and where its content lies.
#[derive(Clone, Copy)]
pub(super) struct MediaBox {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    pub(super) end: u64,
}

impl MediaBox {
    pub(super) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// The content, if it is no longer than `most`.
    pub(super) fn bytes(&self, source: &mut Source<'_>, most: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(self.len()).ok().filter(|&len| len <= most)?;
        source.bytes(self.start, len)
    }

    /// The content's first bytes.
    pub(super) fn head(&self, source: &mut Source<'_>, most: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(self.len()).unwrap_or(usize::MAX).min(most);
        source.bytes(self.start, len)
    }

    /// The boxes inside, after `skip` bytes of fields.
    pub(super) fn children(&self, source: &mut Source<'_>, skip: u64) -> Vec<MediaBox> {
        boxes(source, self.start.saturating_add(skip), self.end)
    }

    /// The first box inside of this type.
    pub(super) fn child(&self, source: &mut Source<'_>, kind: [u8; 4]) -> Option<MediaBox> {
        self.children(source, 0).into_iter().find(|child| child.kind == kind)
    }
}

/// The boxes of the whole file.
pub(super) fn top_level(source: &mut Source<'_>) -> Vec<MediaBox> {
    let end = source.len();
    boxes(source, 0, end)
}

/// The boxes between two places, as far as they make sense. A box that claims to go on past its parent's end is
/// cut there: recordings that were broken off look like this.
fn boxes(source: &mut Source<'_>, start: u64, end: u64) -> Vec<MediaBox> {
    let mut found = Vec::new();
    let mut at = start;
    while found.len() < MAX_SIBLINGS {
        let Some(next) = box_at(source, at, end) else { break };
        at = next.end;
        found.push(next);
    }
    found
}

fn box_at(source: &mut Source<'_>, at: u64, end: u64) -> Option<MediaBox> {
    let body = at.checked_add(8).filter(|&body| body <= end)?;
    let head: [u8; 8] = source.array(at)?;
    let kind = *head.last_chunk()?;
    let (start, stop) = match be32(&head, 0)? {
        0 => (body, end),
        1 => {
            let long = be64(&source.array::<8>(body)?, 0)?;
            (body.checked_add(8)?, at.checked_add(long)?)
        }
        size => (body, at.checked_add(size.into())?),
    };
    let stop = stop.min(end);
    // A box shorter than its own header would never end.
    (start <= stop).then_some(MediaBox { kind, start, end: stop })
}
