//! What Android lets an app do: WorkManager's constraints and its quarter of an hour, Doze, battery optimisation, the private space.
//! Source: developer.android.com, “Define work requests”, “Optimize for Doze and App Standby”, “Private space”.

use super::{HOUR, MINUTE, Phone, Ran, in_background, in_foreground};
use darkslide_client::backup::rules::conditions::{CanRun, Grant, Network, Trigger};

/// WorkManager runs a worker for ten minutes at most.
const WORKER_TIME: i64 = 10 * MINUTE;

/// The least interval of periodic work.
const PERIOD: i64 = 15 * MINUTE;

/// An Android phone.
pub struct Android {
    /// What every phone has.
    pub phone: Phone,
    /// The owner exempted the app from battery optimisation.
    pub is_exempt: bool,
    /// The app is installed in the private space, which is locked or not.
    pub private_space_locked: bool,
    /// It lies still in the dark: nothing runs but in maintenance windows.
    pub dozes: bool,
}

impl Android {
    /// A new one.
    pub async fn new(home: &super::home::Home, name: &str) -> Self {
        let phone = Phone::new(home, name).await;
        Self { phone, is_exempt: true, private_space_locked: false, dozes: false }
    }

    /// The owner opens the app, and leaves it open until it has nothing left to do.
    pub async fn open(&self) -> Ran {
        in_foreground(&self.phone);
        let trigger = Trigger::Opened;
        if self.private_space_locked {
            self.phone.set(|conditions| conditions.can_run = CanRun::PrivateSpaceLocked);
        }
        self.phone.run(trigger).await
    }

    /// The next moment at which periodic work is due and its constraints are met; `None` where the system does not run it.
    pub async fn periodic(&self) -> Option<Ran> {
        self.phone.wait(if self.dozes { 2 * HOUR } else { PERIOD });
        self.work(Trigger::Periodic).await
    }

    /// The library changed: a content trigger, which Doze holds back.
    pub async fn library_changed(&self) -> Option<Ran> {
        if self.dozes {
            return None;
        }
        self.work(Trigger::LibraryChanged).await
    }

    async fn work(&self, trigger: Trigger) -> Option<Ran> {
        let until = self.phone.now() + WORKER_TIME;
        in_background(&self.phone, Grant::Until(until));
        let can_run = match (self.private_space_locked, self.is_exempt) {
            (true, _) => CanRun::PrivateSpaceLocked,
            (false, false) => CanRun::BatteryOptimised,
            (false, true) => CanRun::Ok,
        };
        self.phone.set(|conditions| conditions.can_run = can_run);
        let has_network = self.phone.state().conditions.network != Network::None;
        if can_run != CanRun::Ok || !has_network {
            // The worker's constraint is a connected network, and a stopped profile runs nothing.
            return None;
        }
        Some(self.phone.run(trigger).await)
    }
}
