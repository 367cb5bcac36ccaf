//! What the device allows just now, and what its owner allows at all.
//!
//! Conditions change while a run goes on: the newest are asked before every part that is sent.

use crate::library::device::AssetKind;

/// The network that bytes would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// There is none.
    None,
    /// Wi-Fi or a cable that costs nothing.
    Unmetered,
    /// Mobile data at home, or Wi-Fi of a phone.
    Metered,
    /// Mobile data abroad.
    Roaming,
}

/// Whether the app is in front of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum App {
    /// It is.
    Foreground,
    /// The system lets it run.
    Background,
}

/// How long the system lets the app run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// As long as it likes.
    Unlimited,
    /// Until then, µs since the epoch; it may end before.
    Until(i64),
}

/// Whether the system lets the app run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CanRun {
    /// It does.
    Ok,
    /// iOS: the owner swiped the app away; nothing wakes it until they open it.
    AppKilled,
    /// Android: the app lives in the private space, and that is locked.
    PrivateSpaceLocked,
    /// Android: the system optimises the app's use of the battery and does not wake it.
    BatteryOptimised,
}

/// What made a run begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The owner asked for a backup.
    Asked,
    /// The app was opened or came back to the front.
    Opened,
    /// It was time.
    Periodic,
    /// The library said that it changed.
    LibraryChanged,
    /// The server sent a push.
    Pushed,
    /// A network came that costs nothing.
    NetworkUnmetered,
    /// There is a network again, and it costs something.
    NetworkReturned,
    /// The charger was plugged in.
    ChargerConnected,
}

/// The device's state, as the system tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The network that is used.
    pub network: Network,
    /// Whether power comes in.
    pub charging: bool,
    /// How full the battery is, in percent; none without one.
    pub battery_level: Option<u8>,
    /// Whether the owner asked the system to save power.
    pub power_saver: bool,
    /// Where the app is.
    pub app: App,
    /// How long it may run.
    pub grant: Grant,
    /// Whether it may.
    pub can_run: CanRun,
    /// Whether the system has told that memory is tight: then one thing is done at a time.
    pub memory_is_tight: bool,
    /// Bytes that the system has free for the app, where it tells; else the disk is asked.
    pub free_bytes: Option<u64>,
}

impl Conditions {
    /// A computer at home: everything is allowed, for as long as it takes.
    pub const HOME: Self = Self {
        network: Network::Unmetered,
        charging: true,
        battery_level: None,
        power_saver: false,
        app: App::Foreground,
        grant: Grant::Unlimited,
        can_run: CanRun::Ok,
        memory_is_tight: false,
        free_bytes: None,
    };
}

/// What the owner allows. The default is what a phone starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are its owner's switches, and independent")]
pub struct Permissions {
    /// Photos, and Live Photos, may use metered networks.
    pub photos_on_metered: bool,
    /// Videos may use metered networks.
    pub videos_on_metered: bool,
    /// Whatever may use metered networks may do so abroad.
    pub while_roaming: bool,
    /// In the background, only while charging.
    pub only_while_charging: bool,
    /// Seconds between a picture being taken and its upload: 0, or 5 to [`DELAY_MAX`]. What lies outside is taken for the nearest that does not.
    pub delay_after_capture: u32,
    /// While power is saved, only what the owner asked for.
    pub rest_in_power_saver: bool,
    /// In the background, photos go before videos.
    pub photos_first: bool,
    /// In a background grant that ends, a video begins only if it can go on another time.
    pub videos_only_in_parts: bool,
    /// Originals may be fetched from the library's cloud.
    pub fetch_from_cloud: bool,
    /// Also over metered networks.
    pub fetch_on_metered: bool,
    /// The screen stays on during the first backup in the foreground.
    pub keep_awake: bool,
}

/// The longest [delay](Permissions::delay_after_capture), in seconds: a day.
pub const DELAY_MAX: u32 = 86_400;

/// The shortest that is one, in seconds.
const DELAY_MIN: u32 = 5;

/// A battery that is less full, in percent, is not spent on a screen.
const ENOUGH_FOR_THE_SCREEN: u8 = 20;

impl Default for Permissions {
    fn default() -> Self {
        Self {
            photos_on_metered: false,
            videos_on_metered: false,
            while_roaming: false,
            only_while_charging: false,
            delay_after_capture: 0,
            rest_in_power_saver: true,
            photos_first: true,
            videos_only_in_parts: true,
            fetch_from_cloud: true,
            fetch_on_metered: false,
            keep_awake: false,
        }
    }
}

impl Permissions {
    /// How long after capture a picture waits, µs.
    pub fn delay(&self) -> i64 {
        let seconds = match self.delay_after_capture {
            0 => 0,
            chosen => chosen.clamp(DELAY_MIN, DELAY_MAX),
        };
        i64::from(seconds) * 1_000_000
    }

    /// Whether the screen stays on: during the first backup, in the foreground, if the owner wishes so and there is power for it.
    pub fn keeps_screen_on(&self, conditions: &Conditions, is_first_backup: bool) -> bool {
        let is_full = conditions.battery_level.is_none_or(|level| level >= ENOUGH_FOR_THE_SCREEN);
        let has_power = conditions.charging || is_full;
        self.keep_awake && is_first_backup && conditions.app == App::Foreground && has_power
    }

    /// Whether an asset of this kind may use metered networks.
    pub fn on_metered(&self, kind: AssetKind) -> bool {
        match kind {
            AssetKind::Photo | AssetKind::LivePhoto => self.photos_on_metered,
            AssetKind::Video => self.videos_on_metered,
        }
    }
}

/// The most that the cache of copies may hold, however much is free.
const CACHE_MAX: u64 = 2 << 30;

/// One part in so many of what is free goes to the cache.
const CACHE_PART: u64 = 10;

/// The part of the cache that photos have for themselves, so that no video keeps them waiting.
pub const FOR_PHOTOS: u64 = 8;

/// The most that the cache of copies may hold where so many bytes are free: 2 GiB or a tenth, the smaller.
pub fn cache_bound(free_bytes: u64) -> u64 {
    (free_bytes / CACHE_PART).min(CACHE_MAX)
}

/// The largest original that a cache of so many bytes has room for.
pub fn largest_copy(cache_room: u64) -> u64 {
    cache_room - cache_room / FOR_PHOTOS
}

/// Bytes that must be free for the cache to have room for a copy of so many; none where no free space is enough.
pub fn free_for_copy(bytes: u64) -> Option<u64> {
    let about = bytes.saturating_add(bytes / (FOR_PHOTOS - 1));
    let room = (about.saturating_sub(1)..=CACHE_MAX).find(|room| largest_copy(*room) >= bytes)?;
    Some(room * CACHE_PART)
}
