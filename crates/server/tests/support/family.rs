//! A family whose members share albums, and who do everything at once that can be done with files and collections.
//!
//! Each deed is chosen among what its account has at that moment, so that it works unless somebody else was quicker; now and then
//! without looking, so that refusals are part of it. How often each has worked is counted: what never works tests nothing.

use super::mirror::Mirror;
use super::reader::Reader;
use super::stored::{
    QUOTA, account, album, commit_of, key, magic, new_collection, new_file, object, share_with, update_of,
};
use darkslide_protocol::batch::ThumbnailRequest;
use darkslide_protocol::change::{Change, Span};
use darkslide_protocol::collection::{CollectionType, CreateCollectionRequest, RenameRequest};
use darkslide_protocol::file::FileKey;
use darkslide_protocol::upload::ObjectReference;
use darkslide_protocol::{AccountId, CollectionId, ContentTag, FileId, Opaque, Version};
use darkslide_server::objects::{BlobName, Digest};
use darkslide_server::store::Store;
use darkslide_server::store::batch::{BatchRequest, Committed, NewObject};
use darkslide_server::store::change::ChangeError;
use darkslide_server::store::magic::Envelope;
use darkslide_server::store::uploads::ObjectAddress;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Its members.
pub const FAMILY: [&str; 3] = ["a@example.org", "b@example.org", "c@example.org"];

/// Writers of one account, all at once.
pub const WRITERS: usize = 2;

/// Numbers that look random and are the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.throw(of.len())).copied()
    }

    /// One to three of them, none twice; none of none.
    fn some<T: Copy + Ord>(&mut self, of: &[T]) -> Vec<T> {
        let some: BTreeSet<T> = (0..=self.throw(3)).filter_map(|_| self.one(of)).collect();
        some.into_iter().collect()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.throw(last + 1));
        }
    }
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    CreateCollection,
    CreateSeveral,
    RenameCollection,
    CollectionMagic,
    DeleteCollection,
    Share,
    Unshare,
    Leave,
    SharedMagic,
    Commit,
    Update,
    RestoreVersion,
    FileMagic,
    Add,
    Move,
    Remove,
    Trash,
    Restore,
    Purge,
    EmptyTrash,
    /// A batch, by what its commits and thumbnails came to.
    Batch,
    BatchFile,
    BatchCopy,
    BatchThumbnail,
}

/// What a writer does, each as often as it stands here, in an order of its own.
const DECK: [Deed; 34] = [
    Deed::CreateCollection,
    Deed::CreateSeveral,
    Deed::RenameCollection,
    Deed::CollectionMagic,
    Deed::DeleteCollection,
    Deed::Share,
    Deed::Share,
    Deed::Share,
    Deed::Unshare,
    Deed::Leave,
    Deed::SharedMagic,
    Deed::Commit,
    Deed::Commit,
    Deed::Commit,
    Deed::Update,
    Deed::Update,
    Deed::RestoreVersion,
    Deed::FileMagic,
    Deed::Add,
    Deed::Add,
    Deed::Move,
    Deed::Move,
    Deed::Remove,
    Deed::Trash,
    Deed::Trash,
    Deed::Trash,
    Deed::Restore,
    Deed::Restore,
    Deed::Purge,
    Deed::EmptyTrash,
    Deed::Batch,
    Deed::Batch,
    Deed::Batch,
    Deed::Batch,
];

/// How often each deed has worked.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Deed, usize>>);

impl Tally {
    fn count(&self, deed: Deed) {
        *self.0.lock().unwrap().entry(deed).or_default() += 1;
    }

    /// That there is none that has never worked.
    pub fn must_be_full(&self) {
        let worked = self.0.lock().unwrap();
        let parts = [Deed::BatchFile, Deed::BatchCopy, Deed::BatchThumbnail];
        for deed in DECK.iter().chain(&parts) {
            assert!(worked.contains_key(deed), "{deed:?} has never worked: {worked:?}");
        }
    }
}

