//! Examples of the language. Every text and every place was taken from nats-server 2.15.1 with
//! `-t`, unless a comment says that we differ.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::config::grammar::digest;

/// Files and environment of a test.
#[derive(Default)]
struct World {
    files: Vec<(&'static str, &'static str)>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Source for World {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let found = self.files.iter().find(|(name, _)| *name == path);
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(missing)
    }

    fn environment(&self, name: &str) -> Option<String> {
        let found = self.environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| (*text).to_owned())
    }
}

fn parse(text: &'static str) -> Result<Map, String> {
    let world = World { files: vec![("f", text)], ..World::default() };
    parse_file("f", &world).map_err(|error| error.to_string())
}

/// The values as Go's `%v` would roughly show them: short enough to write down.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bool(on) => on.to_string(),
        Value::Datetime(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(&item.value)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => shown_map(map),
    }
}

fn shown_map(map: &Map) -> String {
    let entries: Vec<_> =
        map.iter().map(|(key, node)| format!("{key}:{}", shown(&node.value))).collect();
    format!("{{{}}}", entries.join(" "))
}

#[track_caller]
fn means(text: &'static str, values: &str) {
    let parsed = parse(text).map(|map| shown_map(&map));
    assert_eq!(parsed.as_deref(), Ok(values), "{text:?}");
}

#[track_caller]
fn fails(text: &'static str, error: &str) {
    let parsed = parse(text).map(|map| shown_map(&map));
    assert_eq!(parsed, Err(error.to_owned()), "{text:?}");
}

#[test]
fn keys_and_values_are_parted_three_ways() {
    means("a: 1\nb = 2\nc 3\n", "{a:1 b:2 c:3}");
    means("a:1,b:2;c:3", "{a:1 b:2 c:3}");
    means("a {b 1}\nc [x]\n", "{a:{b:1} c:[\"x\"]}");
    means("\"a b\": 1\n'c=d' = 2\n", "{a b:1 c=d:2}");
    means("a\n  5\n", "{a:5}");
    means("a: 1\na: 2\n", "{a:2}");
}

#[test]
fn json_is_configuration() {
    means(
        "{ \"port\": 4222, \"a\": { \"b\": [1, 2.5, \"x\", true, null] } }\n",
        "{a:{b:[1 2.5 \"x\" true \"null\"]} port:4222}",
    );
    means("{\n  \"a\": {}\n}\n", "{a:{}}");
    means("{{ port: 5 }}\n", "{port:5}");
    means("{ port: 5 } x: 1\n", "{port:5 x:1}");
    means("port: 4222}\n", "{port:4222}");
    means("{ port: 5\n", "{port:5}");
}

#[test]
fn comments_end_with_their_line() {
    means("# a\n// b\na: 5 # c\nb: \"x\" // d\n", "{a:5 b:\"x\"}");
    means("a: [\n  1\n  2 # x\n // y\n]\n", "{a:[1 2]}");
    means("a { # x\n b: 1 // y\n # z\n}\n", "{a:{b:1}}");
    means("a: foo#bar\nb: http://x\n", "{a:\"foo#bar\" b:\"http://x\"}");
}

#[test]
fn strings_are_bare_raw_or_escaped() {
    means(
        "a: foo\nb: 'x\\n'\nc: \"x\\ty\\\"\\\\\\x41\"\n",
        "{a:\"foo\" b:\"x\\\\n\" c:\"x\\ty\\\"\\\\A\"}",
    );
    means("a: \"\\xc3\\xa9\"\n", "{a:\"é\"}");
    means("a: nats://u:p@h:1\n", "{a:\"nats://u:p@h:1\"}");
    means("a: x\\ty\n", "{a:\"x\\ty\"}");
    means("a:", "{a:\"\"}");
    means("a: \"two\nlines\"\n", "{a:\"two\\nlines\"}");
    means("a: (\nl1\n l2)\n)\nb: 1\n", "{a:\"\\nl1\\n l2)\\n\" b:1}");
    means("a: (\nx\n)", "{a:\"\\nx\\n\"}");
}

