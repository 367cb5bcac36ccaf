//! Commits, one or a thousand in one transaction: stored objects become files. It is long because what is decided, and the
//! statements that carry it out, are read together.
//!
//! First everything that the decision needs is read under the account's lock, then `decide` says what becomes of each commit
//! without touching the database, then what was decided is written in a few statements, however many commits there are.
//!
//! The checks are made in the order in which stock clients expect their answers. A commit that is repeated is answered as the
//! first time, whatever was done to its file since, which is for the feed to tell, until the file was purged: then it is refused while the database
//! still knows the objects, and makes the file anew once they are forgotten. One that names the same objects for something else is
//! refused. Of two live files of an account no two have the same content tag: a commit whose tag is taken makes nothing, and is answered
//! with the file that has it.
//!
//! An object that was given up before it became a file's is new when the same bytes come again: its row goes, and the new one names
//! the bytes that have just come, never the old ones, which may be going at this moment.

use super::change::{ChangeError, CollectionState, Usage, change_usage, collection_states, locked_usage};
use super::clocks::Reach;
use super::commit::{Contents, Sizes, StoredFile, agreed_size, check_envelope, claim, stored_file};
use super::files::magic_text;
use super::lookup::{TAG_START, tag_start};
use super::packs::remember_waste;
use super::reap::blobs_in;
use super::sql::{LIST_MAX, ROWS_AT_ONCE, list, lock_in_order, long_statement, padded, padded_list, rows};
use super::thumbnails::{OnlyMembership, mark_of};
use super::uploads::{ObjectAddress, UNCOMMITTED_MICROS};
use super::{Store, StoreError, Tx};
use crate::objects::{BlobName, Packed};
use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::change::Span;
use darkslide_protocol::file::CommitRequest;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, FileId, ObjectKey, Version};
use sqlx::Row as _;
use std::collections::{BTreeSet, HashMap, HashSet};

/// An object that a request brought, and that lies on the disk without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewObject {
    /// Where it belongs.
    pub at: ObjectAddress,
    /// Whether its bytes are kept. If not, they lie nowhere: it was known already, or the quota had no room for it.
    pub is_kept: bool,
    /// Its file.
    pub blob: BlobName,
    /// Where in that file it begins, in bytes.
    pub offset: i64,
    /// Bytes.
    pub length: i64,
    /// `b3:` and the hex of its BLAKE3.
    pub digest: String,
    /// What HTTP calls its version, without quotes.
    pub etag: String,
    /// The damaged file for which alone it was let in.
    pub mends: Option<FileId>,
}

impl NewObject {
    /// One of the objects of a pack.
    pub fn packed(at: ObjectAddress, blob: &BlobName, object: &Packed) -> Self {
        let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            at,
            is_kept: true,
            blob: blob.clone(),
            offset: number(object.offset),
            length: number(object.length),
            digest: object.digest.to_string(),
            etag: object.digest.etag(),
            mends: None,
        }
    }

    /// Its length, where there was room for it.
    fn kept_length(&self) -> Result<i64, ChangeError> {
        if self.is_kept { Ok(self.length) } else { Err(ChangeError::QuotaExceeded) }
    }
}

/// What one request brings.
#[derive(Clone, Copy, Debug)]
pub struct BatchRequest<'r> {
    /// Objects whose blob is durable, where they are kept.
    pub objects: &'r [NewObject],
    /// Files to be made of them, and of others that are stored.
    pub commits: &'r [CommitRequest],
    /// Files' new thumbnails, likewise.
    pub thumbnails: &'r [ThumbnailRequest],
}

/// What became of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is a file, made now or when the same was asked before.
    Created(Created),
    /// A live file has its content tag.
    Existing(FileId),
}

/// A file that a commit made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The file.
    pub id: FileId,
    /// Its membership's version. Of one that was made before it is never that of something that was done to it since.
    pub version: Version,
    /// When its membership began, µs since the epoch.
    pub added_at: i64,
    /// Whether it has the thumbnail that the commit names. One that was replaced since stays replaced.
    pub(super) has_its_thumbnail: bool,
    /// Both objects' sizes.
    pub(super) sizes: Sizes,
}

