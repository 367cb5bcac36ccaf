//! What stock clients read of each answer, member by member: the union of all of them, so that each one is served.

use crate::fields::Fields;
use crate::vault::{read_attributes, read_wrapped};
use darkslide_crypto::account::KeyAttributes;
use darkslide_crypto::keys::WrappedKey;
use serde_json::Value;

/// Mutable metadata as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Magic {
    /// The stored version.
    pub version: i64,
    /// How many keys the JSON has.
    pub count: i64,
    /// The encrypted JSON.
    pub data: Vec<u8>,
    /// Its stream header.
    pub header: Vec<u8>,
}

/// A collection as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionRow {
    /// The collection.
    pub id: i64,
    /// Its owner.
    pub owner: i64,
    /// Its key under the master key.
    pub key: WrappedKey,
    /// `album`, `folder`, `favorites`, `uncategorized`.
    pub kind: String,
    /// The name under the collection's key.
    pub encrypted_name: Vec<u8>,
    /// Its nonce.
    pub name_nonce: Vec<u8>,
    /// The encrypted device path, of folder collections.
    pub encrypted_path: Option<Vec<u8>>,
    /// The newest change in it.
    pub time: i64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Private metadata.
    pub magic: Option<Magic>,
    /// Public metadata.
    pub public_magic: Option<Magic>,
}

/// One membership joined with its file, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    /// The file.
    pub id: i64,
    /// Its owner.
    pub owner: i64,
    /// The collection that it is listed in.
    pub collection: i64,
    /// The file's key under the collection's.
    pub key: WrappedKey,
    /// The original's stream header.
    pub file_header: Vec<u8>,
    /// The thumbnail's stream header.
    pub thumbnail_header: Vec<u8>,
    /// The encrypted metadata, and its stream header. `None` when purged.
    pub metadata: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether it is no longer in the collection.
    pub deleted: bool,
    /// The membership's version.
    pub time: i64,
    /// Private metadata.
    pub magic: Option<Magic>,
    /// Public metadata.
    pub public_magic: Option<Magic>,
    /// Sizes of original and thumbnail, encrypted. `None` when purged.
    pub sizes: Option<(i64, i64)>,
}

/// One entry of the trash, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct TrashRow {
    /// The file, in the collection that the trashing named.
    pub file: FileRow,
    /// Purged for good.
    pub purged: bool,
    /// Brought back.
    pub restored: bool,
    /// When it will be purged.
    pub delete_by: i64,
    /// When it was trashed first.
    pub created_at: i64,
    /// The newest change of this entry.
    pub updated_at: i64,
}

/// What a sign-in step answered.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The account.
    pub id: i64,
    /// The plain token, before the account has keys.
    pub token: Option<String>,
    /// The keys and the sealed token, afterwards.
    pub keys: Option<(KeyAttributes, Vec<u8>)>,
}

/// Reads `{"collection":{…}}`.
pub fn read_wrapped_collection(answer: &Value) -> CollectionRow {
    read_collection(&Fields::of("answer", answer).object("collection"))
}

/// Reads `{"collections":[…]}`.
pub fn read_collections(answer: &Value) -> Vec<CollectionRow> {
    Fields::of("answer", answer).objects("collections").iter().map(read_collection).collect()
}

/// Reads one collection of the caller's own.
pub fn read_collection(fields: &Fields<'_>) -> CollectionRow {
    let owner = fields.object("owner");
    owner.text("email");
    assert!(!fields.has("name") || fields.text("name").is_empty(), "names are never plain");
    let attributes = fields.object("attributes");
    attributes.integer("version");
    for sharee in if fields.has("sharees") { fields.objects("sharees") } else { Vec::new() } {
        sharee.id("id");
        sharee.text("email");
        sharee.words("role");
    }
    if fields.has("publicURLs") {
        fields.objects("publicURLs");
    }
    let kind = fields.words("type").to_owned();
    assert!(["album", "folder", "favorites", "uncategorized"].contains(&kind.as_str()), "{kind}");
    CollectionRow {
        id: fields.id("id"),
        owner: owner.id("id"),
        key: read_wrapped(fields, "encryptedKey", "keyDecryptionNonce"),
        kind,
        encrypted_name: fields.base64("encryptedName"),
        name_nonce: fields.bytes("nameDecryptionNonce", 24),
        encrypted_path: attributes.has("encryptedPath").then(|| attributes.base64("encryptedPath")),
        time: fields.micros("updationTime"),
        deleted: fields.has("isDeleted") && fields.boolean("isDeleted"),
        magic: read_magic(fields, "magicMetadata"),
        public_magic: read_magic(fields, "pubMagicMetadata"),
    }
}

