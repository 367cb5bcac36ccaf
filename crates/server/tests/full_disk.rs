//! A disk without any room: what makes room works, and what only reads.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what a test needs and does not get fails the test, and what is not tested must be seen"
)]
#![cfg(target_os = "linux")]

mod support;

use darkslide_server::auth::session::hash_of;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use support::damage::execute;
use support::tus::Tus;
use support::vault::noise;
use support::{TestServer, raw_config};

/// Bytes of the whole disk.
const DISK: &str = "size=16m";

/// A folder on a memory disk of its own, which ends with this.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount_on(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Leaves not one page.
    fn fill(&self) {
        let mut filler =
            std::fs::File::options().create(true).append(true).open(self.0.join("filler")).unwrap();
        while filler.write_all(&[7; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Giving an upload up was refused with 503 for as long as the disk was full: the database had no room to forget it.
#[tokio::test]
async fn an_upload_can_be_given_up_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount_on(folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "CI may mount, and must");
        eprintln!("no right to mount a small disk: what happens when the disk is full was NOT tested");
        return;
    };
    let server = TestServer::start_in(folder, raw_config()).await;
    let tus = Tus::new(&server, "full@example.org").await;
    // What comes back is enough for the database; and what is not, when the row has to stay.
    for (sent, then) in [(1_000_000, 404), (10, 410)] {
        let bytes = noise(1, sent);
        let url = tus.begin(2_000_000).await;
        assert_eq!(tus.append(&url, 0, &bytes).await.status, 204);
        // Not only just now: its use would be noted, for which there is no room.
        let hash = hash_of(&tus.token);
        execute(
            &server,
            &format!(
                "UPDATE sessions SET last_used_at = last_used_at - 120000000 WHERE token_hash = '{hash}'"
            ),
        )
        .await;
        disk.fill();
        assert_eq!(tus.offset(&url).await, sent, "what only reads is answered");
        let answer = tus.delete(&url).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(!tus.file(&url).exists());
        assert_eq!(tus.head(&url).await.status, then, "{sent}");
        assert!([404, 410].contains(&tus.append(&url, sent, &bytes).await.status.as_u16()));
        std::fs::remove_file(server.folder().join("filler")).unwrap();
        // With room again it is forgotten by whoever asks next.
        tus.head(&url).await;
        assert_eq!(tus.head(&url).await.status, 404);
    }
}
