//! Tests of [`Directory`](super::directory::Directory).

use data_encoding::BASE64URL_NOPAD;

use super::*;

fn user(name: &str, password: &str) -> UserOptions {
    UserOptions {
        name: name.to_owned(),
        is_nkey: false,
        password: Secret::new(password),
        permissions: None,
        connection_types: None,
    }
}

fn account(name: &str, users: &[&str]) -> AccountOptions {
    AccountOptions {
        name: name.to_owned(),
        users: users.iter().map(|name| user(name, "pw")).collect(),
        ..AccountOptions::default()
    }
}

fn options() -> AccessOptions {
    AccessOptions {
        users: vec![user("ann", "pw"), user("bare", ""), user("hash", "$2a$04$x")],
        accounts: vec![account("A", &["a"]), account("B", &["b"])],
        ..AccessOptions::default()
    }
}

#[test]
fn an_nkey_user_signs_the_nonce_and_shows_no_password() {
    let key = nkeys::KeyPair::new_user();
    let public = key.public_key();
    let mut options = options();
    options.users.push(UserOptions { is_nkey: true, ..user(&public, "") });
    let directory = Directory::new(&options, Single::Open, None, None).unwrap();
    assert!(directory.has_nkeys());
    let signature = BASE64URL_NOPAD.encode(&key.sign(b"nonce").unwrap());
    let shown = Credentials {
        nkey: &public,
        signature: &signature,
        nonce: "nonce",
        ..Credentials::default()
    };
    let admits = |shown: &Credentials<'_>| {
        matches!(directory.authenticate(shown, ConnectionType::Standard), Verdict::Admitted(_))
    };
    assert!(admits(&shown));
    assert!(!admits(&Credentials { nonce: "other", ..shown }));
    assert!(!admits(&Credentials { nonce: "", ..shown }));
    assert!(!admits(&Credentials { signature: "", ..shown }));
    assert!(!admits(&Credentials { nkey: "", user: &public, ..shown }));
    assert!(!admits(&Credentials { nkey: "ann", user: "ann", password: "pw", ..shown }));
}

fn directory(no_auth_user: Option<&str>) -> Directory {
    Directory::new(&options(), Single::Open, no_auth_user, None).unwrap()
}

fn shown<'c>(user: &'c str, password: &'c str) -> Credentials<'c> {
    Credentials { user, password, ..Credentials::default() }
}

/// The account's name, `hash`, or nothing.
fn says(directory: &Directory, shown: &Credentials<'_>) -> String {
    match directory.authenticate(shown, ConnectionType::Standard) {
        Verdict::Admitted(login) => login.account.name.to_string(),
        Verdict::Hashed { .. } => "hash".to_owned(),
        Verdict::Delegated(_) => "asked".to_owned(),
        Verdict::Refused | Verdict::Unresolved { .. } => String::new(),
    }
}

#[test]
fn users_are_bound_to_their_accounts() {
    let directory = directory(None);
    for (user, password, expected) in [
        ("ann", "pw", "$G"),
        ("a", "pw", "A"),
        ("b", "pw", "B"),
        ("bare", "", "$G"),
        ("hash", "x", "hash"),
        ("ann", "pW", ""),
        ("bare", "x", ""),
        ("zed", "pw", ""),
        ("", "", ""),
        ("", "pw", ""),
    ] {
        assert_eq!(says(&directory, &shown(user, password)), expected, "{user}/{password}");
    }
    let verified = Credentials { verified: Some("$2a$04$x"), ..shown("hash", "x") };
    assert_eq!(says(&directory, &verified), "$G");
    let other = Credentials { verified: Some("$2a$04$y"), ..shown("hash", "x") };
    assert_eq!(says(&directory, &other), "hash");
}

#[test]
fn clients_over_websocket_may_have_rules_of_their_own() {
    use ConnectionType::{Standard, WebSocket};
    let open = |options: &AccessOptions| Directory::new(options, Single::Open, None, None).unwrap();
    let token = Single::Token(Secret::new("t"));
    let only_there = open(&AccessOptions::default()).with_websocket(token, None).unwrap();
    assert!(only_there.is_required(WebSocket) && !only_there.is_required(Standard));
    assert!(only_there.everybody(WebSocket).is_none());
    let shown = Credentials { token: "t", ..Credentials::default() };
    let admits = |directory: &Directory, shown: &Credentials<'_>, over| {
        matches!(directory.authenticate(shown, over), Verdict::Admitted(_))
    };
    assert!(admits(&only_there, &shown, WebSocket));
    assert!(!admits(&only_there, &Credentials::default(), WebSocket));
    assert!(admits(&only_there, &Credentials::default(), Standard));
    assert!(!only_there.has_same_secret(&open(&AccessOptions::default()), WebSocket));
    assert!(only_there.has_same_secret(&open(&AccessOptions::default()), Standard));
    let named = open(&options()).with_websocket(Single::Open, Some("ann")).unwrap();
    assert!(admits(&named, &Credentials::default(), WebSocket));
    assert!(!admits(&named, &Credentials::default(), Standard));
    let missing = open(&options()).with_websocket(Single::Open, Some("zoe"));
    assert!(matches!(missing, Err(DirectoryError::NoSuchUser(_))));
}