#[test]
fn numbers_have_sizes_and_may_turn_out_to_be_something_else() {
    means("a: 64MB\nb: -5k\nc: 1.5\nd: -0.5\n", "{a:67108864 b:-5000 c:1.5 d:-0.5}");
    means(
        "a: 127.0.0.1\nb: 127.0.0.1:4222\nc: 127.0.0.1:-1\n",
        "{a:\"127.0.0.1\" b:\"127.0.0.1:4222\" c:\"127.0.0.1:-1\"}",
    );
    means(
        "a: 1e5\nb: 1x\nc: 5kx\nd: 3secret\ne: 300ms\n",
        "{a:\"1e5\" b:\"1x\" c:\"5kx\" d:\"3secret\" e:\"300ms\"}"
            .replace("a:1000000000000000000", "a:\"1e5\"")
            .as_str(),
    );
    means("a: 2026-01-02T03:04:05Z\n", "{a:2026-01-02T03:04:05Z}");
    // nats-server reads `1]` as a string here and then misses the bracket.
    means("a: [1]\n", "{a:[1]}");
}

#[test]
fn booleans_have_six_spellings_without_quotes() {
    means(
        "a: tRuE\nb: off\nc: yes\nd: no\ne: on\nf: \"true\"\n",
        "{a:true b:false c:true d:false e:true f:\"true\"}",
    );
}

#[test]
fn variables_come_from_enclosing_maps_then_the_environment() {
    means("X: 5\nport: $X\n", "{X:5 port:5}");
    means("X: 5\na { X: 6, b: $X }\n", "{X:5 a:{X:6 b:6}}");
    means("X: 5\na { b { c: $X } }\n", "{X:5 a:{b:{c:5}}}");
    means("a: $2a$11$xyz\n", "{a:\"$2a$11$xyz\"}");
    fails("a { X: 5 }\nport: $X\n", "variable reference for 'X' on line 2 can not be found");
    fails("port: $NOPE\n", "variable reference for 'NOPE' on line 1 can not be found");
    fails("Y: $Y\n", "variable reference for 'Y' on line 1 can not be found");
    let world = World {
        files: vec![("f", "a: $N\nb: $S\nc: $M\n")],
        environment: vec![("N", "5k"), ("S", "'5'"), ("M", "{x: 1}")],
    };
    let values = parse_file("f", &world).unwrap();
    assert_eq!(shown_map(&values), "{a:5000 b:\"5\" c:{x:1}}");
}

#[test]
fn a_variable_that_refers_to_itself_is_found_out() {
    let world = World { files: vec![("f", "a: $B\n")], environment: vec![("B", "$B")] };
    assert_eq!(
        parse_file("f", &world).unwrap_err().to_string(),
        "variable reference for 'B' on line 1 could not be parsed: variable reference for 'B' on \
         line 1 could not be parsed: variable reference cycle for 'B'"
    );
}

#[test]
fn includes_are_relative_and_merge() {
    let world = World {
        files: vec![
            ("x/f", "include ./sub/g\nb: 2\nm { include 'h' }\n"),
            ("x/sub/g", "a: 1\ninclude \"../h\"\n"),
            ("x/h", "c: 3\nb: 9\n"),
        ],
        ..World::default()
    };
    let values = parse_file("x/f", &world).unwrap();
    assert_eq!(shown_map(&values), "{a:1 b:2 c:3 m:{b:9 c:3}}");
    assert_eq!(values["c"].place.to_string(), "x/h:1:0");
    assert_eq!(values["b"].place.to_string(), "x/f:2:1");
}

#[test]
fn include_errors_name_the_file() {
    fails(
        "include \"nope.conf\"\n",
        "error parsing include file 'nope.conf', open nope.conf: no such file or directory",
    );
    fails(
        "include [x]\n",
        "Parse error on line 1: 'Expected include value but found start of an array'",
    );
    fails(
        "include {x}\n",
        "Parse error on line 1: 'Expected include value but found start of a map'",
    );
    fails(
        "include -5\n",
        "Parse error on line 1: 'Expected include value but found start of a number'",
    );
    fails(
        "include (x)\n",
        "Parse error on line 1: 'Expected include value but found start of a block'",
    );
    fails("include \n", "Parse error on line 2: 'Expected include value but found new line'");
    fails("include 'x\n", "Parse error on line 2: 'Unexpected EOF in quoted include'");
    fails("include \"x\n", "Parse error on line 2: 'Unexpected EOF in double quoted include'");
    let circle = World { files: vec![("f", "include f\n")], ..World::default() };
    let error = parse_file("f", &circle).unwrap_err().to_string();
    assert!(error.ends_with("files include each other more than 16 deep"), "{error}");
}

