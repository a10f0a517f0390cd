//! A strict reader of what a server sends: anything unexpected is an error.

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Info,
    Ok,
    Ping,
    Pong,
    Err(&'a str),
    Message(Message<'a>),
}

/// MSG or HMSG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub subject: &'a str,
    pub sid: &'a str,
    pub reply: &'a str,
    /// The header block of an HMSG.
    pub header: Option<&'a [u8]>,
    pub body: &'a [u8],
}

/// Reads the frame at the start of `bytes`: the frame and its length, or `None`
/// if it is not complete.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() > 8192 { Err("a line without end".to_owned()) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
    let line = line.strip_suffix('\r').ok_or_else(|| format!("a bare line feed: {line:?}"))?;
    let after = end + 1;
    let frame = match line {
        "+OK" => Frame::Ok,
        "PING" => Frame::Ping,
        "PONG" => Frame::Pong,
        _ => match line.split_once(' ') {
            Some(("INFO", json)) if json.starts_with('{') && json.ends_with("} ") => Frame::Info,
            Some(("-ERR", text)) if text.starts_with('\'') && text.ends_with('\'') => {
                Frame::Err(&text[1..text.len() - 1])
            }
            Some(("MSG", arguments)) => return message(arguments, false, bytes, after),
            Some(("HMSG", arguments)) => return message(arguments, true, bytes, after),
            _ => return Err(format!("an unknown line: {line:?}")),
        },
    };
    Ok(Some((frame, after)))
}

fn message<'a>(
    arguments: &'a str,
    headers: bool,
    bytes: &'a [u8],
    start: usize,
) -> Result<Option<(Frame<'a>, usize)>, String> {
    let malformed = || format!("a malformed message line: {arguments:?}");
    let mut words = arguments.split(' ');
    let mut word = || words.next().filter(|word| !word.is_empty());
    let mut all = [""; 5];
    let mut count = 0;
    while let Some(next) = word() {
        *all.get_mut(count).ok_or_else(malformed)? = next;
        count += 1;
    }
    let numbers = if headers { 2 } else { 1 };
    let has_reply = match count.checked_sub(numbers) {
        Some(2) => false,
        Some(3) => true,
        _ => return Err(malformed()),
    };
    let number = |at: usize| all[at].parse::<usize>().map_err(|_| malformed());
    let total = number(count - 1)?;
    let header_bytes = if headers { number(count - 2)? } else { 0 };
    let end = start + total + 2;
    if header_bytes > total {
        return Err(malformed());
    }
    if bytes.len() < end {
        return Ok(None);
    }
    if &bytes[end - 2..end] != b"\r\n" {
        return Err(format!("a payload of another size than its line says: {arguments:?}"));
    }
    let payload = &bytes[start..end - 2];
    let (header, body) = payload.split_at(header_bytes);
    let message = Message {
        subject: all[0],
        sid: all[1],
        reply: if has_reply { all[2] } else { "" },
        header: headers.then_some(header),
        body,
    };
    Ok(Some((Frame::Message(message), end)))
}