/// Reads a page of a collection's diff: its rows in order, and whether another page follows.
pub fn read_file_diff(answer: &Value) -> (Vec<FileRow>, bool) {
    let fields = Fields::of("answer", answer);
    let rows: Vec<FileRow> = fields.objects("diff").iter().map(read_file).collect();
    let times = rows.iter().map(|row| row.time);
    (check_page(rows.clone(), times, fields.boolean("hasMore")), fields.boolean("hasMore"))
}

/// Reads one membership.
pub fn read_file(fields: &Fields<'_>) -> FileRow {
    let (file, thumbnail, metadata) =
        (fields.object("file"), fields.object("thumbnail"), fields.object("metadata"));
    // Of a purged file only placeholders are left: strings all the same.
    let purged = !metadata.has("encryptedData") || metadata.text("encryptedData") == "-";
    let header = |object: &Fields<'_>| {
        let text = object.text("decryptionHeader");
        if purged && text.len() <= 1 { Vec::new() } else { object.bytes("decryptionHeader", 24) }
    };
    let (file_header, thumbnail_header) = (header(&file), header(&thumbnail));
    header(&metadata);
    if fields.has("collectionOwnerID") {
        fields.id("collectionOwnerID");
    }
    if fields.has("collectionAddedAt") {
        fields.micros("collectionAddedAt");
    }
    FileRow {
        id: fields.id("id"),
        owner: fields.id("ownerID"),
        collection: fields.id("collectionID"),
        key: read_wrapped(fields, "encryptedKey", "keyDecryptionNonce"),
        file_header,
        thumbnail_header,
        metadata: (!purged)
            .then(|| (metadata.base64("encryptedData"), metadata.bytes("decryptionHeader", 24))),
        deleted: fields.boolean("isDeleted"),
        time: fields.micros("updationTime"),
        magic: read_magic(fields, "magicMetadata"),
        public_magic: read_magic(fields, "pubMagicMetadata"),
        sizes: (!purged).then(|| {
            let info = fields.object("info");
            (info.id("fileSize"), info.id("thumbSize"))
        }),
    }
}

/// Reads a page of the trash's diff.
pub fn read_trash_diff(answer: &Value) -> (Vec<TrashRow>, bool) {
    let fields = Fields::of("answer", answer);
    let rows: Vec<TrashRow> = fields.objects("diff").iter().map(read_trash_item).collect();
    let times = rows.iter().map(|row| row.updated_at);
    (check_page(rows.clone(), times, fields.boolean("hasMore")), fields.boolean("hasMore"))
}

/// Reads one entry of the trash.
pub fn read_trash_item(fields: &Fields<'_>) -> TrashRow {
    let row = TrashRow {
        file: read_file(&fields.object("file")),
        purged: fields.boolean("isDeleted"),
        restored: fields.boolean("isRestored"),
        delete_by: fields.micros("deleteBy"),
        created_at: fields.micros("createdAt"),
        updated_at: fields.micros("updatedAt"),
    };
    assert!(!(row.purged && row.restored), "both purged and restored: {row:?}");
    assert_eq!(row.purged, row.file.metadata.is_none(), "only purged items lose their metadata: {row:?}");
    row
}