#[test]
fn malformed_entries_fail_in_nats_servers_words() {
    for (text, error) in [
        ("= 4\n", "Parse error on line 1: 'Unexpected key separator '=''"),
        ("port = \n", "Parse error on line 2: 'Expected value but found new line'"),
        ("a\n", "config is invalid (f:2:1)"),
        ("port: 4222 foo\n", "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got 'f' instead.'"),
        ("a = = 1\n", "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '1' instead.'"),
        ("/ x\n", "Parse error on line 1: 'Unexpected EOF.'"),
        ("port: \"abc\n", "Parse error on line 2: 'Unexpected EOF.'"),
        ("port: 'abc\n", "Parse error on line 2: 'Unexpected EOF.'"),
        ("a: (abc\n", "Parse error on line 2: 'Unexpected EOF processing block.'"),
        ("server_name: \"a\\qb\"\n", "Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.'"),
        ("a: \"x\\x41\\x4\"\n", "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4\"''"),
        ("a: \\x4", "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4''"),
        ("a: \"x\\xzz\"\n", "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got 'zz''"),
    ] {
        fails(text, error);
    }
}

#[test]
fn malformed_maps_and_arrays_fail_in_nats_servers_words() {
    const ARRAY: &str =
        "Expected an array value terminator \",\" or an array terminator \"]\", but got";
    const MAP: &str = "Expected a map value terminator \",\" or a map terminator \"}\", but got";
    for (text, error) in [
        ("a { b: 1\n", "Parse error on line 2: 'Unexpected EOF processing map.'".to_owned()),
        ("a: { : 1 }\n", "Parse error on line 1: 'Unexpected key separator ':'.'".to_owned()),
        (
            "a: {]}\n",
            "Parse error on line 1: 'Unexpected array end ']' processing map.'".to_owned(),
        ),
        (
            "a: {b: ,}\n",
            "Parse error on line 1: 'Unexpected map value terminator \",\".'".to_owned(),
        ),
        ("a: {b: 1 c: 2}\n", format!("Parse error on line 1: '{MAP} 'c' instead.'")),
        // Where nats-server prints a zero byte, we print EOF.
        ("a: {b}\n", format!("Parse error on line 2: '{MAP} 'EOF' instead.'")),
        (
            "a: {\"b\n",
            "Parse error on line 2: 'Unexpected EOF processing double quoted map key.'".to_owned(),
        ),
        (
            "a: {'b\n",
            "Parse error on line 2: 'Unexpected EOF processing quoted map key.'".to_owned(),
        ),
        ("a: {b", "Parse error on line 1: 'Unexpected EOF processing map key.'".to_owned()),
        (
            "a: [1,,2]\n",
            "Parse error on line 1: 'Unexpected array value terminator ','.'".to_owned(),
        ),
        ("a: [1 2]\n", format!("Parse error on line 1: '{ARRAY} '2' instead.'")),
        ("a: [}]\n", format!("Parse error on line 1: '{ARRAY} '}}' instead.'")),
        ("port: [1\n", format!("Parse error on line 2: '{ARRAY} 'EOF' instead.'")),
    ] {
        fails(text, &error);
    }
}

#[test]
fn malformed_numbers_fail_in_nats_servers_words() {
    const END: &str = "Expected a top-level value to end with a new line, comment or EOF, but got";
    for (text, error) in [
        ("a: -x\n", "Parse error on line 1: 'Expected a digit but got 'x'.'".to_owned()),
        ("a: -.5\n", "Parse error on line 1: 'Floats must start with a digit, not '.'.'".to_owned()),
        ("a: .5\n", "Parse error on line 1: 'Floats must start with a digit'".to_owned()),
        ("a: 1.\n", "Parse error on line 2: 'Floats must have a digit after the '.', but got '\\n' instead.'".to_owned()),
        ("a: 1.5x\n", format!("Parse error on line 1: '{END} 'x' instead.'")),
        ("a: 1.5.x\n", format!("Parse error on line 1: '{END} 'x' instead.'")),
        ("a: 12-5\n", "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.'".to_owned()),
        ("a: 2026-x\n", "Parse error on line 1: 'Expected digit in ISO8601 datetime, but found 'x' instead.'".to_owned()),
        ("a: 2026-01-02 \n", "Parse error on line 1: 'Expected 'T' in ISO8601 datetime, but found ' ' instead.'".to_owned()),
        ("a: 2026-13-45T00:00:00Z\n", "expected Zulu formatted DateTime, but got '2026-13-45T00:00:00Z'".to_owned()),
        ("a: 99999999999999999999\n", "integer '99999999999999999999' is out of the range".to_owned()),
        // nats-server overflows silently here, and drops the next value there.
        ("a: 99999999999t\n", "integer '99999999999t' is out of the range".to_owned()),
        ("a: 1kbb\n", "expected integer, but got '1kbb'".to_owned()),
    ] {
        fails(text, &error);
    }
}

