//! Every row was asked of nats-server 2.15.1 with `-t`.

use super::super::{Access, ExportError, Terms};
use super::*;

fn account(name: &str) -> AccountOptions {
    AccountOptions { name: name.to_owned(), ..AccountOptions::default() }
}

fn export(subject: &str, offer: Offer, access: Access) -> Export {
    Export { subject: subject.to_owned(), offer, access, allow_trace: false, activations: None }
}

/// Accounts A, B and C; what is in `offers` is exported by B.
fn access(offers: &[(&str, bool, Access)]) -> AccessOptions {
    let accounts = vec![account("A"), account("B"), account("C")];
    let mut access = AccessOptions { accounts, ..AccessOptions::default() };
    for (subject, is_stream, to) in offers {
        let offer = if *is_stream { Offer::Stream } else { Offer::Service(Terms::default()) };
        access.export("B", export(subject, offer, to.clone()));
    }
    access
}

fn wanted(subject: &str, to: &str) -> Wanted {
    Wanted {
        exporter: "B".to_owned(),
        subject: subject.to_owned(),
        to: to.to_owned(),
        ..Wanted::default()
    }
}

fn only(account: &str) -> Access {
    Access::Private(vec![account.to_owned()])
}

#[test]
fn an_import_needs_an_export_that_is_for_its_account() {
    let is_authorized = |offers: &[(&str, bool, Access)], subject: &str| {
        let mut access = access(offers);
        access.import_service("A", &wanted(subject, "")) != Err(ImportError::ServiceNotAuthorized)
    };
    let public = Access::Public;
    let token = Access::OwnToken(2);
    assert!(is_authorized(&[("foo", false, public.clone())], "foo"));
    assert!(!is_authorized(&[("foo", true, public.clone())], "foo"), "a stream is no service");
    assert!(is_authorized(&[("foo", false, only("A"))], "foo"));
    assert!(!is_authorized(&[("foo", false, only("C"))], "foo"));
    assert!(is_authorized(&[("foo.*", false, token.clone())], "foo.A"));
    assert!(!is_authorized(&[("foo.*", false, token.clone())], "foo.B"));
    assert!(!is_authorized(&[("foo.*", false, token)], "foo.*"));
    assert!(!is_authorized(&[("foo.A", false, public.clone())], "foo.*"));
    // The export of that very subject counts, whatever others say.
    let exact = [("foo.*", false, only("C")), ("foo.bar", false, public.clone())];
    assert!(is_authorized(&exact, "foo.bar"));
    let exact = [("foo.*", false, public.clone()), ("foo.bar", false, only("C"))];
    assert!(!is_authorized(&exact, "foo.bar"));
    // Exported twice, it is for those of both lists.
    for order in [[public.clone(), only("C")], [only("C"), public]] {
        let twice = order.map(|to| ("foo", false, to));
        assert!(!is_authorized(&twice, "foo"));
    }
    assert!(is_authorized(&[("foo", false, only("C")), ("foo", false, only("A"))], "foo"));
}

#[test]
fn subjects_of_streams_become_those_of_the_importer() {
    let import = |from: &str, to: &str, prefix: &str| {
        let mut access = access(&[(">", true, Access::Public)]);
        let wanted = Wanted { prefix: prefix.to_owned(), ..wanted(from, to) };
        access.import_stream("A", &wanted).map_err(|error| error.to_string())?;
        Ok::<_, String>(access.accounts[0].stream_imports.remove(0).to)
    };
    for (from, to, prefix, expected) in [
        ("foo", "", "", "foo"),
        ("foo", "bar", "", "bar"),
        ("foo", "", "p", "p.foo"),
        ("foo", "q", "p.", "p.foo"),
        ("foo.*", "", "p", "p.foo.*"),
        ("foo.>", "", "p", "p.foo.>"),
        ("foo.*", "q.*", "", "q.*"),
        ("foo.*.*", "q.$2.$1.$1", "", "q.*.*.*"),
        ("foo.*", "q.{{wildcard(1)}}", "", "q.*"),
        ("foo.*.>", "q.$1.>", "", "q.*.>"),
        ("foo.*", "", "q.$1", "q.*.foo.*"),
    ] {
        assert_eq!(import(from, to, prefix).as_deref(), Ok(expected), "{from} {to} {prefix}");
    }
    let begin = "failed to create mapping transform for stream import subject from";
    for (from, to, prefix, expected) in [
        ("foo", "", "p.*", "stream import prefix can not contain wildcard tokens".to_owned()),
        ("foo", "", ">", "stream import prefix can not contain wildcard tokens".to_owned()),
        ("foo.>", "q", "", format!("{begin} \"foo.>\" to \"q\": invalid subject")),
        (
            "foo.*.*",
            "q.$2",
            "",
            format!(
                "{begin} \"foo.*.*\" to \"q.$2\": invalid mapping destination: not using all of \
                 the token wildcard(s) in q.$2"
            ),
        ),
        (
            "foo.*",
            "q.{{left(1,2)}}",
            "",
            format!(
                "{begin} \"foo.*\" to \"q.{{{{left(1,2)}}}}\": invalid mapping destination: the \
                 only mapping function allowed for import transforms is {{{{Wildcard()}}}} in \
                 {{{{left(1,2)}}}}"
            ),
        ),
    ] {
        assert_eq!(import(from, to, prefix), Err(expected), "{from} {to} {prefix}");
    }
    let mut access = access(&[("foo", true, Access::Public)]);
    assert_eq!(access.import_stream("A", &wanted("foo", "")), Ok(()));
    assert_eq!(access.import_stream("A", &wanted("foo", "bar")), Err(ImportError::StreamTwice));
}

