//! For tests: a process that is forbidden a system call, as a container's filter does it.

/// Has `call` fail with `errno` in this process from now on, on threads made later; with
/// `argument` only if the argument of that number has that value, below 2^32.
pub(crate) fn refuse(call: libc::c_long, argument: Option<(u32, u32)>, errno: i32) {
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let call = u32::try_from(call).unwrap();
    let refused = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let load = u16::try_from(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS).unwrap();
    let equal = u16::try_from(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K).unwrap();
    let answer = u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap();
    // The number of the call is the first word; the arguments, of two words each, start at the
    // fifth. Without a condition the number is looked at twice.
    let (at, value) = argument.map_or((0, call), |(index, value)| (16 + 8 * index, value));
    let mut filter = [
        instruction(load, 0, 0, 0),
        instruction(equal, 0, 3, call),
        instruction(load, 0, 0, at),
        instruction(equal, 0, 1, value),
        instruction(answer, 0, 0, refused),
        instruction(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let length = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the call takes integers and changes only what this process may gain.
    let harmless = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(harmless, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its instructions live until the call has copied them.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(installed, 0);
}
