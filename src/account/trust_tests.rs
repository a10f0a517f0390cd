//! Who is let in in operator mode, and as whom. Most examples were asked of nats-server 2.15.1.

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{json, Value};

use super::super::jwt::sign;
use super::super::{AccessOptions, Directory, Login, Single, Verdict};
use super::*;

const NOW: i64 = 1_768_478_400;

/// An operator with one account, and one user to be judged.
struct Scene {
    operator: KeyPair,
    account: KeyPair,
    signing: KeyPair,
    user: KeyPair,
    account_claims: Value,
    options: OperatorOptions,
}

impl Scene {
    fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let signing = KeyPair::new_account();
        let account_claims = json!({ "sub": account.public_key(), "name": "acme", "iat": NOW, "nats": {
            "type": "account", "version": 2, "tags": ["zone:north"], "signing_keys": [],
            "limits": { "subs": -1, "payload": -1, "conn": -1, "leaf": -1 } } });
        let options =
            OperatorOptions { trusted_keys: vec![operator.public_key()], ..Default::default() };
        Self { operator, account, signing, user: KeyPair::new_user(), account_claims, options }
    }

    fn with_account(mut self, change: impl Fn(&mut Value, &Self)) -> Self {
        let mut claims = self.account_claims.clone();
        change(&mut claims, &self);
        self.account_claims = claims;
        self
    }

    /// The scope of the signing key.
    fn with_scope(self, template: &Value) -> Self {
        self.with_account(|claims, scene| {
            claims["nats"]["signing_keys"] = json!([{ "kind": "user_scope",
                "key": scene.signing.public_key(), "template": template }]);
        })
    }

    fn directory(&self) -> Directory {
        let trust = Trust::new(&self.options);
        let token = sign(&self.account_claims, &self.operator).unwrap();
        let account = trust.account(&self.account.public_key(), &token).unwrap();
        let options = AccessOptions {
            accounts: vec![account],
            operator: self.options.clone(),
            ..AccessOptions::default()
        };
        Directory::new(&options, Single::Open, None, None).unwrap()
    }

    /// A token of the user; `nats` adds to it, `top` to the claims around.
    fn token(&self, by: &KeyPair, nats: &Value, top: &Value) -> String {
        let mut claims = json!({ "sub": self.user.public_key(), "name": "ann", "iat": NOW, "nats": {
            "type": "user", "version": 2 } });
        let merge = |into: &mut Value, from: &Value| {
            for (key, value) in from.as_object().unwrap() {
                into[key] = value.clone();
            }
        };
        merge(&mut claims["nats"], nats);
        merge(&mut claims, top);
        sign(&claims, by).unwrap()
    }

    fn plain(&self, nats: &Value) -> String {
        let mut all = json!({ "subs": -1, "data": -1, "payload": -1 });
        for (key, value) in nats.as_object().unwrap() {
            all[key] = value.clone();
        }
        self.token(&self.account, &all, &json!({}))
    }

    fn scoped(&self, nats: &Value) -> String {
        let mut all = json!({ "issuer_account": self.account.public_key() });
        for (key, value) in nats.as_object().unwrap() {
            all[key] = value.clone();
        }
        self.token(&self.signing, &all, &json!({}))
    }

    fn judge(&self, token: &str) -> Result<Login, UserRefusal> {
        self.judge_from(token, "127.0.0.1", NOW + 1)
    }

    fn judge_from(&self, token: &str, host: &str, now: i64) -> Result<Login, UserRefusal> {
        let signature = BASE64URL_NOPAD.encode(&self.user.sign(b"nonce").unwrap());
        let shown = Credentials {
            jwt: token,
            signature: &signature,
            nonce: "nonce",
            host,
            at: Moment { unix_s: now, local_offset_s: 0 },
            ..Credentials::default()
        };
        let directory = self.directory();
        match directory.authenticate(&shown, ConnectionType::Standard) {
            Verdict::Admitted(login) => Ok(login),
            Verdict::Refused => {
                Err(directory.why_refused(&shown, ConnectionType::Standard).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_user_of_an_account_of_the_operator_is_let_in() {
    let scene = Scene::new();
    let login = scene.judge(&scene.plain(&json!({ "subs": 4, "payload": 64 }))).unwrap();
    assert_eq!(*login.account.name, *scene.account.public_key());
    let user = login.user.as_ref().unwrap();
    assert_eq!(*user.name, *scene.user.public_key());
    assert_eq!(user.token.as_ref().unwrap().name, "ann");
    assert!(user.permissions.is_none());
    assert_eq!((login.subscriptions_max(), login.payload_max()), (Some(4), Some(64)));
    assert_eq!(login.expires(), None);
}

#[test]
fn who_is_not_of_the_operator_is_not() {
    let scene = Scene::new();
    let nothing = json!({});
    let refused = |token: &str| scene.judge(token).unwrap_err();
    assert_eq!(refused(""), UserRefusal::Nothing);
    let stranger = KeyPair::new_account();
    assert_eq!(refused(&scene.token(&stranger, &nothing, &nothing)), UserRefusal::NoAccount);
    let of_account = json!({ "issuer_account": scene.account.public_key() });
    assert_eq!(refused(&scene.token(&stranger, &of_account, &nothing)), UserRefusal::Issuer);
    for strange in ["../../x", "$G", "x"] {
        let token = scene.token(&stranger, &json!({ "issuer_account": strange }), &nothing);
        assert_eq!(refused(&token), UserRefusal::NoAccount, "{strange}");
    }
    // Signed by a stranger in the account's name.
    let forged = scene.token(&stranger, &nothing, &json!({ "iss": scene.account.public_key() }));
    assert_eq!(refused(&forged), UserRefusal::Token(JwtError::Signature));
    // The token of somebody else.
    let other = json!({ "sub": KeyPair::new_user().public_key() });
    assert_eq!(refused(&scene.token(&scene.account, &nothing, &other)), UserRefusal::Signature);
    let trust = Trust::new(&scene.options);
    let name = scene.account.public_key();
    let by = |key: &KeyPair| trust.account(&name, &sign(&scene.account_claims, key).unwrap());
    assert_eq!(by(&scene.account).unwrap_err(), AccountRefusal::Untrusted);
    assert_eq!(by(&KeyPair::new_operator()).unwrap_err(), AccountRefusal::Untrusted);
}

#[test]
fn tokens_are_void_outside_their_time() {
    let scene = Scene::new();
    let top = |top: Value| scene.token(&scene.account, &json!({ "subs": -1 }), &top);
    let token = top(json!({ "exp": NOW + 10, "nbf": NOW }));
    let at = |now| scene.judge_from(&token, "127.0.0.1", now);
    assert_eq!(at(NOW + 9).unwrap().expires(), Some((NOW + 10, false)));
    assert_eq!(at(NOW + 10).unwrap_err(), UserRefusal::Expired);
    assert_eq!(at(NOW - 1).unwrap_err(), UserRefusal::Expired);
    let scene = scene.with_account(|claims, _| claims["exp"] = (NOW + 5).into());
    let at = |now| scene.judge_from(&token, "127.0.0.1", now);
    assert_eq!(at(NOW + 1).unwrap().expires(), Some((NOW + 5, true)));
    assert_eq!(at(NOW + 6).unwrap_err(), UserRefusal::AccountExpired);
}

#[test]
fn from_where_when_and_how_is_looked_at() {
    let scene = Scene::new();
    let token = scene.plain(&json!({ "src": ["192.0.2.0/24"] }));
    assert!(scene.judge_from(&token, "192.0.2.9", NOW).is_ok());
    assert!(matches!(scene.judge(&token).unwrap_err(), UserRefusal::Source(_)));
    let token = scene.plain(&json!({ "times_location": "UTC",
        "times": [{ "start": "11:00:00", "end": "13:00:00" }] }));
    assert_eq!(scene.judge(&token).unwrap().expires(), Some((NOW + 3600, false)));
    assert_eq!(scene.judge_from(&token, "127.0.0.1", NOW + 3601).unwrap_err(), UserRefusal::Time);
    for (types, fine) in
        [(json!(["websocket"]), false), (json!(["X"]), false), (json!(["X", "standard"]), true)]
    {
        let token = scene.plain(&json!({ "allowed_connection_types": types }));
        assert_eq!(scene.judge(&token).is_ok(), fine, "{types}");
    }
    let token = scene.plain(&json!({ "proxy_required": true }));
    assert_eq!(scene.judge(&token).unwrap_err(), UserRefusal::ProxyRequired);
}

#[test]
fn bearers_sign_nothing_unless_the_account_forbids_it() {
    let scene = Scene::new();
    let bearer = json!({ "bearer_token": true });
    let other = json!({ "sub": KeyPair::new_user().public_key() });
    let token = scene.token(&scene.account, &bearer, &other);
    assert!(scene.judge(&token).is_ok());
    let scene = scene.with_account(|claims, _| {
        claims["nats"]["limits"]["disallow_bearer"] = true.into();
    });
    assert_eq!(scene.judge(&token).unwrap_err(), UserRefusal::Bearer);
}

#[test]
fn revoked_users_stay_out_until_they_get_a_newer_token() {
    for who in ["*", "own"] {
        let scene = Scene::new().with_account(|claims, scene| {
            let who = if who == "own" { scene.user.public_key() } else { who.to_owned() };
            claims["nats"]["revocations"] = json!({ who: NOW });
        });
        assert_eq!(scene.judge(&scene.plain(&json!({}))).unwrap_err(), UserRefusal::Revoked);
        let newer = scene.token(&scene.account, &json!({}), &json!({ "iat": NOW + 1 }));
        assert!(scene.judge(&newer).is_ok());
    }
}

#[test]
fn a_scope_says_what_its_users_may_do() {
    let template = json!({ "pub": { "allow": ["{{account-name()}}.{{name()}}.{{tag(team)}}",
        "{{account-tag(zone)}}"] }, "subs": 7, "payload": -1, "bearer_token": true });
    let scene = Scene::new().with_scope(&template);
    let login = scene.judge(&scene.scoped(&json!({ "tags": ["team:a", "team:b"] }))).unwrap();
    let permissions = login.user.as_ref().unwrap().permissions.as_ref().unwrap();
    assert_eq!(permissions.rules().publish.allow, ["acme.ann.a", "acme.ann.b", "north"]);
    assert_eq!((login.subscriptions_max(), login.payload_max()), (Some(7), None));
    let own = scene.scoped(&json!({ "pub": { "allow": [">"] } }));
    assert_eq!(scene.judge(&own).unwrap_err(), UserRefusal::NotEmpty);
    let own = scene.scoped(&json!({ "subs": -1 }));
    assert_eq!(scene.judge(&own).unwrap_err(), UserRefusal::NotEmpty);
    let wide = scene.judge(&scene.scoped(&json!({ "tags": ["team:>"] }))).unwrap();
    let permissions = wide.user.as_ref().unwrap().permissions.as_ref().unwrap();
    assert_eq!(permissions.rules().publish.allow, ["north"]);
}

#[test]
fn default_permissions_are_for_those_without_any() {
    let scene = Scene::new().with_account(|claims, _| {
        claims["nats"]["default_permissions"] = json!({ "pub": { "allow": ["d"] } });
    });
    let allowed = |nats: Value| {
        let login = scene.judge(&scene.plain(&nats)).unwrap();
        login.user.as_ref().unwrap().permissions.as_ref().unwrap().rules().publish.allow.clone()
    };
    assert_eq!(allowed(json!({})), ["d"]);
    assert_eq!(allowed(json!({ "pub": { "allow": ["own"] } })), ["own"]);
}

#[test]
fn pinned_accounts_are_the_only_ones() {
    let mut scene = Scene::new();
    let token = scene.plain(&json!({}));
    scene.options.pinned_accounts = vec![scene.account.public_key()];
    assert!(scene.judge(&token).is_ok());
    scene.options.pinned_accounts = vec![KeyPair::new_account().public_key()];
    assert!(matches!(scene.judge(&token).unwrap_err(), UserRefusal::NotPinned(_)));
}

#[test]
fn a_sentinel_stands_in_for_those_who_show_nothing() {
    let mut scene = Scene::new();
    scene.options.default_sentinel = Some(scene.plain(&json!({ "bearer_token": true })));
    let login = scene.judge("").unwrap();
    assert_eq!(*login.user.unwrap().name, *scene.user.public_key());
}

#[test]
fn what_can_be_fetched_is_asked_for() {
    let mut scene = Scene::new();
    scene.options.resolver = ResolverOptions::Url { url: String::new() };
    let stranger = KeyPair::new_account();
    let token = scene.token(&stranger, &json!({}), &json!({}));
    let at = Moment { unix_s: NOW, local_offset_s: 0 };
    let shown = Credentials { jwt: &token, at, ..Credentials::default() };
    let verdict = scene.directory().authenticate(&shown, ConnectionType::Standard);
    assert!(matches!(verdict, Verdict::Unresolved { account } if account == stranger.public_key()));
}

#[test]
fn a_strict_operator_signs_accounts_with_signing_keys_only() {
    let (own, signing) = (KeyPair::new_operator(), KeyPair::new_operator());
    for strict in [false, true] {
        let body = OperatorBody {
            signing_keys: vec![signing.public_key()],
            strict_signing_key_usage: strict,
            ..OperatorBody::default()
        };
        let operator = Claims { subject: own.public_key(), body, ..Claims::default() };
        let options = OperatorOptions { operators: vec![operator], ..Default::default() };
        let trust = Trust::new(&options);
        assert!(trust.signs_accounts(&signing.public_key()));
        assert_eq!(trust.signs_accounts(&own.public_key()), !strict);
    }
}