/// Reads what a sign-in step answers: a plain token or a sealed one with the keys that open it, never both.
pub fn read_authorization(answer: &Value) -> Authorization {
    let fields = Fields::of("authorization", answer);
    for absent in ["twoFactorSessionID", "twoFactorSessionIDV2", "passkeySessionID", "accountsUrl"] {
        assert!(!fields.has(absent) || fields.text(absent).is_empty(), "{absent} asks for a second factor");
    }
    let keys = fields
        .has("keyAttributes")
        .then(|| (read_attributes(&fields.object("keyAttributes")), fields.bytes("encryptedToken", 80)));
    let token =
        fields.has("token").then(|| fields.text("token").to_owned()).filter(|token| !token.is_empty());
    assert_ne!(keys.is_some(), token.is_some(), "a plain token and keys exclude each other: {answer}");
    // Phones tell sign-up from sign-in by the null, not by emptiness.
    assert_eq!(fields.has("encryptedToken"), keys.is_some(), "{answer}");
    Authorization { id: fields.id("id"), token, keys }
}

/// Reads `GET /users/details/v2`; returns (usage, quota).
pub fn read_details(answer: &Value, email: &str, wants_count: bool) -> (i64, i64) {
    let fields = Fields::of("details", answer);
    assert_eq!(fields.text("email"), email);
    assert!(!fields.has("familyData"), "family data would switch the quota's arithmetic");
    if wants_count {
        fields.integer("fileCount");
    }
    fields.integer("sharedCollectionsCount");
    fields.integer("storageBonus");
    let subscription = fields.object("subscription");
    for text in ["productID", "originalTransactionID", "paymentProvider", "price", "period"] {
        subscription.text(text);
    }
    assert!(subscription.integer("expiryTime") > 1_900_000_000_000_000, "not in the past: {answer}");
    let profile = fields.object("profileData");
    profile.boolean("canDisableEmailMFA");
    profile.boolean("isEmailMFAEnabled");
    profile.boolean("isTwoFactorEnabled");
    profile.integer("passkeyCount");
    fields.object("bonusData").objects("storageBonuses");
    (fields.integer("usage"), subscription.id("storage"))
}

/// Reads `GET /remote-store/feature-flags`; every member is optional, none may have another type.
pub fn read_feature_flags(answer: &Value) {
    let fields = Fields::of("flags", answer);
    let flags = ["enableStripe", "disableCFWorker", "mapEnabled", "faceSearchEnabled", "passKeyEnabled"];
    let more = ["recoveryKeyVerified", "internalUser", "betaUser", "enableMobMultiPart"];
    for name in flags.iter().chain(&more).filter(|name| fields.has(name)) {
        fields.boolean(name);
    }
    for name in ["castUrl", "embedUrl", "customDomain", "customDomainCNAME"] {
        assert!(!fields.has(name) || fields.value(name).is_string(), "{name}");
    }
    assert!(fields.boolean("enableMobMultiPart"), "phones resume nothing without it");
    assert!(fields.boolean("disableCFWorker"), "{answer}");
    assert_eq!(fields.integer("serverApiFlag") & 0b1010, 0, "comments and streaming are not offered");
    assert_eq!(fields.integer("serverApiFlag") & 1, 1, "older phones need it for checksummed uploads");
    assert!(!fields.boolean("internalUser"), "{answer}");
}

fn read_magic(fields: &Fields<'_>, name: &str) -> Option<Magic> {
    fields.has(name).then(|| {
        let magic = fields.object(name);
        Magic {
            version: magic.id("version"),
            count: magic.id("count"),
            data: magic.base64("data"),
            header: magic.bytes("header", 24),
        }
    })
}

/// Oldest first; and no page that says there is more is empty, for clients would ask for it for ever.
fn check_page<T>(rows: Vec<T>, times: impl Iterator<Item = i64>, has_more: bool) -> Vec<T> {
    let times: Vec<i64> = times.collect();
    assert!(times.is_sorted(), "a diff in another order than its versions': {times:?}");
    assert!(!has_more || !rows.is_empty(), "an empty page that says there is more");
    rows
}