/// What an account has at a moment. Others may change it before anything is done about it.
#[derive(Default)]
struct Seen {
    /// Own files, with own collections that they are in.
    own: Vec<(CollectionId, FileId)>,
    /// Files that can be taken out of a collection: own ones out of others', and others' out of own ones.
    removable: Vec<(CollectionId, FileId)>,
    trashed: Vec<FileId>,
    collections: Vec<CollectionId>,
    /// Own ones that others see, and who.
    given: Vec<(CollectionId, usize)>,
    /// Others' that the account sees.
    shared: Vec<CollectionId>,
}

impl Seen {
    async fn by(store: &Store, account: AccountId) -> Self {
        let Mirror { collections, files, trash, .. } = Mirror::of_everything(store, account).await;
        let mut seen = Self::default();
        for collection in collections.values().filter(|collection| !collection.is_deleted) {
            if collection.owner.id != account {
                seen.shared.push(collection.id);
                continue;
            }
            seen.collections.push(collection.id);
            let emails = collection.sharees.iter().map(|sharee| sharee.email.as_str());
            let members = emails.filter_map(|email| FAMILY.iter().position(|member| *member == email));
            seen.given.extend(members.map(|member| (collection.id, member)));
        }
        for file in files.values().filter(|file| !file.is_deleted) {
            let at = (file.collection_id, file.id);
            match (seen.collections.contains(&file.collection_id), file.owner_id == account) {
                (true, true) => seen.own.push(at),
                (true, false) | (false, true) => seen.removable.push(at),
                (false, false) => {}
            }
        }
        let there = trash.values().filter(|item| !item.is_deleted && !item.is_restored);
        seen.trashed.extend(there.map(|item| item.file.id));
        seen
    }

    fn files(&self) -> Vec<FileId> {
        self.own.iter().map(|(_, file)| *file).collect()
    }
}

/// A family, and what its members have ever made: they tread on each other's toes.
pub struct Family {
    pub accounts: Vec<AccountId>,
    collections: Mutex<Vec<CollectionId>>,
    files: Mutex<Vec<FileId>>,
    writing: AtomicUsize,
    tally: Arc<Tally>,
}

/// One that writes, until it is dropped, also by a failure: those who read wait for all.
struct Writing<'f>(&'f AtomicUsize);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Family {
    pub async fn new(store: &Store, tally: &Arc<Tally>) -> Arc<Self> {
        let (mut accounts, mut collections) = (Vec::new(), Vec::new());
        for email in FAMILY {
            let account = account(store, email).await;
            accounts.push(account);
            collections.push(album(store, account).await);
            collections.push(album(store, account).await);
        }
        let writing = AtomicUsize::new(accounts.len() * WRITERS);
        let (collections, files) = (Mutex::new(collections), Mutex::default());
        Arc::new(Self { accounts, collections, files, writing, tally: Arc::clone(tally) })
    }

    /// Whether anybody still writes.
    fn is_written(&self) -> bool {
        self.writing.load(Ordering::SeqCst) > 0
    }

    /// Plays through the deck once.
    pub async fn write(&self, store: &Store, account: AccountId, seed: u64) {
        let _writing = Writing(&self.writing);
        let mut dice = Dice(seed | 1);
        let mut deck = DECK;
        dice.shuffle(&mut deck);
        for deed in deck {
            // Refusals are part of it: nobody knows what the others have just done.
            match self.step(store, account, deed, &mut dice).await {
                Ok(true) => self.tally.count(deed),
                Err(ChangeError::Store(error)) => panic!("{error:?}"),
                _ => {}
            }
        }
    }

    /// What the account sees; now and then something that may be anybody's and in any state.
    async fn seen(&self, store: &Store, account: AccountId, dice: &mut Dice) -> Seen {
        if dice.throw(5) > 0 {
            return Seen::by(store, account).await;
        }
        let (collections, files) =
            (self.collections.lock().unwrap().clone(), self.files.lock().unwrap().clone());
        let own: Vec<_> = files.iter().filter_map(|file| Some((dice.one(&collections)?, *file))).collect();
        let given = collections.iter().map(|collection| (*collection, dice.throw(FAMILY.len()))).collect();
        let (removable, shared) = (own.clone(), collections.clone());
        Seen { own, removable, trashed: files, collections, given, shared }
    }