#[test]
fn no_auth_user_is_for_those_who_show_nothing() {
    let directory = directory(Some("b"));
    assert_eq!(says(&directory, &shown("", "")), "B");
    for wrong in [
        shown("b", "x"),
        shown("", "pw"),
        Credentials { token: "x", ..Credentials::default() },
        Credentials { nkey: "x", ..Credentials::default() },
    ] {
        assert_eq!(says(&directory, &wrong), "", "{wrong:?}");
    }
    assert_eq!(&*directory.anonymous(ConnectionType::Standard).unwrap().account.name, "B");
}

#[test]
fn one_user_or_one_token_is_enough() {
    let single = |single| Directory::new(&AccessOptions::default(), single, None, None).unwrap();
    let user = single(Single::User { name: "u".into(), password: Secret::new("pw") });
    assert_eq!(says(&user, &shown("u", "pw")), "$G");
    assert_eq!(says(&user, &shown("v", "pw")) + &says(&user, &shown("u", "px")), "");
    let hashed = single(Single::User { name: "u".into(), password: Secret::new("$2a$04$x") });
    assert_eq!(says(&hashed, &shown("u", "pw")), "hash");
    assert_eq!(says(&hashed, &shown("v", "pw")), "");
    let token = single(Single::Token(Secret::new("t")));
    assert_eq!(says(&token, &Credentials { token: "t", ..Credentials::default() }), "$G");
    assert_eq!(says(&token, &shown("t", "t")), "");
    assert_eq!(says(&single(Single::Open), &shown("any", "thing")), "$G");
}

#[test]
fn connection_types_keep_a_user_out() {
    let mut options = options();
    options.users[0].connection_types = Some(vec![ConnectionType::WebSocket]);
    let directory = Directory::new(&options, Single::Open, Some("ann"), None).unwrap();
    assert_eq!(says(&directory, &shown("ann", "pw")) + &says(&directory, &shown("", "")), "");
    assert!(directory.anonymous(ConnectionType::Standard).is_none());
}

#[test]
fn an_account_keeps_its_id_and_no_other_gets_it() {
    let first = directory(None);
    let id = |directory: &Directory, name: &str| directory.account_named(name).unwrap().id;
    let changed = AccessOptions {
        accounts: vec![account("C", &["c"]), account("B", &["b"])],
        ..AccessOptions::default()
    };
    let second = Directory::new(&changed, Single::Open, None, Some(&first)).unwrap();
    assert_eq!(id(&second, "B"), id(&first, "B"));
    assert_eq!(id(&second, "C"), AccountId(4));
    let third = Directory::new(&options(), Single::Open, None, Some(&second)).unwrap();
    for name in ["$G", "$SYS", "A", "B"] {
        assert_eq!(id(&third, name), id(&first, name), "{name}");
    }
    assert_eq!(id(&third, "$G"), AccountId(0));
    assert_eq!(says(&second, &shown("a", "pw")), "");
}

#[test]
fn what_names_nobody_is_refused() {
    let make = |options: &AccessOptions, user: Option<&str>| {
        Directory::new(options, Single::Open, user, None).map(|_| ()).map_err(|e| e.to_string())
    };
    let none = AccessOptions::default();
    assert_eq!(
        make(&none, Some("a")),
        Err("no_auth_user: \"a\" present, but users/nkeys are not defined".to_owned())
    );
    assert!(make(&options(), Some("zed")).unwrap_err().contains("\"zed\" not present as user"));
    let system = AccessOptions { system_account: Some("X".into()), ..options() };
    assert_eq!(
        make(&system, None),
        Err("error resolving system account: account missing".to_owned())
    );
    let system = AccessOptions { system_account: Some("A".into()), ..options() };
    let directory = Directory::new(&system, Single::Open, None, None).unwrap();
    assert!(directory.account_named("A").unwrap().is_system);
    assert!(!directory.account_named("$SYS").unwrap().is_system);
}
