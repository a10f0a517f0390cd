//! An operator, its accounts and their users, for tests of operator mode.

use data_encoding::BASE64URL_NOPAD;
use midge::account::jwt::sign;
use nkeys::KeyPair;
use serde_json::{json, Value};

use crate::common::{Broker, Raw};

/// An operator with a key.
pub(crate) struct Operator {
    pub(crate) key: KeyPair,
    /// When its token is made, however often: a reload takes no other operator.
    made_at: i64,
}

/// An account of an operator.
pub(crate) struct Tenant {
    pub(crate) key: KeyPair,
    /// Its token, not signed yet.
    pub(crate) claims: Value,
}

/// Now, in seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a clock after 1970").as_secs()).expect("a small number")
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self { key: KeyPair::new_operator(), made_at: unix_now() }
    }

    /// The operator's own token; `nats` adds to it.
    pub(crate) fn token(&self, nats: &Value) -> String {
        let mut claims = json!({ "sub": self.key.public_key(), "name": "op", "iat": self.made_at,
            "nats": { "type": "operator", "version": 2 } });
        merge(&mut claims["nats"], nats);
        sign(&claims, &self.key).expect("a token")
    }

    /// The token of an account.
    pub(crate) fn account(&self, tenant: &Tenant) -> String {
        sign(&tenant.claims, &self.key).expect("a token")
    }

    /// A configuration that knows these accounts.
    pub(crate) fn config(&self, tenants: &[&Tenant]) -> String {
        let mut preload = String::new();
        for tenant in tenants {
            preload += &format!("  {}: {}\n", tenant.id(), self.account(tenant));
        }
        let token = self.token(&json!({}));
        format!("operator: {token}\nresolver: MEMORY\nresolver_preload {{\n{preload}}}\n")
    }
}

impl Tenant {
    /// An account without limits.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::new_account();
        let claims = json!({ "sub": key.public_key(), "name": name, "iat": unix_now(), "nats": {
            "type": "account", "version": 2, "limits": { "subs": -1, "data": -1, "payload": -1,
                "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 } } });
        Self { key, claims }
    }

    /// The same account with more in its `nats` object.
    pub(crate) fn with(mut self, nats: &Value) -> Self {
        merge(&mut self.claims["nats"], nats);
        self
    }

    pub(crate) fn id(&self) -> String {
        self.key.public_key()
    }

    /// The token of a user, signed by the account; `nats` adds to it.
    pub(crate) fn user(&self, user: &KeyPair, nats: &Value) -> String {
        self.user_until(user, nats, None)
    }

    /// The same, void from a time on.
    pub(crate) fn user_until(&self, user: &KeyPair, nats: &Value, expires: Option<i64>) -> String {
        let mut claims = json!({ "sub": user.public_key(), "name": "usr", "iat": unix_now(), "nats": {
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 } });
        merge(&mut claims["nats"], nats);
        if let Some(expires) = expires {
            claims["exp"] = expires.into();
        }
        sign(&claims, &self.key).expect("a token")
    }

    /// The token of a user of a scoped signing key.
    pub(crate) fn scoped_user(&self, user: &KeyPair, by: &KeyPair, nats: &Value) -> String {
        let mut claims = json!({ "sub": user.public_key(), "name": "usr", "iat": unix_now(), "nats": {
            "type": "user", "version": 2, "issuer_account": self.id() } });
        merge(&mut claims["nats"], nats);
        sign(&claims, by).expect("a token")
    }
}

/// Adds the fields of `from` to `into`, or takes their place.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().expect("an object") {
        into[key] = value.clone();
    }
}

/// Says CONNECT with a token, and signs the nonce of INFO if there is a key. Awaits nothing.
pub(crate) fn connect(broker: &Broker, token: &str, key: Option<&KeyPair>) -> Raw {
    let mut raw = Raw::connect(broker);
    let mut options = json!({ "verbose": false, "pedantic": false, "protocol": 1, "headers": true,
        "jwt": token });
    if let Some(key) = key {
        let info = raw.info();
        let nonce = info["nonce"].as_str().expect("a nonce");
        let signature = key.sign(nonce.as_bytes()).expect("a signature");
        options["sig"] = BASE64URL_NOPAD.encode(&signature).into();
    }
    raw.send(format!("CONNECT {options}\r\n"));
    raw
}

/// [`connect`], and the INFO that follows it.
pub(crate) fn log_in(broker: &Broker, token: &str, key: &KeyPair) -> (Raw, Value) {
    let mut raw = connect(broker, token, Some(key));
    raw.send("PING\r\n");
    raw.expect_line("PONG");
    let info = raw.expect_info();
    (raw, info)
}
