//! The bounds that both sides keep, each with the reason why it is there.

/// The largest object, in bytes of ciphertext: 10 GiB, which stock clients assume.
pub const OBJECT_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;

/// The smallest part when an upload has several, in bytes: what S3 allows.
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// The largest part, in bytes: what S3 allows.
pub const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// The most parts that one upload may have: what S3 allows.
pub const PARTS_MAX: u64 = 10_000;

/// The most upload URLs that one call mints; stock clients ask for no more.
pub const MINT_COUNT_MAX: u32 = 50;

/// The most items in the body of one batch call.
pub const BATCH_ITEMS_MAX: usize = 1000;

/// How many bytes one call for receipts reads back before it begins no further file: 512 MiB, seconds on a slow disk.
pub const RECEIPT_BYTES: u64 = 512 * 1024 * 1024;

/// The most ids in one call that purges from the trash.
pub const PURGE_ITEMS_MAX: usize = 2500;

/// How far an upload whose size is known may overrun the quota, in bytes: 50 MiB.
pub const QUOTA_GRACE_BYTES: i64 = 50 * 1024 * 1024;

/// How long a trashed file stays, in microseconds: 30 days.
pub const TRASH_RETENTION_MICROS: i64 = 30 * DAY_MICROS;

/// One day in microseconds.
pub const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// The product of memory and passes that an account's password derivation has, whichever way it is split.
pub const KDF_STRENGTH: i64 = 4_294_967_296;

/// The least memory for an account's password derivation, in bytes: 128 MiB.
pub const KDF_MEMORY_MIN: i64 = 134_217_728;

/// The most collections that one call makes.
pub const COLLECTIONS_MAX: usize = 100;

/// The most content tags in one call that looks them up.
pub const LOOKUP_TAGS_MAX: usize = 10_000;
