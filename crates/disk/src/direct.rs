//! Whether a file's writes pass the page cache by, and switching that.

use std::fs::File;
use std::io::{self, Write as _};

#[cfg(target_os = "linux")]
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

/// How a file is written just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Through the page cache.
    #[default]
    Cached,
    /// Past it.
    Direct,
    /// Through it, for its file system knows no other way.
    Never,
}

impl Mode {
    pub(crate) fn may_be_direct(self) -> bool {
        cfg!(target_os = "linux") && self != Self::Never
    }

    /// From here on through the page cache.
    pub(crate) fn set_cached(&mut self, file: &File) -> io::Result<()> {
        if *self == Self::Direct {
            switch(file, false)?;
            *self = Self::Cached;
        }
        Ok(())
    }

    /// From here on past it; false if the file system knows no such thing.
    pub(crate) fn set_direct(&mut self, file: &File) -> bool {
        if *self == Self::Cached {
            *self = if switch(file, true).is_ok() { Self::Direct } else { Self::Never };
        }
        *self == Self::Direct
    }

    /// Through it for ever.
    pub(crate) fn never(&mut self, file: &File) -> io::Result<()> {
        self.set_cached(file)?;
        *self = Self::Never;
        Ok(())
    }

    /// Writes whole sectors, past the page cache if that works.
    pub(crate) fn write_all(&mut self, mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
        self.set_direct(file);
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // What a disk took less than whole goes on through the page cache: it is no sector any more.
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    if !bytes.is_empty() {
                        self.set_cached(file)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some file systems say so only now.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && *self == Self::Direct => {
                    self.never(file)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn switch(file: &File, direct: bool) -> Result<(), Errno> {
    let flags = fcntl_getfl(file)?;
    fcntl_setfl(file, if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT })
}

#[cfg(not(target_os = "linux"))]
fn switch(_file: &File, direct: bool) -> io::Result<()> {
    if direct { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
}