#[test]
fn requests_find_their_way_to_the_exporters_subject() {
    let passed = |subject: &str, to: &str, asked: &str| {
        let mut access = access(&[(">", false, Access::Public)]);
        access.import_service("A", &wanted(subject, to)).map_err(|error| error.to_string())?;
        let import = access.accounts[0].service_imports.remove(0);
        let mut out = Vec::new();
        import.transform.apply(asked.as_bytes(), 0, &mut out);
        Ok::<_, String>(String::from_utf8(out).unwrap())
    };
    for (subject, to, asked, expected) in [
        ("foo", "", "foo", "foo"),
        ("foo", "bar", "bar", "foo"),
        ("foo", "bar.*", "bar.x", "foo"),
        ("foo.*", "", "foo.x", "foo.x"),
        ("foo.*", "bar.$1", "bar.x", "foo.x"),
        ("foo.*", "*.bar", "x.bar", "foo.x"),
        ("foo.*.*", "bar.$2.$1", "bar.b.a", "foo.a.b"),
        ("foo.*.*", "bar.$2.$2.$1", "bar.b.c.a", "foo.a.b"),
        ("foo.>", "bar.>", "bar.a.b", "foo.a.b"),
    ] {
        assert_eq!(passed(subject, to, asked).as_deref(), Ok(expected), "{subject} {to}");
    }
    let begin = "failed to create mapping transform for service import subject from";
    for (subject, to, expected) in [
        ("foo", "bar..x", "sublist: invalid subject".to_owned()),
        (
            "foo.*",
            "bar",
            format!(
                "{begin} \"bar\" to \"foo.*\": invalid mapping destination: not using all of the \
                 token wildcard(s) in bar"
            ),
        ),
        (
            "foo.*",
            "bar.$2",
            format!(
                "{begin} \"bar.$2\" to \"foo.*\": invalid mapping destination: wildcard index out \
                 of range in $2: [2]"
            ),
        ),
        ("foo.*", "bar.>", format!("{begin} \"bar.>\" to \"foo.*\": invalid subject")),
    ] {
        assert_eq!(passed(subject, to, ""), Err(expected), "{subject} {to}");
    }
}

#[test]
fn what_comes_back_to_where_it_started_is_refused() {
    let mut access = access(&[("foo", false, Access::Public), ("foo", true, Access::Public)]);
    for offer in [Offer::Stream, Offer::Service(Terms::default())] {
        access.export("A", export("bar", offer, Access::Public));
    }
    let back = Wanted { exporter: "A".to_owned(), ..wanted("bar", "foo") };
    assert_eq!(access.import_service("A", &wanted("foo", "bar")), Ok(()));
    assert_eq!(access.import_service("B", &back), Err(ImportError::Cycle));
    assert_eq!(access.import_stream("A", &wanted("foo", "bar")), Ok(()));
    assert_eq!(access.import_stream("B", &back), Err(ImportError::Cycle));
    // The way there and back is none if it ends elsewhere.
    let elsewhere = Wanted { exporter: "A".to_owned(), ..wanted("bar", "other") };
    assert_eq!(access.import_service("C", &elsewhere), Ok(()));
    // An account may import from itself.
    assert_eq!(access.import_service("B", &wanted("foo", "own")), Ok(()));
}

#[test]
fn the_accounts_own_token_is_a_wildcard() {
    let check = |subject: &str, position| {
        export(subject, Offer::Stream, Access::OwnToken(position)).check()
    };
    assert_eq!(check("foo.*", 2), Ok(()));
    for (subject, position) in [("foo.*", 1), ("foo.*", 3), ("foo.>", 2), ("foo.*", usize::MAX)] {
        assert_eq!(check(subject, position), Err(ExportError::TokenPosition), "{subject}");
    }
}
