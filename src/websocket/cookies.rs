//! Cookies that carry credentials.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Which cookies are looked for; an empty name is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieNames {
    /// Of a user's JWT.
    pub jwt: String,
    /// Of a user's name.
    pub user: String,
    /// Of a password.
    pub password: String,
    /// Of a token.
    pub token: String,
}

/// What cookies said; empty if they did not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// A user's JWT.
    pub jwt: String,
    /// A user's name.
    pub user: String,
    /// A password.
    pub password: String,
    /// A token.
    pub token: String,
}

/// Never what they say.
impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        [&self.jwt, &self.user, &self.password, &self.token].iter().all(|text| text.is_empty())
    }

    /// Takes one `Cookie` header, as Go reads it: of two cookies of a name the last one counts,
    /// and one with a byte that none may have is left out.
    pub(super) fn read(&mut self, names: &CookieNames, header: &[u8]) {
        for pair in header.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(equals);
            let value = value.strip_prefix(b"=").unwrap_or_default();
            let Some(value) = value_of(value) else { continue };
            let name = name.trim_ascii();
            let is = |wanted: &String| !wanted.is_empty() && wanted.as_bytes() == name;
            let place = if is(&names.jwt) {
                &mut self.jwt
            } else if is(&names.user) {
                &mut self.user
            } else if is(&names.password) {
                &mut self.password
            } else if is(&names.token) {
                &mut self.token
            } else {
                continue;
            };
            value.clone_into(place);
        }
    }
}

fn value_of(value: &[u8]) -> Option<&str> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let value = inner.unwrap_or(value);
    let is_allowed =
        |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b';' | b'\\');
    let value = std::str::from_utf8(value).ok()?;
    value.as_bytes().iter().all(is_allowed).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let names = CookieNames {
            jwt: "j".into(),
            user: "u".into(),
            password: "p".into(),
            ..CookieNames::default()
        };
        let read = |header: &str| {
            let mut cookies = Cookies::default();
            cookies.read(&names, header.as_bytes());
            [cookies.jwt, cookies.user, cookies.password, cookies.token].join("|")
        };
        assert_eq!(read("a=b; j=x.y; u=ada;p=\"s e\""), "x.y|ada|s e|");
        assert_eq!(read("u=one; u=two"), "|two||");
        assert_eq!(read("u=bad\\; =x; u; p=a=b; t=1"), "||a=b|");
        assert_eq!(read(""), "|||");
        assert_eq!(read("u=\""), "|||");
    }

    #[test]
    fn what_they_say_is_not_printed() {
        let cookies = Cookies { password: "hush".into(), ..Cookies::default() };
        assert!(!format!("{cookies:?}").contains("hush"));
        assert!(!cookies.is_empty() && Cookies::default().is_empty());
    }
}