/// What became of a batch.
#[derive(Debug)]
pub struct BatchOutcome {
    /// One for each commit, in their order.
    pub commits: Vec<Result<Committed, ChangeError>>,
    /// One for each thumbnail, in their order: its file's membership's version, if it has one and no more.
    pub thumbnails: Vec<Result<Option<OnlyMembership>, ChangeError>>,
    /// What the feed says of it, where that is all told here.
    pub span: Option<Span>,
    /// Whether a row names the blob of the new objects; if not, it can go.
    pub blob_is_named: bool,
}

impl BatchOutcome {
    /// Whether each of its records was refused for want of room.
    pub fn refuses_all_for_room(&self) -> bool {
        let commits = self.commits.iter().map(|commit| commit.as_ref().err());
        let thumbnails = self.thumbnails.iter().map(|thumbnail| thumbnail.as_ref().err());
        commits.chain(thumbnails).all(|refusal| matches!(refusal, Some(ChangeError::QuotaExceeded)))
    }
}

/// A row of `objects`.
#[derive(Clone, Debug)]
pub(super) struct KnownObject {
    pub(super) state: String,
    pub(super) length: Option<i64>,
    digest: Option<String>,
    file: Option<FileId>,
}

impl KnownObject {
    fn is_same(&self, fresh: &NewObject) -> bool {
        self.length == Some(fresh.length) && self.digest.as_ref() == Some(&fresh.digest)
    }

    /// Whether it is waiting to be removed without having been a file's, and the same bytes have come again. What was a file's is not
    /// new: it was purged.
    fn is_given_up(&self, fresh: &NewObject) -> bool {
        self.state == "garbage" && self.file.is_none() && self.is_same(fresh)
    }

    /// Whether the quota had no room for it, and it was let in to mend a file. It adds to no account's usage, so nothing else is made of it
    /// unless there is room by now to begin it.
    pub(super) fn only_mends(&self) -> bool {
        self.state == "stored" && self.file.is_some()
    }
}

/// A membership of a file that a commit made before.
#[derive(Clone, Copy, Debug)]
struct Membership {
    version: Version,
    added_at: i64,
    is_deleted: bool,
}

/// All that a decision needs to know, read under the account's lock.
struct World {
    usage: Usage,
    default_quota: i64,
    objects: HashMap<String, KnownObject>,
    files: HashMap<FileId, StoredFile>,
    memberships: HashMap<(CollectionId, FileId), Membership>,
    collections: HashMap<CollectionId, CollectionState>,
    tagged: HashMap<String, FileId>,
}

impl World {
    /// Whether an object gets a row of its own.
    fn is_new(&self, object: &NewObject) -> bool {
        object.is_kept && self.needs_bytes(object)
    }

    /// Whether it is not known, or is but for its bytes.
    fn needs_bytes(&self, object: &NewObject) -> bool {
        self.objects.get(&object.at.key().0).is_none_or(|known| known.is_given_up(object))
    }

    /// Those that there was no room for.
    fn roomless(&self, objects: &[NewObject]) -> HashSet<ObjectKey> {
        let roomless = objects.iter().filter(|object| !object.is_kept && self.needs_bytes(object));
        roomless.map(|object| object.at.key()).collect()
    }
}

/// What is to become of one commit.
#[derive(Debug)]
enum Decision {
    /// A new file.
    Create(Sizes),
    /// It was made before.
    Repeated(Created),
    /// A file from before has its tag.
    Existing(FileId),
    /// The commit of that index in this batch has its tag.
    SameAs(usize),
    /// Nothing.
    Refused(ChangeError),
}

impl Decision {
    /// Whether what it brings and no file has is not needed.
    fn leaves_objects(&self) -> bool {
        match self {
            Self::Existing(_) | Self::SameAs(_) => true,
            Self::Repeated(created) => !created.has_its_thumbnail,
            Self::Create(_) | Self::Refused(_) => false,
        }
    }
}

