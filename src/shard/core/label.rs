//! Who a client is, for people: in log lines and on monitoring pages.

use crate::account::GLOBAL_ACCOUNT;
use crate::client::Client;

/// The name of the client's account; until it has one, that of all.
pub(super) fn account_name(client: &Client) -> &str {
    client.bound_to().map_or(GLOBAL_ACCOUNT, |account| &account.name)
}

/// The account as log lines name it: one with a token by its key and its name.
fn account_label(client: &Client) -> String {
    let claims = client.bound_to().and_then(|account| account.claims.as_deref());
    match claims.map(|claims| claims.name.as_str()) {
        None | Some("") => account_name(client).to_owned(),
        Some(name) => format!("{}/{name}", account_name(client)),
    }
}

/// Who the client says it is; nothing secret of it.
pub(super) fn user_of(client: &Client) -> &str {
    let Some(options) = client.described.as_deref() else { return "" };
    match options {
        options if !options.nkey.is_empty() => &options.nkey,
        options if !options.user.is_empty() => &options.user,
        options if !options.auth_token.is_empty() => "[REDACTED]",
        _ => "",
    }
}

/// What nats-server puts between a connection's number and what it says of it:
/// `"v1.2:go:name" - "$G/user:ada" - `; of what is not known nothing.
pub(super) fn label(client: &Client) -> String {
    let Some(options) = client.described.as_deref().filter(|_| client.connected) else {
        return String::new();
    };
    let version = match options.version.as_str() {
        "" => String::new(),
        version => format!("v{version}"),
    };
    let parts = [version.as_str(), &options.lang, &options.name];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let account = account_label(client);
    let user = client.login.as_ref().and_then(|login| login.user.as_ref());
    let who = match options {
        _ if user.is_some_and(|user| user.token.as_ref().is_some_and(|it| !it.is_delegated)) => {
            format!("{account}/jwt:{}", user.map_or("", |user| &user.name))
        }
        _ if user.is_some() => format!("{account}/user:{}", user.map_or("", |user| &user.name)),
        options if !options.nkey.is_empty() => format!("{account}/nkey:{}", options.nkey),
        options if !options.user.is_empty() => format!("{account}/user:{}", options.user),
        options if !options.auth_token.is_empty() => format!("{account}/token"),
        _ => String::new(),
    };
    let texts = [parts.join(":"), who];
    let shown = texts.iter().filter(|text| !text.is_empty());
    shown.map(|text| format!("{text:?} - ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(connect: &str) -> Client {
        let mut client = Client::new(1, "h".into(), false, 0);
        client.read_connect(connect.as_bytes()).unwrap();
        client.accept_connect(true).unwrap();
        client
    }

    #[test]
    fn labels_are_those_of_nats_server() {
        for (connect, text) in [
            (r#"{"verbose":false}"#, ""),
            (
                r#"{"name":"c1","lang":"go","version":"1.2","user":"u","pass":"p"}"#,
                r#""v1.2:go:c1" - "$G/user:u" - "#,
            ),
            (r#"{"auth_token":"s3cret"}"#, r#""$G/token" - "#),
            (r#"{"name":"a\"b"}"#, r#""a\"b" - "#),
            (r#"{"lang":"go"}"#, r#""go" - "#),
        ] {
            assert_eq!(label(&client(connect)), text);
        }
        let nobody = Client::new(1, "h".into(), false, 0);
        assert_eq!(label(&nobody), "");
        assert_eq!(user_of(&nobody), "");
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(user_of(&client(r#"{"auth_token":"s3cret"}"#)), "[REDACTED]");
        assert_eq!(user_of(&client(r#"{"user":"u","pass":"s3cret"}"#)), "u");
    }
}
