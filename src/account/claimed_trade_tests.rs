//! What tokens let accounts have of one another, and which tokens are void for what they say of
//! that. Every row was asked of nats-server 2.15.1.

use nkeys::KeyPair;
use serde_json::{json, Value};

use super::super::jwt::{sign, AccountToken};
use super::super::{AccessOptions, AccountOptions};

const NOW: i64 = 1_768_478_400;

/// An account that exports, one that imports, and a signing key of the first.
struct Scene {
    exporter: KeyPair,
    importer: KeyPair,
    signing: KeyPair,
}

impl Scene {
    fn new() -> Self {
        let key = KeyPair::new_account;
        Self { exporter: key(), importer: key(), signing: key() }
    }

    fn token(key: &KeyPair, nats: &Value) -> super::Claims<super::AccountBody> {
        let mut claims = json!({ "sub": key.public_key(), "iat": NOW, "nats": {
            "type": "account", "version": 2,
            "limits": { "imports": -1, "exports": -1, "wildcards": true } } });
        for (name, value) in nats.as_object().unwrap() {
            claims["nats"][name] = value.clone();
        }
        let token = sign(&claims, &KeyPair::new_operator()).unwrap();
        AccountToken::decode(&token).unwrap().verify().unwrap()
    }

    /// The token with which `by` lets the importer in.
    fn activation(&self, by: &KeyPair, change: &Value) -> String {
        let mut claims = json!({ "sub": self.importer.public_key(), "iat": NOW, "nats": {
            "type": "activation", "version": 2, "subject": "q", "kind": "service" } });
        if by.public_key() != self.exporter.public_key() {
            claims["nats"]["issuer_account"] = self.exporter.public_key().into();
        }
        for (name, value) in change.as_object().unwrap() {
            let place =
                if claims["nats"].get(name).is_some() { &mut claims["nats"] } else { &mut claims };
            place[name] = value.clone();
        }
        sign(&claims, by).unwrap()
    }

    /// What is refused of an import of the service `q`, which `export` adds to.
    fn refused(&self, export: &Value, import: &Value) -> Vec<String> {
        let mut offer = json!({ "subject": "q", "type": "service" });
        let mut wish = json!({
            "subject": "q", "type": "service", "account": self.exporter.public_key() });
        for (into, from) in [(&mut offer, export), (&mut wish, import)] {
            for (name, value) in from.as_object().unwrap() {
                into[name] = value.clone();
            }
        }
        let keys = json!([self.signing.public_key()]);
        let exporter =
            Self::token(&self.exporter, &json!({ "exports": [offer], "signing_keys": keys }));
        let importer = Self::token(&self.importer, &json!({ "imports": [wish] }));
        let issues = [exporter.issues(), importer.issues()].concat();
        if !issues.is_empty() {
            return issues;
        }
        let accounts =
            [exporter, importer].map(|claims| AccountOptions::of_claims(claims, "")).to_vec();
        AccessOptions { accounts, ..AccessOptions::default() }.settle_wishes(NOW)
    }
}

#[test]
fn an_activation_is_looked_at_from_all_sides() {
    let scene = Scene::new();
    let none = json!({});
    let private = json!({ "token_req": true });
    let with = |by: &KeyPair, change: &Value| json!({ "token": scene.activation(by, change) });
    let (own, signing) = (&scene.exporter, &scene.signing);
    let is_taken = |export: &Value, import: &Value| scene.refused(export, import).is_empty();
    assert!(is_taken(&none, &none));
    assert!(!is_taken(&private, &none));
    assert!(is_taken(&private, &with(own, &none)));
    assert!(is_taken(&private, &with(signing, &none)));
    assert!(is_taken(&private, &with(own, &json!({ "subject": "*" }))));
    assert!(!is_taken(&private, &with(&KeyPair::new_account(), &none)), "no key of the exporter");
    assert!(!is_taken(&private, &with(own, &json!({ "exp": NOW }))));
    assert!(is_taken(&private, &with(own, &json!({ "exp": NOW + 1 }))));
    assert!(!is_taken(&private, &with(own, &json!({ "nbf": NOW + 1 }))));
    for (who, at, expected) in [
        (scene.importer.public_key(), NOW, false),
        ("*".to_owned(), NOW, false),
        (scene.importer.public_key(), NOW - 1, true),
        (scene.exporter.public_key(), NOW, true),
    ] {
        let export = json!({ "token_req": true, "revocations": { who: at } });
        assert_eq!(is_taken(&export, &with(own, &none)), expected, "{export}");
    }
}