impl Store {
    /// Names new objects, makes files of them and of others that are stored, and replaces thumbnails. `default_quota` is in bytes.
    pub async fn commit_batch(
        &self,
        account: AccountId,
        BatchRequest { objects, commits, thumbnails }: BatchRequest<'_>,
        default_quota: i64,
    ) -> Result<BatchOutcome, ChangeError> {
        let ids = self.next_ids(commits.len()).await?;
        let named: BTreeSet<CollectionId> = commits.iter().map(|commit| commit.collection_id).collect();
        let collections: Vec<CollectionId> = named.into_iter().collect();
        let files: Vec<FileId> = thumbnails.iter().map(|thumbnail| thumbnail.file_id).collect();
        let reach = Reach { files: &files, ..Reach::collections(&collections) };
        let mut tx = self.begin_rows_for(account, reach).await?;
        let after = tx.clock_of(account);
        let usage = locked_usage(&mut tx, account).await?;
        let also = thumbnails.iter().map(|thumbnail| &thumbnail.thumbnail);
        let keys = keys_of(objects, commits, also);
        let world = read_world(&mut tx, account, usage, default_quota, &keys, commits).await?;
        let decisions = decide(account, &world, objects, commits);
        let (fresh, plan) = self.write(&mut tx, account, &world, objects, commits, &decisions, &ids).await?;
        let replaced = self.replace_thumbnails(&mut tx, account, thumbnails, default_quota).await?;
        let thumbnails = without_room(replaced, thumbnails, &world.roomless(objects));
        let is_told = thumbnails.iter().flatten().all(Option::is_some);
        // Where nothing was numbered, the clock may be that of another account.
        let is_numbered = tx.first().is_some();
        let span = after.filter(|_| is_told && is_numbered).map(|after| Span { after, until: tx.clock() });
        tx.commit().await?;
        let created = |index: usize| plan.get(&index).copied().ok_or(ChangeError::NotFound);
        let committed = |(index, decision)| match decision {
            Decision::Create(_) => created(index).map(Committed::Created),
            Decision::Repeated(created) => Ok(Committed::Created(created)),
            Decision::Existing(file) => Ok(Committed::Existing(file)),
            Decision::SameAs(first) => created(first).map(|created| Committed::Existing(created.id)),
            Decision::Refused(error) => Err(error),
        };
        let commits = decisions.into_iter().enumerate().map(committed).collect();
        Ok(BatchOutcome { commits, thumbnails, span, blob_is_named: fresh > 0 })
    }

    /// Writes what was decided. Tells how many objects are new, and the files that were made, by their commits' indices.
    #[expect(clippy::too_many_arguments, reason = "it is the second half of one transaction")]
    async fn write(
        &self,
        tx: &mut Tx,
        account: AccountId,
        world: &World,
        objects: &[NewObject],
        commits: &[CommitRequest],
        decisions: &[Decision],
        ids: &[i64],
    ) -> Result<(usize, HashMap<usize, Created>), ChangeError> {
        let now = self.now();
        let chosen: Vec<(usize, &CommitRequest, Sizes, FileId)> = decisions
            .iter()
            .enumerate()
            .zip(commits.iter().zip(ids))
            .filter_map(|((index, decision), (commit, id))| match decision {
                Decision::Create(sizes) => Some((index, commit, *sizes, FileId(*id))),
                _ => None,
            })
            .collect();
        let mut owners: HashMap<&str, FileId> = HashMap::new();
        for (_, commit, _, id) in &chosen {
            for reference in [&commit.file, &commit.thumbnail] {
                owners.insert(&reference.object_key.0, *id);
            }
        }
        // Two commits may name the same objects: what became a file's is needed.
        let unneeded: HashSet<&str> = decisions
            .iter()
            .zip(commits)
            .filter(|(decision, _)| decision.leaves_objects())
            .flat_map(|(_, commit)| {
                [commit.file.object_key.0.as_str(), commit.thumbnail.object_key.0.as_str()]
            })
            .filter(|key| !owners.contains_key(*key))
            .collect();
        let fresh: Vec<&NewObject> = objects.iter().filter(|object| world.is_new(object)).collect();
        forget_given_up(tx, world, &fresh).await?;
        insert_objects(tx, account, &fresh, &owners, &unneeded, now).await?;
        claim_known(tx, world, &owners).await?;
        discard_known(tx, world, &unneeded, now).await?;
        let created = self.insert_files(tx, account, &chosen, now).await?;
        Ok((fresh.len(), created))
    }

