//! Who may connect: nobody asked, one token, or one user with a password.

use crate::proto::ConnectOptions;

/// The credentials that the server asks of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Everybody may connect.
    #[default]
    Open,
    /// CONNECT must carry this `auth_token`.
    Token(String),
    /// CONNECT must carry this `user` and `pass`.
    User {
        /// Name of the user.
        user: String,
        /// Password in clear.
        password: String,
    },
}

impl Authorization {
    /// Whether a client has to authenticate at all.
    pub fn is_required(&self) -> bool {
        *self != Self::Open
    }

    /// Whether the credentials in `options` are the right ones.
    pub fn admits(&self, options: &ConnectOptions) -> bool {
        match self {
            Self::Open => true,
            Self::Token(token) => same(token, &options.auth_token),
            Self::User { user, password } => {
                // Both are compared, so that the time taken says nothing.
                same(user, &options.user) & same(password, &options.pass)
            }
        }
    }
}

/// Compares without stopping at the first difference.
fn same(expected: &str, given: &str) -> bool {
    if expected.len() != given.len() {
        return false;
    }
    let pairs = expected.bytes().zip(given.bytes());
    pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_admitted() {
        let authorization =
            Authorization::User { user: "ada".to_owned(), password: "secret".to_owned() };
        let with = |user: &str, pass: &str| ConnectOptions {
            user: user.to_owned(),
            pass: pass.to_owned(),
            ..ConnectOptions::default()
        };
        assert!(authorization.admits(&with("ada", "secret")));
        for (user, pass) in [("ada", "secreT"), ("ada", ""), ("", "secret"), ("ada", "secret ")] {
            assert!(!authorization.admits(&with(user, pass)), "{user}/{pass}");
        }
        assert!(Authorization::Open.admits(&with("", "")));
    }
}
