//! strace (from Debian), which watches the system calls of a real process, or lets them fail.

use std::process::{Command, Stdio};

/// Whether it is there. In CI it must be; elsewhere what cannot be tested without it is told.
#[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
pub fn is_there(tested: &str) -> bool {
    let is_there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "CI needs strace");
        eprintln!("strace is not there: {tested} was NOT tested");
    }
    is_there
}