    /// Makes the files' rows, in their order, and moves their collections.
    async fn insert_files(
        &self,
        tx: &mut Tx,
        account: AccountId,
        chosen: &[(usize, &CommitRequest, Sizes, FileId)],
        now: i64,
    ) -> Result<HashMap<usize, Created>, ChangeError> {
        if chosen.is_empty() {
            return Ok(HashMap::new());
        }
        let first = self.allocate_versions(tx, chosen.len()).await?;
        let numbered: Vec<NewFile<'_>> = chosen
            .iter()
            .zip(first.0..)
            .map(|((index, commit, sizes, id), version)| NewFile {
                index: *index,
                commit,
                created: Created {
                    id: *id,
                    version: Version(version),
                    added_at: now,
                    has_its_thumbnail: true,
                    sizes: *sizes,
                },
            })
            .collect();
        for chunk in numbered.chunks(ROWS_AT_ONCE) {
            insert_file_rows(tx, account, chunk).await?;
            insert_membership_rows(tx, account, chunk).await?;
        }
        let bytes = chosen.iter().map(|(_, _, sizes, _)| sizes.sum()).sum();
        change_usage(tx, account, bytes).await?;
        let collections: BTreeSet<CollectionId> =
            chosen.iter().map(|(_, commit, ..)| commit.collection_id).collect();
        self.bump_collections(tx, &collections).await?;
        Ok(numbered.into_iter().map(|file| (file.index, file.created)).collect())
    }
}

/// Says of thumbnails whose objects are missing for want of room that this is why.
fn without_room<T>(
    replaced: Vec<Result<T, ChangeError>>,
    requests: &[ThumbnailRequest],
    roomless: &HashSet<ObjectKey>,
) -> Vec<Result<T, ChangeError>> {
    let told = |(replaced, request): (_, &ThumbnailRequest)| match replaced {
        Err(ChangeError::ObjectMissing) if roomless.contains(&request.thumbnail.object_key) => {
            Err(ChangeError::QuotaExceeded)
        }
        told => told,
    };
    replaced.into_iter().zip(requests).map(told).collect()
}

/// A file that is about to be written.
struct NewFile<'c> {
    index: usize,
    commit: &'c CommitRequest,
    created: Created,
}

/// Says what is to become of each commit. Pure.
fn decide(
    account: AccountId,
    world: &World,
    objects: &[NewObject],
    commits: &[CommitRequest],
) -> Vec<Decision> {
    let lengths: HashMap<String, &NewObject> =
        objects.iter().map(|object| (object.at.key().0, object)).collect();
    let mut bench = Bench { account, world, lengths, more: 0, claimed: HashSet::new(), tags: HashMap::new() };
    commits.iter().enumerate().map(|(index, commit)| bench.decide(index, commit)).collect()
}

/// What the commits before one have taken.
struct Bench<'w> {
    account: AccountId,
    world: &'w World,
    lengths: HashMap<String, &'w NewObject>,
    more: i64,
    claimed: HashSet<&'w str>,
    tags: HashMap<&'w str, usize>,
}

impl<'w> Bench<'w> {
    fn decide(&mut self, index: usize, commit: &'w CommitRequest) -> Decision {
        match self.weigh(commit) {
            Ok(Decision::Create(sizes)) => {
                self.more += sizes.sum();
                self.claimed
                    .extend([commit.file.object_key.0.as_str(), commit.thumbnail.object_key.0.as_str()]);
                self.tags.extend(commit.content_tag.as_ref().map(|tag| (tag.as_str(), index)));
                Decision::Create(sizes)
            }
            Ok(decision) => decision,
            Err(error) => Decision::Refused(error),
        }
    }

