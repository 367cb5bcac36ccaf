//! The `config.xml` of an instance: nobody is discovered, nobody is told, nothing is upgraded, and only 127.0.0.1 is spoken to.
//!
//! Of a folder, what is not said here is nought or no, which is not always what people have: conflicts would not be kept.

use std::path::Path;

/// The folder that both have, as Syncthing calls it.
pub(super) const FOLDER: &str = "pair";

/// Opens the REST API of an instance. It guards nothing: the socket lies in a folder that only its owner can enter.
pub(super) const API_KEY: &str = "only-a-test";

/// Who an instance is, and where its things are.
pub(super) struct Itself<'a> {
    pub(super) name: &'a str,
    pub(super) device: &'a str,
    /// Where its REST API listens.
    pub(super) socket: &'a Path,
    /// What is kept alike.
    pub(super) folder: &'a Path,
}

/// The whole file. Version 36 is what Debian's 1.19 writes; later ones migrate it.
///
/// - It listens on port 0: the system chooses, and the REST API says what it chose.
/// - `fsWatcherDelayS` and `reconnectionIntervalS` are whole seconds, so 1 is the least.
/// - After a failed pull it pauses for a minute by default; here for a second.
pub(super) fn config(itself: &Itself<'_>, other: &str) -> String {
    let Itself { name, device, socket, folder } = itself;
    let (socket, folder) = (socket.display(), folder.display());
    format!(
        r#"<configuration version="36">
    <folder id="{FOLDER}" label="{FOLDER}" path="{folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="1" autoNormalize="true">
        <device id="{device}"/>
        <device id="{other}"/>
        <minDiskFree unit="%">0</minDiskFree>
        <maxConflicts>10</maxConflicts>
        <pullerPauseS>1</pullerPauseS>
        <disableFsync>true</disableFsync>
    </folder>
    <device id="{device}" name="{name}" compression="never"><address>dynamic</address></device>
    <device id="{other}" name="the other" compression="never"><address>{NOBODY}</address></device>
    <gui enabled="true" tls="false">
        <address>{socket}</address>
        <apikey>{API_KEY}</apikey>
    </gui>
    <options>
        <listenAddress>{LISTEN}</listenAddress>
        <globalAnnounceEnabled>false</globalAnnounceEnabled>
        <localAnnounceEnabled>false</localAnnounceEnabled>
        <announceLANAddresses>false</announceLANAddresses>
        <reconnectionIntervalS>1</reconnectionIntervalS>
        <relaysEnabled>false</relaysEnabled>
        <natEnabled>false</natEnabled>
        <stunServer></stunServer>
        <startBrowser>false</startBrowser>
        <urAccepted>-1</urAccepted>
        <urSeen>3</urSeen>
        <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
        <crashReportingEnabled>false</crashReportingEnabled>
        <minHomeDiskFree unit="%">0</minHomeDiskFree>
        <setLowPriority>false</setLowPriority>
    </options>
</configuration>
"#
    )
}

/// Where an instance listens for the other.
pub(super) const LISTEN: &str = "tcp://127.0.0.1:0";

/// The other's address until it is known: nothing listens on port 1.
const NOBODY: &str = "tcp://127.0.0.1:1";
