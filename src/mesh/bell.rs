//! What wakes a parked shard: the eventfd it sleeps on. Under loom, a flag.

#[cfg(not(loom))]
pub(super) use descriptor::Bell;
#[cfg(loom)]
pub(super) use flag::Bell;

#[cfg(not(loom))]
mod descriptor {
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::BorrowedFd;
    use std::sync::OnceLock;

    /// A duplicate of the shard's eventfd, so that a shard that goes away never leaves its peers
    /// writing to a number that means something else by now.
    pub(in super::super) struct Bell(OnceLock<File>);

    impl Bell {
        pub(in super::super) fn new() -> Self {
            Self(OnceLock::new())
        }

        pub(in super::super) fn attach(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
            let owned = eventfd.try_clone_to_owned()?;
            // A second attachment would leave peers that read the first one ringing it: refuse.
            self.0.set(File::from(owned)).map_err(|_| io::ErrorKind::AlreadyExists.into())
        }

        /// One system call. Returns whether the bell rang: not before it is attached.
        pub(in super::super) fn ring(&self) -> bool {
            // An eventfd refuses a one only when its counter is full, and then it is readable.
            self.0.get().is_some_and(|mut eventfd| eventfd.write(&1u64.to_ne_bytes()).is_ok())
        }
    }
}

#[cfg(loom)]
mod flag {
    use loom::sync::Mutex;

    /// Behind a lock, as the kernel keeps the counter of an eventfd: reads and writes of it are
    /// whole and ordered.
    pub(in super::super) struct Bell(Mutex<bool>);

    impl Bell {
        pub(in super::super) fn new() -> Self {
            Self(Mutex::new(false))
        }

        pub(in super::super) fn ring(&self) -> bool {
            self.0.lock().is_ok_and(|mut rung| {
                *rung = true;
                true
            })
        }

        /// Reading the eventfd empties it.
        pub(in super::super) fn has_rung(&self) -> bool {
            self.0.lock().is_ok_and(|mut rung| std::mem::take(&mut *rung))
        }
    }
}