    fn weigh(&self, commit: &CommitRequest) -> Result<Decision, ChangeError> {
        let contents =
            Contents { file: &commit.file, thumbnail: &commit.thumbnail, metadata: &commit.metadata };
        contents.check(self.account)?;
        check_envelope(commit)?;
        if commit.id.is_some_and(|id| id.0 != 0) {
            return Err(ChangeError::Malformed("a commit with an id is an update: PUT /files/update"));
        }
        if let Some(stored) = self.file_of(&commit.file) {
            return self.repeated(commit, contents, stored).map(Decision::Repeated);
        }
        let collection = self.world.collections.get(&commit.collection_id).ok_or(ChangeError::NotFound)?;
        collection.must_be_owned_and_live()?;
        if let Some(decision) = self.by_tag(commit) {
            return Ok(decision);
        }
        let sizes = Sizes { file: self.size_of(&commit.file)?, thumbnail: self.size_of(&commit.thumbnail)? };
        let more = self.more.saturating_add(sizes.sum());
        let (usage, default_quota) = (self.world.usage, self.world.default_quota);
        let has_room = if self.only_mends(commit) {
            usage.admits(more, default_quota)
        } else {
            usage.has_room_for(more, default_quota)
        };
        if has_room { Ok(Decision::Create(sizes)) } else { Err(ChangeError::QuotaExceeded) }
    }

    /// Whether one of its objects was let in to mend a file, when there was no room for it.
    fn only_mends(&self, commit: &CommitRequest) -> bool {
        [&commit.file, &commit.thumbnail].into_iter().any(|reference| {
            self.world.objects.get(&reference.object_key.0).is_some_and(KnownObject::only_mends)
        })
    }

    /// The file that an object was committed to before.
    fn file_of(&self, reference: &ObjectReference) -> Option<&StoredFile> {
        let object = self.world.objects.get(&reference.object_key.0)?;
        let file = object.file.filter(|_| object.state != "stored")?;
        self.world.files.get(&file)
    }

    fn repeated(
        &self,
        commit: &CommitRequest,
        contents: Contents<'_>,
        stored: &StoredFile,
    ) -> Result<Created, ChangeError> {
        let has_its_thumbnail = contents.are_those_of(stored);
        let is_the_same =
            has_its_thumbnail || (contents.are_but_for_the_thumbnail(stored) && self.was_its(stored, commit));
        if stored.owner != self.account || stored.is_purged || !is_the_same {
            return Err(ChangeError::Malformed("the object belongs to another file"));
        }
        let membership = self.world.memberships.get(&(commit.collection_id, stored.id));
        let Membership { version, added_at, is_deleted } =
            *membership.ok_or(ChangeError::Malformed("the file was committed to another collection"))?;
        // Where it is not as it was made, the version that it has is that of what was done to it.
        let is_as_made = has_its_thumbnail && !is_deleted;
        let latest = if is_as_made { version } else { Version(version.0 - 1) };
        let version = stored.version.min(latest);
        let sizes = Sizes { file: stored.file_size, thumbnail: stored.thumbnail_size };
        Ok(Created { id: stored.id, version, added_at, has_its_thumbnail, sizes })
    }

    /// Whether a commit's thumbnail was the file's: its row says so for a day after it was replaced, and then it is the file's row that knows
    /// which was the first. The bytes that a batch brings with it again are not needed.
    fn was_its(&self, stored: &StoredFile, commit: &CommitRequest) -> bool {
        let key = commit.thumbnail.object_key.0.as_str();
        let was_first = || stored.first_thumbnail == Some(mark_of(key));
        match (self.world.objects.get(key), self.lengths.get(key)) {
            (Some(known), Some(fresh)) if known.is_given_up(fresh) => was_first(),
            (Some(known), _) => known.state == "garbage" && known.file == Some(stored.id),
            (None, fresh) => fresh.is_some() && was_first(),
        }
    }

    fn by_tag(&self, commit: &CommitRequest) -> Option<Decision> {
        let tag = commit.content_tag.as_ref()?.as_str();
        let earlier = self.tags.get(tag).map(|index| Decision::SameAs(*index));
        earlier.or_else(|| self.world.tagged.get(tag).map(|file| Decision::Existing(*file)))
    }

