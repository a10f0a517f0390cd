//! CONNECT options, decoded the way Go's `encoding/json` decodes them for nats-server.
//!
//! * Keys match in any ASCII case (and with Go's two folds, U+017F for `s` and U+212A for `k`);
//!   unknown keys are ignored; the last duplicate wins.
//! * `null` leaves a value as it is, and so does a `null` in place of the object.
//! * A value of the wrong type is an error, also for keys this server does not use.
//! * Invalid UTF-8 and lone surrogates become U+FFFD.
//!
//! Known difference: Go takes `-0.0` for `protocol` as an error, this decoder as 0.
//! Bound: `ParserLimits::control_line_bytes_max`, checked by the parser before.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ProtoError;

/// What a client said about itself. Empty texts mean absent.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `+OK` for each operation. Default true.
    pub verbose: bool,
    /// Publish subjects are checked. Default true.
    pub pedantic: bool,
    /// The client's own publishes are delivered to its own subscriptions. Default true.
    pub echo: bool,
    /// Informational.
    pub tls_required: bool,
    /// Token.
    pub auth_token: String,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: String,
    /// Public user nkey, `U...`.
    pub nkey: String,
    /// User JWT.
    pub jwt: String,
    /// Signature of the nonce, base64.
    pub sig: String,
    /// Shown in monitoring.
    pub name: String,
    /// Shown in monitoring.
    pub lang: String,
    /// Shown in monitoring.
    pub version: String,
    /// 0 or 1; the caller refuses others with `WireError::InvalidClientProtocol`.
    pub protocol: i64,
    /// The client understands headers.
    pub headers: bool,
    /// The client wants 503 replies; needs headers in effect.
    pub no_responders: bool,
    /// Legacy: any value is an authorization violation.
    pub account: String,
    /// Legacy: true is an authorization violation.
    pub new_account: bool,
    /// Signature of the nonce by a trusted proxy.
    pub proxy_sig: String,
}

impl Default for ConnectOptions {
    /// What holds for a client that has not sent CONNECT.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            tls_required: false,
            auth_token: String::new(),
            user: String::new(),
            pass: String::new(),
            nkey: String::new(),
            jwt: String::new(),
            sig: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            protocol: 0,
            headers: false,
            no_responders: false,
            account: String::new(),
            new_account: false,
            proxy_sig: String::new(),
        }
    }
}

/// Leaves the secrets out.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .finish_non_exhaustive()
    }
}

impl ConnectOptions {
    /// Decodes the first CONNECT of a connection.
    ///
    /// # Errors
    /// [`ProtoError::BadConnectJson`]: the connection closes without a text.
    pub fn parse(json: &[u8]) -> Result<Self, ProtoError> {
        let mut options = Self::default();
        options.apply(json)?;
        Ok(options)
    }

    /// Decodes a further CONNECT: keys it leaves out keep what the previous one set, as they do in
    /// nats-server.
    ///
    /// # Errors
    /// [`ProtoError::BadConnectJson`]; some fields may have changed.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), ProtoError> {
        if let Some(at) = control_character_in_string(json) {
            return Err(ProtoError::BadConnectJson { column: at.saturating_add(1) });
        }
        let mut decoder = serde_json::Deserializer::from_slice(json);
        Apply(self)
            .deserialize(&mut decoder)
            .and_then(|()| decoder.end())
            .map_err(|error| ProtoError::BadConnectJson { column: error.column() })
    }
}

/// Where a string holds a raw control character. The decoder refuses those in text but not in bytes,
/// and [`Text`] has to read bytes.
fn control_character_in_string(json: &[u8]) -> Option<usize> {
    let mut in_string = false;
    let mut escaped = false;
    json.iter().position(|&byte| {
        let quote = byte == b'"' && !escaped;
        in_string ^= quote;
        escaped = in_string && byte == b'\\' && !escaped;
        in_string && byte < 0x20
    })
}

/// Decodes an object into existing options.
struct Apply<'o>(&'o mut ConnectOptions);