#[test]
fn a_void_activation_makes_the_account_void() {
    let scene = Scene::new();
    let none = json!({});
    let (own, account) = (&scene.exporter, scene.exporter.public_key());
    let said = |token: String| scene.refused(&none, &json!({ "token": token })).join("; ");
    assert_eq!(said("abc".to_owned()), "import \"q\" contains an invalid activation token");
    let token = |change: &Value| scene.activation(own, change);
    let other = json!({ "sub": account });
    assert_eq!(
        said(token(&other)),
        "activation token doesn't match account it is being included in, \"q\""
    );
    assert_eq!(
        said(token(&json!({ "kind": "stream" }))),
        "mismatch between token import type stream and type of import service"
    );
    assert_eq!(
        said(token(&json!({ "subject": "r" }))),
        "activation token import subject \"r\" doesn't match import \"q\""
    );
    let stranger = scene.activation(&KeyPair::new_account(), &json!({ "issuer_account": "" }));
    assert_eq!(said(stranger), "activation token doesn't match account for import \"q\"");
}

#[test]
fn what_cannot_be_makes_an_account_void() {
    let scene = Scene::new();
    let none = json!({});
    let latency = |sampling: Value, results: &str| json!({ "service_latency": { "sampling": sampling, "results": results } });
    for (export, text) in [
        (json!({ "subject": "q..x" }), "subject \"q..x\" cannot contain consecutive `.`"),
        (json!({ "subject": "" }), "subject cannot be empty"),
        (json!({ "subject": "q." }), "subject \"q.\" cannot start or end with a `.`"),
        (json!({ "response_type": "stream" }), "invalid response type for service: \"stream\""),
        (json!({ "response_threshold": -5 }), "negative response threshold is invalid"),
        (
            json!({ "type": "stream", "response_threshold": 5 }),
            "response threshold only valid for services",
        ),
        (
            json!({ "type": "stream", "response_type": "Stream" }),
            "invalid response type for stream: \"Stream\"",
        ),
        (
            json!({ "type": "stream", "allow_trace": true }),
            "AllowTrace only valid for service export",
        ),
        (latency(200.into(), "x"), "sampling percentage needs to be between 1-100"),
        (latency(20.into(), "x.*"), "results subject can not contain wildcards"),
        (
            json!({ "account_token_position": 1 }),
            "Account Token Position can only be used with wildcard subjects: q",
        ),
        (
            json!({ "subject": "q.*", "account_token_position": 3 }),
            "Account Token Position 3 exceeds length of subject 'q.*'",
        ),
        (
            json!({ "subject": "q.*", "account_token_position": 1 }),
            "Account Token Position 1 matches 'q' but must match a * in: q.*",
        ),
    ] {
        assert_eq!(scene.refused(&export, &none).join("; "), text);
    }
    for (import, text) in [
        (json!({ "account": "" }), "account to import from is not specified"),
        (json!({ "local_subject": "a..b" }), "subject \"a..b\" cannot contain consecutive `.`"),
        (json!({ "allow_trace": true }), "AllowTrace only valid for stream import"),
        (json!({ "local_subject": "l", "to": "q" }), "Local Subject replaces To"),
        (
            json!({ "type": "stream", "share": true }),
            "sharing information (for latency tracking) is only valid for services: \"q\"",
        ),
        (
            json!({ "subject": "q.*", "local_subject": "l" }),
            "subject does not contain enough * or reference wildcards $[0-9]",
        ),
    ] {
        assert_eq!(scene.refused(&none, &import).join("; "), text);
    }
    assert!(scene.refused(&latency("headers".into(), "x"), &none).is_empty());
    assert!(scene.refused(&latency(0.into(), "x"), &none).is_empty());
}

#[test]
fn an_account_has_no_more_than_its_operator_allows() {
    let limits = json!({ "imports": 0, "exports": 0 });
    let exports =
        json!([{ "subject": "a", "type": "stream" }, { "subject": "a", "type": "service" }]);
    let claims =
        Scene::token(&KeyPair::new_account(), &json!({ "limits": limits, "exports": exports }));
    let text = "the account contains more exports than allowed by the operator";
    assert_eq!(claims.issues(), [text]);
    let exports =
        json!([{ "subject": "a.*", "type": "stream" }, { "subject": "a.b", "type": "stream" }]);
    let claims = Scene::token(&KeyPair::new_account(), &json!({ "exports": exports }));
    assert_eq!(claims.issues(), ["stream export subject \"a.*\" already exports \"a.b\""]);
    let import = |subject: &str, local: &str| json!({ "subject": subject, "type": "service", "account": "A", "local_subject": local });
    let imports = json!([import("q.*", "l.*"), import("r", "l.a")]);
    let claims = Scene::token(&KeyPair::new_account(), &json!({ "imports": imports }));
    let text = "overlapping subject namespace for \"l.a\" and \"l.*\" in same account \"A\"";
    assert_eq!(claims.issues(), [text]);
}