    /// The size of an object that is stored, unclaimed, and as long as the client says.
    fn size_of(&self, reference: &ObjectReference) -> Result<i64, ChangeError> {
        let key = reference.object_key.0.as_str();
        let (known, fresh) = (self.world.objects.get(key), self.lengths.get(key));
        let claimed = self.claimed.contains(key) || known.is_some_and(|known| known.state == "committed");
        if claimed {
            return Err(ChangeError::Malformed("the object belongs to another file"));
        }
        let size = match (known, fresh) {
            (Some(known), Some(fresh)) if known.is_given_up(fresh) => fresh.kept_length()?,
            (Some(known), _) if known.state != "stored" => return Err(ChangeError::ObjectMissing),
            (Some(known), Some(fresh)) if !known.is_same(fresh) => {
                return Err(ChangeError::Malformed("other bytes are stored under that key"));
            }
            (Some(known), _) => known.length.ok_or(ChangeError::ObjectMissing)?,
            (None, Some(fresh)) => fresh.kept_length()?,
            (None, None) => return Err(ChangeError::ObjectMissing),
        };
        agreed_size(size, reference)
    }
}

/// The keys of all objects that a batch brings or names, in order: they are locked together.
fn keys_of<'r>(
    objects: &[NewObject],
    commits: &'r [CommitRequest],
    also: impl Iterator<Item = &'r ObjectReference>,
) -> Vec<String> {
    let named = commits.iter().flat_map(|commit| [&commit.file, &commit.thumbnail]);
    let keys: BTreeSet<String> = named
        .chain(also)
        .map(|reference| reference.object_key.0.clone())
        .chain(objects.iter().map(|object| object.at.key().0))
        .collect();
    keys.into_iter().collect()
}

async fn read_world(
    tx: &mut Tx,
    account: AccountId,
    usage: Usage,
    default_quota: i64,
    keys: &[String],
    commits: &[CommitRequest],
) -> Result<World, ChangeError> {
    let known = lock_objects(tx, keys).await?;
    let claimed: BTreeSet<FileId> =
        known.values().filter(|object| object.state != "stored").filter_map(|object| object.file).collect();
    let claimed: Vec<FileId> = claimed.into_iter().collect();
    let collections: BTreeSet<CollectionId> = commits.iter().map(|commit| commit.collection_id).collect();
    let tags: BTreeSet<&str> = commits
        .iter()
        .filter_map(|commit| commit.content_tag.as_ref())
        .map(darkslide_protocol::ContentTag::as_str)
        .collect();
    Ok(World {
        usage,
        default_quota,
        objects: known,
        files: stored_files(tx, &claimed).await?,
        memberships: memberships_of(tx, &claimed).await?,
        collections: collection_states(tx, account, &collections.into_iter().collect::<Vec<_>>()).await?,
        tagged: tagged_files(tx, account, &tags.into_iter().collect::<Vec<_>>()).await?,
    })
}

/// The rows of these keys, which come in order, locked until the transaction ends: the reaper must not give them up meanwhile.
pub(super) async fn lock_objects(
    tx: &mut Tx,
    keys: &[String],
) -> Result<HashMap<String, KnownObject>, StoreError> {
    let mut known = HashMap::new();
    for chunk in keys.chunks(LIST_MAX) {
        let text = format!(
            "SELECT key, state, length, digest, file_id FROM objects WHERE key IN ({}){}",
            padded_list(1, chunk),
            lock_in_order(tx.engine())
        );
        let query = long_statement(tx.engine(), text, true);
        let query = padded(chunk).fold(query, |query, key| query.bind(key.clone()));
        for row in query.fetch_all(&mut **tx).await? {
            let object = KnownObject {
                state: row.try_get("state")?,
                length: row.try_get("length")?,
                digest: row.try_get("digest")?,
                file: row.try_get::<Option<i64>, _>("file_id")?.map(FileId),
            };
            known.insert(row.try_get("key")?, object);
        }
    }
    Ok(known)
}

