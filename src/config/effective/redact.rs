//! What of a configuration file is secret: by the name of its key, or by what it looks like.

use super::shown::Shown;

/// Keys whose texts are secrets, in lower case.
const SECRET_KEYS: &[&str] = &[
    "pass",
    "password",
    "token",
    "auth_token",
    "secret",
    "seed",
    "key",
    "ek",
    "encryption_key",
    "prev_key",
    "prev_ek",
    "prev_encryption_key",
    "srk_password",
    "owner_password",
];

/// Hides what is secret in a value that stands under `key`.
pub(super) fn redacted(key: &str, value: Shown) -> Shown {
    match value {
        Shown::Text(text) => {
            if SECRET_KEYS.contains(&key.to_lowercase().as_str()) || is_seed(&text) {
                return Shown::Secret;
            }
            Shown::Text(without_userinfo(&text))
        }
        Shown::Number(_) | Shown::Float(_)
            if SECRET_KEYS.contains(&key.to_lowercase().as_str()) =>
        {
            Shown::Secret
        }
        Shown::List(items) => {
            Shown::List(items.into_iter().map(|item| redacted(key, item)).collect())
        }
        Shown::Block(entries) => Shown::Block(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let value = redacted(&key, value);
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}

/// A private nkey: `S`, the letter of its kind, base32.
fn is_seed(text: &str) -> bool {
    text.len() >= 58
        && text.starts_with('S')
        && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

/// A URL without the name and the password, or the token, in it.
fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}@{}", super::shown::HIDDEN, &rest[at + 1..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Shown {
        Shown::Text(text.to_owned())
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let seed = format!("SU{}", "A".repeat(56));
        for (key, value) in
            [("Password", text("x")), ("token", Shown::Number(5)), ("nkey", text(&seed))]
        {
            assert_eq!(redacted(key, value), Shown::Secret, "{key}");
        }
        let users = Shown::List(vec![Shown::Block(vec![
            ("user".into(), text("a")),
            ("pass".into(), text("b")),
            ("allowed".into(), Shown::Number(3)),
        ])]);
        assert_eq!(
            redacted("users", users).inline(),
            r#"[{ user: "a", pass: "[REDACTED]", allowed: 3 } ]"#
        );
        let urls = Shown::List(vec![text("nats://u:p@h:1/x"), text("nats://h:1"), text("a@b")]);
        assert_eq!(
            redacted("urls", urls).inline(),
            r#"["nats://[REDACTED]@h:1/x", "nats://h:1", "a@b" ]"#
        );
    }

    #[test]
    fn public_keys_are_shown() {
        let public = text(&format!("U{}", "A".repeat(55)));
        assert_eq!(redacted("nkey", public.clone()), public);
    }
}