    /// Does it, after what it needs, if that is not there. False when there was nothing to do it to.
    async fn step(
        &self,
        store: &Store,
        account: AccountId,
        deed: Deed,
        dice: &mut Dice,
    ) -> Result<bool, ChangeError> {
        let mut seen = self.seen(store, account, dice).await;
        if self.prepare(store, account, deed, &seen, dice).await? {
            seen = Seen::by(store, account).await;
        }
        self.act(store, account, deed, &seen, dice).await
    }

    /// Makes what a deed is done to, where there is none. False when there was some.
    async fn prepare(
        &self,
        store: &Store,
        account: AccountId,
        deed: Deed,
        seen: &Seen,
        dice: &mut Dice,
    ) -> Result<bool, ChangeError> {
        match deed {
            Deed::Restore | Deed::Purge | Deed::EmptyTrash if seen.trashed.is_empty() => {
                self.act(store, account, Deed::Trash, seen, dice).await?;
            }
            Deed::Unshare if seen.given.is_empty() => {
                self.act(store, account, Deed::Share, seen, dice).await?;
            }
            Deed::RestoreVersion => {
                self.act(store, account, Deed::Update, seen, dice).await?;
            }
            Deed::Leave | Deed::SharedMagic if seen.shared.is_empty() => {
                self.be_given(store, account, dice).await?;
            }
            Deed::Remove if seen.removable.is_empty() => {
                let given = self.be_given(store, account, dice).await?;
                let (Some(given), Some(file)) = (given, dice.one(&seen.files())) else { return Ok(false) };
                store.add_files(account, given, &[key(file)]).await?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Has another member share a collection with the account.
    async fn be_given(
        &self,
        store: &Store,
        account: AccountId,
        dice: &mut Dice,
    ) -> Result<Option<CollectionId>, ChangeError> {
        let own = self.place_of(account);
        let other = self.accounts[(own + 1) % FAMILY.len()];
        let Some(theirs) = dice.one(&Seen::by(store, other).await.collections) else { return Ok(None) };
        store.share_collection(other, &share_with(theirs, FAMILY[own], "COLLABORATOR")).await?;
        Ok(Some(theirs))
    }

    async fn act(
        &self,
        store: &Store,
        account: AccountId,
        deed: Deed,
        seen: &Seen,
        dice: &mut Dice,
    ) -> Result<bool, ChangeError> {
        let Some(here) = dice.one(&seen.collections) else {
            let made = store.create_collection(account, &new_collection(CollectionType::Album)).await?;
            self.collections.lock().unwrap().push(made.id);
            return Ok(deed == Deed::CreateCollection);
        };
        let envelope = magic(FileId(0), 1).magic_metadata;
        match deed {
            Deed::CreateCollection => {
                let made = store.create_collection(account, &new_collection(CollectionType::Album)).await?;
                self.collections.lock().unwrap().push(made.id);
            }
            Deed::CreateSeveral => self.make_several(store, account, dice).await?,
            Deed::RenameCollection => store.rename_collection(account, &rename(here, dice)).await?,
            Deed::CollectionMagic => {
                store.update_collection_magic(account, here, Envelope::Private, &envelope).await?;
            }
            Deed::DeleteCollection => store.delete_collection(account, here, false).await?,
            Deed::Share => {
                let role = dice.one(&["VIEWER", "COLLABORATOR", "COLLABORATOR", "ADMIN"]).unwrap();
                let email =
                    FAMILY[(self.place_of(account) + 1 + dice.throw(FAMILY.len() - 1)) % FAMILY.len()];
                store.share_collection(account, &share_with(here, email, role)).await?;
            }
            Deed::Unshare => {
                let Some((collection, member)) = dice.one(&seen.given) else { return Ok(false) };
                store.unshare_collection(account, collection, FAMILY[member]).await?;
            }
            Deed::Leave => {
                let Some(shared) = dice.one(&seen.shared) else { return Ok(false) };
                store.leave_collection(account, shared).await?;
            }
            Deed::SharedMagic => {
                let Some(shared) = dice.one(&seen.shared) else { return Ok(false) };
                store.update_shared_magic(account, shared, &envelope).await?;
            }
            Deed::Batch => self.send_batch(store, account, seen, dice).await?,
            _ => return self.act_on_files(store, account, deed, here, seen, dice).await,
        }
        Ok(true)
    }

    async fn act_on_files(
        &self,
        store: &Store,
        account: AccountId,
        deed: Deed,
        here: CollectionId,
        seen: &Seen,
        dice: &mut Dice,
    ) -> Result<bool, ChangeError> {
        let others: Vec<_> = seen.collections.iter().copied().filter(|other| *other != here).collect();
        let there = dice.one(&others).unwrap_or(here);
        let (some, trashed) = (dice.some(&seen.files()), dice.some(&seen.trashed));
        let keys = |files: &[FileId]| files.iter().copied().map(key).collect::<Vec<FileKey>>();
        match deed {
            Deed::Commit => {
                let commit = new_file(store, account, here, 10).await;
                let made = store.commit_file(account, &commit, QUOTA).await?;
                self.files.lock().unwrap().push(made.id);
                return Ok(true);
            }
            Deed::Update => {
                let Some(file) = some.first() else { return Ok(false) };
                let (new, thumbnail) = (object(store, account, 20).await, object(store, account, 2).await);
                store.update_file(account, &update_of(*file, new, thumbnail), QUOTA).await?;
            }
            Deed::RestoreVersion => return restore_version(store, account, &seen.files()).await,
            Deed::FileMagic => {
                let updates: Vec<_> = some.iter().map(|file| magic(*file, 1)).collect();
                store.update_magic(account, Envelope::Public, &updates, true).await?;
            }
            Deed::Add => {
                let shared = dice.one(&seen.shared).filter(|_| dice.throw(2) == 0);
                store.add_files(account, shared.unwrap_or(there), &keys(&some)).await?;
            }
            Deed::Move => store.move_files(account, here, there, &keys(&some)).await?,
            Deed::Remove => {
                let Some((collection, file)) = dice.one(&seen.removable) else { return Ok(false) };
                store.remove_files(account, collection, &[file]).await?;
                return Ok(true);
            }
            Deed::Trash => {
                let own = dice.some(&seen.own);
                let items: BTreeMap<_, _> =
                    own.into_iter().map(|(collection, file)| (file, collection)).collect();
                let items: Vec<_> = items.into_iter().collect();
                store.trash_files(account, &items).await?;
            }
            Deed::Restore => {
                store.restore_files(account, here, &keys(&trashed)).await?;
                return Ok(!trashed.is_empty());
            }
            Deed::Purge => return Ok(store.purge_files(account, &trashed).await? > 0),
            Deed::EmptyTrash => return Ok(store.empty_trash(account, Version(i64::MAX / 2)).await? > 0),
            of_collections => unreachable!("{of_collections:?} is done elsewhere"),
        }
        Ok(!some.is_empty())
    }

    /// Which member of the family it is.
    fn place_of(&self, account: AccountId) -> usize {
        self.accounts.iter().position(|member| *member == account).unwrap()
    }

    /// Pictures with bytes of their own, some with a tag that others have, and thumbnails for files that are there.
    async fn send_batch(
        &self,
        store: &Store,
        account: AccountId,
        seen: &Seen,
        dice: &mut Dice,
    ) -> Result<(), ChangeError> {
        let blob = BlobName::generate(uuid::Uuid::new_v4(), 0);
        let (mut objects, mut commits, mut thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..dice.throw(4) {
            let file = packed(account, &blob, 10, &mut objects);
            let small = packed(account, &blob, 1, &mut objects);
            let mut commit = commit_of(dice.one(&seen.collections).unwrap(), file, small);
            if dice.throw(2) == 0 {
                let tag = [u8::try_from(dice.throw(4)).unwrap(); 32];
                commit.content_tag = Some(ContentTag::encode(tag));
            }
            commits.push(commit);
        }
        for file_id in dice.some(&seen.files()) {
            let thumbnail = packed(account, &blob, 2, &mut objects);
            thumbnails.push(ThumbnailRequest { file_id, thumbnail, if_original: None });
        }
        let request = BatchRequest { objects: &objects, commits: &commits, thumbnails: &thumbnails };
        let done = store.commit_batch(account, request, QUOTA).await?;
        let mut told: BTreeSet<FileId> = BTreeSet::new();
        for committed in done.commits.into_iter().flatten() {
            if let Committed::Created(created) = committed {
                self.files.lock().unwrap().push(created.id);
                told.insert(created.id);
                self.tally.count(Deed::BatchFile);
            } else {
                self.tally.count(Deed::BatchCopy);
            }
        }
        for (request, _) in thumbnails.iter().zip(&done.thumbnails).filter(|(_, done)| done.is_ok()) {
            told.insert(request.file_id);
            self.tally.count(Deed::BatchThumbnail);
        }
        if let Some(span) = done.span {
            must_tell_only(store, account, span, &told).await;
        }
        Ok(())
    }

    async fn make_several(
        &self,
        store: &Store,
        account: AccountId,
        dice: &mut Dice,
    ) -> Result<(), ChangeError> {
        // A key is drawn for each; what comes twice is the same call once more.
        let one = || CreateCollectionRequest {
            encrypted_key: Opaque::encode([uuid::Uuid::new_v4().into_bytes(); 3].concat()),
            ..new_collection(CollectionType::Album)
        };
        let requests: Vec<_> = (0..=dice.throw(3)).map(|_| one()).collect();
        for _ in 0..=dice.throw(2) {
            let made = store.create_collections(account, &requests).await?;
            if let Some(span) = made.span {
                must_tell_only(store, account, span, &BTreeSet::new()).await;
                self.collections.lock().unwrap().extend(made.collections.iter().map(|one| one.id));
            }
        }
        Ok(())
    }

    /// Reads in small pages as long as anybody writes, and then to the end.
    pub async fn read(&self, store: &Store, mut mirror: Mirror, seed: u64) {
        let mut dice = Dice(seed | 1);
        while self.is_written() {
            let has_more = mirror.read(store, u16::try_from(1 + dice.throw(9)).unwrap()).await;
            if !has_more {
                tokio::task::yield_now().await;
            }
        }
        while mirror.read(store, 7).await {}
        mirror.must_be_complete(store).await;
        if mirror.start == Version(0) {
            mirror.must_be_what_the_base_says(store).await;
        }
    }

    /// Reads as stock clients do, which have no ordered feed.
    pub async fn read_as_stock(&self, store: &Store, account: AccountId) {
        let mut reader = Reader::new(account, 3);
        while self.is_written() {
            reader.sync(store).await;
            tokio::task::yield_now().await;
        }
        reader.must_be_up_to_date(store).await;
    }
}

/// Brings back the latest earlier contents of the first file that has some.
async fn restore_version(store: &Store, account: AccountId, files: &[FileId]) -> Result<bool, ChangeError> {
    for file in files {
        let kept = store.earlier_versions(account, *file).await?.versions;
        if let Some(earlier) = kept.first() {
            store.restore_version(account, *file, earlier.version, QUOTA).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// An object of a batch, as its commit names it.
fn packed(account: AccountId, blob: &BlobName, length: i64, objects: &mut Vec<NewObject>) -> ObjectReference {
    let at = ObjectAddress::generate(account);
    let digest = Digest::of(at.object.as_bytes());
    let offset = objects.iter().map(|object| object.length).sum();
    let etag = digest.etag();
    objects.push(NewObject {
        is_kept: true,
        at,
        blob: blob.clone(),
        offset,
        length,
        digest: digest.to_string(),
        etag,
        mends: None,
    });
    ObjectReference { object_key: at.key(), decryption_header: Opaque("aA==".into()), size: Some(length) }
}

/// That a span of the feed has nothing but these files and collections, whatever others have done since: rows that they touched have
/// moved out of it.
async fn must_tell_only(store: &Store, account: AccountId, span: Span, files: &BTreeSet<FileId>) {
    let page = store.changes(account, span.after, u16::MAX).await.unwrap();
    for change in page.changes.into_iter().filter(|change| change.version().unwrap() <= span.until) {
        match change {
            Change::Membership { file, .. } => assert!(files.contains(&file.id), "{file:?} in {span:?}"),
            Change::Collection { .. } => {}
            other => panic!("{other:?} in {span:?}"),
        }
    }
}

fn rename(collection_id: CollectionId, dice: &mut Dice) -> RenameRequest {
    let encrypted_name = Opaque::encode(dice.throw(1000).to_be_bytes());
    RenameRequest { collection_id, encrypted_name, name_decryption_nonce: Opaque("bm4=".into()) }
}