pub(super) async fn stored_files(
    tx: &mut Tx,
    files: &[FileId],
) -> Result<HashMap<FileId, StoredFile>, ChangeError> {
    let mut stored = HashMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!("SELECT * FROM files WHERE id IN ({})", list(1, chunk.len()));
        let query =
            chunk.iter().fold(long_statement(tx.engine(), text, false), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            let file = stored_file(&row)?;
            stored.insert(file.id, file);
        }
    }
    Ok(stored)
}

async fn memberships_of(
    tx: &mut Tx,
    files: &[FileId],
) -> Result<HashMap<(CollectionId, FileId), Membership>, StoreError> {
    let mut found = HashMap::new();
    for chunk in files.chunks(LIST_MAX) {
        let text = format!(
            "SELECT collection_id, file_id, version, added_at, is_deleted FROM memberships WHERE file_id IN ({})",
            list(1, chunk.len())
        );
        let query =
            chunk.iter().fold(long_statement(tx.engine(), text, false), |query, file| query.bind(file.0));
        for row in query.fetch_all(&mut **tx).await? {
            let membership = Membership {
                version: Version(row.try_get("version")?),
                added_at: row.try_get("added_at")?,
                is_deleted: super::flag(&row, "is_deleted")?,
            };
            found.insert((CollectionId(row.try_get(0)?), FileId(row.try_get(1)?)), membership);
        }
    }
    Ok(found)
}

/// Which live files of the account have these content tags.
pub(super) async fn tagged_files(
    tx: &mut Tx,
    account: AccountId,
    tags: &[&str],
) -> Result<HashMap<String, FileId>, StoreError> {
    let mut tagged = HashMap::new();
    for chunk in tags.chunks(LIST_MAX) {
        let text = format!(
            "SELECT content_tag, id FROM files
             WHERE owner_id = $1 AND substr(content_tag, 1, {TAG_START}) IN ({}) AND is_purged = 0
             AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.file_id = files.id AND trash.is_restored = 0)",
            padded_list(2, chunk)
        );
        let query = long_statement(tx.engine(), text, true).bind(account.0);
        let query = padded(chunk).fold(query, |query, tag| query.bind(tag_start(tag).to_owned()));
        // Others that begin alike are among them; nobody asks for those.
        for row in query.fetch_all(&mut **tx).await? {
            tagged.insert(row.try_get(0)?, FileId(row.try_get(1)?));
        }
    }
    Ok(tagged)
}

/// Removes the rows of objects that were given up and have come again. The reaper, which may have read them before, forgets only what is
/// garbage still, and the bytes that it removes are the old ones. Where it had not, their packs are looked at.
async fn forget_given_up(tx: &mut Tx, world: &World, fresh: &[&NewObject]) -> Result<(), StoreError> {
    let keys = fresh.iter().map(|object| object.at.key().0);
    let given_up: Vec<String> = keys.filter(|key| world.objects.contains_key(key)).collect();
    for chunk in given_up.chunks(LIST_MAX) {
        let text = format!(
            "DELETE FROM objects WHERE state = 'garbage' AND key IN ({}) RETURNING blob",
            list(1, chunk.len())
        );
        let query = long_statement(tx.engine(), text, false);
        let query = chunk.iter().fold(query, |query, key| query.bind(key.clone()));
        let packs = blobs_in(&query.fetch_all(&mut **tx).await?)?;
        remember_waste(tx, &packs.into_iter().collect()).await?;
    }
    Ok(())
}

