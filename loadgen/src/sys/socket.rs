//! Options of sockets that the standard library has no call for.

use std::io;
use std::os::fd::RawFd;

/// Bounds what the kernel keeps for a socket that is not read, in bytes.
pub fn limit_receive_buffer(socket: RawFd, bytes: i32) -> io::Result<()> {
    let value: *const i32 = &bytes;
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` points to an integer of `len` bytes that outlives the call.
    let result =
        unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, value.cast(), len) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
