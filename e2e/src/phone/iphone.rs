//! What iOS lets an app do: silent pushes of 30 seconds, refreshes of 30 seconds, processing while charging, and nothing at all after the
//! owner swiped it away. Source: developer.apple.com, “Pushing background updates to your App”, “Using background tasks to update your app”.

use super::{MINUTE, Phone, Ran, SECOND, in_background, in_foreground};
use darkslide_client::backup::rules::conditions::{CanRun, Grant, Trigger};
use darkslide_client::library::device::AssetId;

/// What a silent push or a refresh gives.
const SHORT: i64 = 30 * SECOND;

/// What processing gives, while charging, before the system needs the device.
const PROCESSING: i64 = 5 * MINUTE;

/// An iPhone.
pub struct IPhone {
    /// What every phone has.
    pub phone: Phone,
    /// The owner swiped the app away since they opened it last.
    pub is_force_killed: bool,
    /// After so long without a touch the screen is locked; `None` for an owner who keeps touching it.
    pub auto_lock: Option<i64>,
}

impl IPhone {
    /// A new one.
    pub async fn new(home: &super::home::Home, name: &str) -> Self {
        Self { phone: Phone::new(home, name).await, is_force_killed: false, auto_lock: None }
    }

    /// The owner opens the app, and leaves it open until it has nothing left to do.
    pub async fn open(&mut self) -> Ran {
        self.is_force_killed = false;
        in_foreground(&self.phone);
        let locks_at = self.auto_lock.map(|after| self.phone.now() + after);
        self.phone.state().locks_at = locks_at;
        self.phone.run(Trigger::Opened).await
    }

    /// The owner adjusts a picture in the system's own app: the original stays, an adjusted rendering is shown, and the modification date
    /// changes.
    pub fn adjust(&self, asset: &AssetId, bytes: usize) {
        let mut state = self.phone.state();
        state.now += SECOND;
        let now = state.now;
        state.shelf.adjust(asset, bytes, now);
    }

    /// The owner takes all adjustments back: the original is shown again, and the modification date changes once more.
    pub fn revert(&self, asset: &AssetId) {
        let mut state = self.phone.state();
        state.now += SECOND;
        let now = state.now;
        state.shelf.revert(asset, now);
    }

    /// The owner swipes the app away.
    pub fn force_kill(&mut self) {
        self.is_force_killed = true;
        self.phone.set(|conditions| conditions.can_run = CanRun::AppKilled);
    }

    /// A silent push; `None` where the system does not deliver it.
    pub async fn push(&self) -> Option<Ran> {
        self.granted(SHORT, Trigger::Pushed).await
    }

    /// A background refresh.
    pub async fn refresh(&self) -> Option<Ran> {
        self.granted(SHORT, Trigger::Periodic).await
    }

    /// Processing at night; only while charging.
    pub async fn process(&self) -> Option<Ran> {
        if !self.phone.state().conditions.charging {
            return None;
        }
        self.granted(PROCESSING, Trigger::Periodic).await
    }

    async fn granted(&self, time: i64, trigger: Trigger) -> Option<Ran> {
        // In low-power mode there are no background grants, and after a force-kill none of any kind.
        let saves_power = self.phone.state().conditions.power_saver;
        if self.is_force_killed || saves_power {
            return None;
        }
        in_background(&self.phone, Grant::Until(self.phone.now() + time));
        Some(self.phone.run(trigger).await)
    }
}