/// Makes the rows of new objects: committed where a file was made of them, garbage where they turned out not to be needed.
async fn insert_objects(
    tx: &mut Tx,
    account: AccountId,
    objects: &[&NewObject],
    owners: &HashMap<&str, FileId>,
    unneeded: &HashSet<&str>,
    now: i64,
) -> Result<(), StoreError> {
    for chunk in objects.chunks(ROWS_AT_ONCE) {
        let text = format!(
            "INSERT INTO objects (key, account_id, state, length, etag, digest, blob, blob_offset, file_id,
                                  expires_at, created_at)
             VALUES {}",
            rows(1, chunk.len(), 11)
        );
        let mut query = long_statement(tx.engine(), text, chunk.len() == ROWS_AT_ONCE);
        for object in chunk {
            let key = object.at.key().0;
            let owner = owners.get(key.as_str());
            let (state, expires) = match owner {
                Some(_) => ("committed", now + UNCOMMITTED_MICROS),
                None if unneeded.contains(key.as_str()) => ("garbage", now),
                None => ("stored", now + UNCOMMITTED_MICROS),
            };
            query = query
                .bind(key)
                .bind(account.0)
                .bind(state)
                .bind(object.length)
                .bind(object.etag.clone())
                .bind(object.digest.clone())
                .bind(object.blob.as_str().to_owned())
                .bind(object.offset)
                .bind(owner.or(object.mends.as_ref()).map(|file| file.0))
                .bind(expires)
                .bind(now);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// Objects that were stored before now belong to their files.
async fn claim_known(tx: &mut Tx, world: &World, owners: &HashMap<&str, FileId>) -> Result<(), StoreError> {
    let known = owners.iter().filter(|(key, _)| world.objects.contains_key(**key));
    let known: Vec<(FileId, &str)> = known.map(|(key, file)| (*file, *key)).collect();
    claim(tx, &known).await
}

/// Objects that were stored before and turned out not to be needed go with the next garbage.
async fn discard_known(
    tx: &mut Tx,
    world: &World,
    unneeded: &HashSet<&str>,
    now: i64,
) -> Result<(), StoreError> {
    let stored: Vec<&str> = unneeded
        .iter()
        .filter(|key| world.objects.get(**key).is_some_and(|object| object.state == "stored"))
        .copied()
        .collect();
    for chunk in stored.chunks(LIST_MAX) {
        let text = format!(
            "UPDATE objects SET state = 'garbage', expires_at = $1 WHERE state = 'stored' AND key IN ({})",
            list(2, chunk.len())
        );
        let query = chunk.iter().fold(long_statement(tx.engine(), text, false).bind(now), |query, key| {
            query.bind((*key).to_owned())
        });
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

async fn insert_file_rows(tx: &mut Tx, account: AccountId, files: &[NewFile<'_>]) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO files (id, owner_id, file_object, file_header, file_size, thumbnail_object,
                            thumbnail_header, thumbnail_size, metadata, metadata_header, magic_metadata,
                            pub_magic_metadata, is_purged, version, created_at, content_tag)
         VALUES {}",
        rows(1, files.len(), 16)
    );
    let mut query = long_statement(tx.engine(), text, files.len() == ROWS_AT_ONCE);
    for NewFile { commit, created, .. } in files {
        query = query
            .bind(created.id.0)
            .bind(account.0)
            .bind(commit.file.object_key.0.clone())
            .bind(commit.file.decryption_header.0.clone())
            .bind(created.sizes.file)
            .bind(commit.thumbnail.object_key.0.clone())
            .bind(commit.thumbnail.decryption_header.0.clone())
            .bind(created.sizes.thumbnail)
            .bind(commit.metadata.encrypted_data.as_ref().map_or_else(String::new, |data| data.0.clone()))
            .bind(commit.metadata.decryption_header.0.clone())
            .bind(commit.magic_metadata.as_ref().map(magic_text))
            .bind(commit.pub_magic_metadata.as_ref().map(magic_text))
            .bind(0_i64)
            .bind(created.version.0)
            .bind(created.added_at)
            .bind(commit.content_tag.as_ref().map(ToString::to_string));
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

async fn insert_membership_rows(
    tx: &mut Tx,
    account: AccountId,
    files: &[NewFile<'_>],
) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO memberships (collection_id, file_id, account_id, encrypted_key, key_decryption_nonce,
                                  is_deleted, added_at, version)
         VALUES {}",
        rows(1, files.len(), 8)
    );
    let mut query = long_statement(tx.engine(), text, files.len() == ROWS_AT_ONCE);
    for NewFile { commit, created, .. } in files {
        query = query
            .bind(commit.collection_id.0)
            .bind(created.id.0)
            .bind(account.0)
            .bind(commit.encrypted_key.0.clone())
            .bind(commit.key_decryption_nonce.0.clone())
            .bind(0_i64)
            .bind(created.added_at)
            .bind(created.version.0);
    }
    query.execute(&mut **tx).await?;
    Ok(())
}