#[test]
fn places_are_counted_as_nats_server_counts() {
    let values = parse("a: 1\n  b: 2\nc { d: 3 }\n").unwrap();
    assert_eq!(values["a"].place.to_string(), "f:1:0");
    assert_eq!(values["b"].place.to_string(), "f:2:3");
    let Value::Map(inner) = &values["c"].value else { panic!("c is a map") };
    assert_eq!(inner["d"].place.to_string(), "f:3:5");
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let deep: &'static str = "a: ".to_owned().leak();
    let text = format!("{deep}{}", "[".repeat(100_000));
    let error = parse(text.leak()).unwrap_err();
    assert!(error.contains("values nest more than 256 deep"), "{error}");
    let fits = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(parse(fits.leak()).is_ok());
}

#[test]
fn digests_are_nats_servers() {
    for (text, expected) in [
        ("port: 4222\n", "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
        (
            "{ \"port\": 4222 }\n",
            "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e",
        ),
        (
            "port: 4222, debug: true; trace: no\n",
            "sha256:c071b4ee05b66adb6ca6ecfd4cbe00436311599bee86c39b0564daf5330be1fd",
        ),
        (
            "X: 5\nport: $X\n",
            "sha256:6fcc528da92b467e05225587b7346341bed3412854bc283ecdc80756a261858e",
        ),
        (
            "authorization { timeout: 1.5, user: u, pass: p }\n",
            "sha256:92ec3eb3b6f0f4b830c3bc2f0f1345f51ba8119739c92d43a13c5e5006e31961",
        ),
        (
            "listen: 127.0.0.1:-1\n",
            "sha256:b0f7691df1003bd3924dcf3e7766b266cbaab4d564b73d9a581c6f689c6ec533",
        ),
    ] {
        assert_eq!(digest(&parse(text).unwrap()), expected, "{text:?}");
    }
}

#[test]
fn any_text_ends_in_values_or_an_error() {
    // Every prefix and every single deletion of a text that uses the whole grammar.
    let text =
        "a: 1 # x\nb { c: [1, 'x', \"y\\n\"] }\nd: (\nz\n)\ninclude 'f2'\ne: $a\n{ g = 2.5 }\n";
    let world = |text: String| World {
        files: vec![("f", text.leak()), ("f2", "h: 1")],
        ..World::default()
    };
    for at in 0..text.len() {
        let _either = parse_file("f", &world(text[..at].to_owned()));
        let _either = parse_file("f", &world(format!("{}{}", &text[..at], &text[at + 1..])));
    }
}

proptest! {
    /// Texts of the characters that mean something, so that most get past the first few states.
    #[test]
    fn no_text_panics_or_hangs(text in r#"[ab0-9 \n\t{}\[\]():=,;#/'"\\$.xkmTZ-]{0,80}"#) {
        let world = World { files: vec![("f", text.leak())], ..World::default() };
        let _either = parse_file("f", &world);
    }

    /// What JSON says about strings without escapes and numbers is what we read.
    #[test]
    fn json_objects_mean_what_they_say(
        entries in proptest::collection::btree_map("[a-z]{1,8}", any::<i32>(), 0..8),
        words in proptest::collection::vec("[a-zA-Z0-9 .:/{}#]{0,12}", 0..4),
    ) {
        let mut text = String::from("{\n");
        for (key, number) in &entries {
            text.push_str(&format!("  \"{key}\": {number},\n"));
        }
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        text.push_str(&format!("  \"Words\": [{}]\n}}\n", quoted.join(", ")));
        let world = World { files: vec![("f", text.leak())], ..World::default() };
        let values = parse_file("f", &world).unwrap();
        for (key, number) in &entries {
            prop_assert_eq!(&values[key].value, &Value::Integer(i64::from(*number)));
        }
        let Value::Array(items) = &values["Words"].value else { panic!("an array") };
        for (item, word) in items.iter().zip(&words) {
            prop_assert_eq!(&item.value, &Value::String(word.clone()));
        }
        prop_assert_eq!(items.len(), words.len());
    }
}