impl<'de> DeserializeSeed<'de> for Apply<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Apply<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let options = self.0;
        while let Some(Key(key)) = map.next_key()? {
            match key {
                "verbose" => set(&mut map, &mut options.verbose)?,
                "pedantic" => set(&mut map, &mut options.pedantic)?,
                "echo" => set(&mut map, &mut options.echo)?,
                "tls_required" => set(&mut map, &mut options.tls_required)?,
                "auth_token" => set_text(&mut map, &mut options.auth_token)?,
                "user" => set_text(&mut map, &mut options.user)?,
                "pass" => set_text(&mut map, &mut options.pass)?,
                "nkey" => set_text(&mut map, &mut options.nkey)?,
                "jwt" => set_text(&mut map, &mut options.jwt)?,
                "sig" => set_text(&mut map, &mut options.sig)?,
                "name" => set_text(&mut map, &mut options.name)?,
                "lang" => set_text(&mut map, &mut options.lang)?,
                "version" => set_text(&mut map, &mut options.version)?,
                "protocol" => {
                    if let Some(Integer(protocol)) = map.next_value()? {
                        options.protocol = protocol;
                    }
                }
                "headers" => set(&mut map, &mut options.headers)?,
                "no_responders" => set(&mut map, &mut options.no_responders)?,
                "account" => set_text(&mut map, &mut options.account)?,
                "new_account" => set(&mut map, &mut options.new_account)?,
                "proxy_sig" => set_text(&mut map, &mut options.proxy_sig)?,
                "remote_account" => {
                    map.next_value::<Option<Text>>()?;
                }
                "import" | "export" => {
                    map.next_value::<Option<SubjectPermission>>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    field: &mut T,
) -> Result<(), A::Error> {
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

fn set_text<'de, A: MapAccess<'de>>(map: &mut A, field: &mut String) -> Result<(), A::Error> {
    if let Some(Text(value)) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

/// Server-to-server permissions; only their types are checked.
#[derive(Deserialize)]
struct SubjectPermission {
    #[serde(default, rename = "allow")]
    _allow: Option<Vec<Option<Text>>>,
    #[serde(default, rename = "deny")]
    _deny: Option<Vec<Option<Text>>>,
}

/// A known key in its usual spelling, or "".
struct Key(&'static str);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(decoder)?;
        if let Some(known) = KEYS.iter().find(|key| **key == text) {
            return Ok(Self(known));
        }
        let folded = text.replace('\u{17f}', "s").replace('\u{212a}', "k");
        Ok(Self(KEYS.iter().find(|key| key.eq_ignore_ascii_case(&folded)).unwrap_or(&"")))
    }
}

/// A JSON string whose bytes need not be UTF-8.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        decoder.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// A JSON integer; `1.0` and `1e0` are none.
struct Integer(i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        decoder.deserialize_any(IntegerVisitor)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = Integer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Integer, E> {
        Ok(Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Integer, E> {
        i64::try_from(number).map(Integer).map_err(E::custom)
    }

    /// The decoder reads `-0` as a float.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Integer, E> {
        if number == 0.0 && number.is_sign_negative() {
            Ok(Integer(0))
        } else {
            Err(E::custom("not an integer"))
        }
    }
}

const KEYS: &[&str] = &[
    "verbose",
    "pedantic",
    "echo",
    "tls_required",
    "auth_token",
    "user",
    "pass",
    "nkey",
    "jwt",
    "sig",
    "name",
    "lang",
    "version",
    "protocol",
    "headers",
    "no_responders",
    "account",
    "new_account",
    "proxy_sig",
    "remote_account",
    "import",
    "export",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> ConnectOptions {
        ConnectOptions::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn absent_keys_keep_defaults() {
        let options = parse("{}");
        assert_eq!(options, ConnectOptions::default());
        assert!(options.verbose && options.pedantic && options.echo);
        assert!(!options.headers && !options.no_responders && !options.tls_required);
        assert_eq!(parse("null"), options);
        assert_eq!(parse("  {}  "), options);
    }

    #[test]
    fn every_key_is_read() {
        let options = parse(
            r#"{"verbose":false,"pedantic":false,"echo":false,"tls_required":true,
            "auth_token":"t","user":"u","pass":"p","nkey":"UN","jwt":"j","sig":"s","name":"n",
            "lang":"l","version":"v","protocol":1,"headers":true,"no_responders":true,
            "account":"a","new_account":true,"proxy_sig":"x","remote_account":"r",
            "import":{"allow":["a"],"x":1,"deny":[null]},"export":null,
            "tls_verify":true,"no_echo":{"a":[1e999]},"stamp":"2020"}"#,
        );
        let expected = ConnectOptions {
            verbose: false,
            pedantic: false,
            echo: false,
            tls_required: true,
            auth_token: "t".into(),
            user: "u".into(),
            pass: "p".into(),
            nkey: "UN".into(),
            jwt: "j".into(),
            sig: "s".into(),
            name: "n".into(),
            lang: "l".into(),
            version: "v".into(),
            protocol: 1,
            headers: true,
            no_responders: true,
            account: "a".into(),
            new_account: true,
            proxy_sig: "x".into(),
        };
        assert_eq!(options, expected);
    }

    /// Goal: what nats-server 2.15.1 accepts. Method: each input was sent to it.
    #[test]
    fn keys_and_values_are_read_as_go_reads_them() {
        for json in [
            r#"{"Verbose":false}"#,
            r#"{"VERBOSE":false}"#,
            r#"{"verbo\u017fe":false}"#,
            "{\"verbo\u{17f}e\":false}",
            r#"{"\u0076erbose":false}"#,
            r#"{"verbose":true,"verbose":false}"#,
            r#"{"verbose":false,"verbose":null}"#,
            r#"{"unknown":5,"verbose":false}"#,
        ] {
            assert!(!parse(json).verbose, "{json}");
        }
        assert_eq!(parse(r#"{"protocol":-0}"#).protocol, 0);
        assert_eq!(parse(r#"{"protocol":-1}"#).protocol, -1);
        assert_eq!(parse(r#"{"protocol":null}"#).protocol, 0);
        assert_eq!(parse(r#"{"name":"\ud800x"}"#).name.chars().last(), Some('x'));
        let options = ConnectOptions::parse(b"{\"name\":\"\xff\",\"\xff\":1}").unwrap();
        assert_eq!(options.name, "\u{fffd}");
        let deep = format!("{{\"stamp\":{}{}}}", "[".repeat(300), "]".repeat(300));
        assert_eq!(parse(&deep), ConnectOptions::default());
        assert!(ConnectOptions::parse(b"{\"x\":\"\xff\\ud800\"}").is_ok());
    }

    /// Goal: what nats-server 2.15.1 closes on. Method: each input was sent to it.
    #[test]
    fn wrong_types_and_bad_json_are_errors() {
        for json in [
            &b""[..],
            b"[]",
            b"\"\"",
            b"{} x",
            b"{\"verbose\":false}{\"a\":1}",
            b"{\"a\":1,}",
            b"{'a':1}",
            b"\xef\xbb\xbf{}",
            b"{\"x\":01}",
            b"{\"x\":\"\\x\"}",
            b"{\"name\":\"a\tb\"}",
            b"{\"name\":1}",
            b"{\"nkey\":5}",
            b"{\"verbose\":\"x\"}",
            b"{\"verbose\":1}",
            b"{\"protocol\":1.0}",
            b"{\"protocol\":1e0}",
            b"{\"protocol\":\"1\"}",
            b"{\"protocol\":99999999999999999999}",
            b"{\"import\":5}",
            b"{\"import\":{\"allow\":\"a\"}}",
            b"{\"import\":{\"allow\":[1]}}",
            b"{\"remote_account\":5}",
            b"{\"proxy_sig\":5}",
            b"{\"tls_required\":\"a\"}",
            b"{\"verbose\":\"x\",\"protocol\":9}",
            b"{\"name\":[65]}",
        ] {
            assert!(
                matches!(ConnectOptions::parse(json), Err(ProtoError::BadConnectJson { .. })),
                "{}",
                String::from_utf8_lossy(json)
            );
        }
    }

    #[test]
    fn second_connect_keeps_what_it_does_not_name() {
        let mut options = parse(r#"{"verbose":false,"user":"u"}"#);
        options.apply(br#"{"user":"w"}"#).unwrap();
        assert!(!options.verbose);
        assert_eq!(options.user, "w");
    }

    #[test]
    fn debug_shows_no_secret() {
        let options = parse(r#"{"pass":"hush","auth_token":"hush","jwt":"hush","sig":"hush"}"#);
        assert!(!format!("{options:?}").contains("hush"));
    }
}
