//! The examples were asked of nats-server 2.15.1, but where they say otherwise; the properties
//! compare with what the rules mean, subject by subject.

use proptest::prelude::*;

use super::*;

fn list(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|&rule| rule.to_owned()).collect()
}

fn subscriber(allow: &[&str], deny: &[&str]) -> Permissions {
    let subscribe = SubjectRules { allow: list(allow), deny: list(deny) };
    Permissions::new(PermissionRules { subscribe, ..PermissionRules::default() })
}

fn publisher(allow: &[&str], deny: &[&str]) -> Permissions {
    let publish = SubjectRules { allow: list(allow), deny: list(deny) };
    Permissions::new(PermissionRules { publish, ..PermissionRules::default() })
}

#[track_caller]
fn says(permissions: &Permissions, verdict: SubscribeVerdict, subscriptions: &[&str]) {
    for subscription in subscriptions {
        let (subject, queue) = match subscription.split_once(' ') {
            Some((subject, queue)) => (subject, Some(queue.as_bytes())),
            None => (*subscription, None),
        };
        let said = permissions.check_subscribe(subject.as_bytes(), queue);
        assert_eq!(said, verdict, "{subscription}");
    }
}

#[test]
fn publishing_needs_an_allow_rule_and_no_deny_rule() {
    let bob = publisher(&["pub.>", "q.*"], &["pub.secret"]);
    for allowed in ["pub.a", "q.a", "pub.>", "pub.*", "q.*", "pub.secret.x", "q.>"] {
        assert!(bob.allows_publish(allowed.as_bytes()), "{allowed}");
    }
    for denied in ["pub", "pub.secret", "q.a.b", "other", ">", "*", "pub.a..b", "pub."] {
        assert!(!bob.allows_publish(denied.as_bytes()), "{denied}");
    }
    let none = publisher(&[], &[]);
    assert!(none.allow_all_publishes() && none.allows_publish(b"anything"));
    assert!(!publisher(&[], &["a.>"]).allows_publish(b"a.b"));
    assert!(publisher(&[], &["a.>"]).allows_publish(b"a"));
}

#[test]
fn subscriptions_are_judged_as_by_nats_server() {
    use SubscribeVerdict::{Allowed, Filtered, Refused};
    let bob = subscriber(
        &["sub.>", "g q1", "h", "h q.*", "r.*"],
        &["sub.secret", "sub.x.*", "h q.no", "r.d q9"],
    );
    says(&bob, Allowed, &["sub.a", "g q1", "h", "h q.a", "r.d", "r.* q8", "r.d q8", "r.*"]);
    says(&bob, Filtered, &["sub.*", "sub.>", "sub.*.y", "sub.*.*", "r.* q9"]);
    says(&bob, Refused, &["sub.secret", ">", "*", "sub.x.y", "sub.x.*", "sub.x.>", "other", "g"]);
    says(&bob, Refused, &["g q2", "g q1.x", "h q.no", "h q", "h q.a.b", "r.d q9", "a..b"]);
    let den = subscriber(&[], &["b.>", "c.*.d", "e q"]);
    says(&den, Allowed, &["a", "b", "e", "e q2", "s.a"]);
    says(&den, Filtered, &["*.c", "*.*", "c.*.*", "c.>", "*.*.d", "* q", ">"]);
    says(&den, Refused, &["b.c", "b.*", "b.>", "c.x.d", "e q"]);
    let wide = subscriber(&[">"], &["a.*", "z.>"]);
    says(&wide, Refused, &["a.>", "z.*", "z.>", "a.b"]);
    says(&wide, Filtered, &["*.>", "*.z"]);
    says(&wide, Allowed, &["a.*.>", "a.*.*", "a.b.c"]);
}

#[test]
fn a_rule_with_a_queue_is_about_members_of_that_queue() {
    use SubscribeVerdict::{Allowed, Refused};
    let allowed = subscriber(&["foo v1", "foo", "bar v.*", "baz *", "x >"], &[]);
    says(&allowed, Allowed, &["foo", "foo v1", "bar v.1", "baz q", "x a", "x a.b", "bar v.*"]);
    says(&allowed, Refused, &["foo v2", "bar", "bar v", "bar v.1.2", "baz", "baz q.r", "x"]);
    let denied = subscriber(&["foo"], &["foo v1", "> q.*"]);
    says(&denied, Allowed, &["foo", "foo v2", "foo q"]);
    says(&denied, Refused, &["foo v1", "foo q.1", "bar", "bar v.1"]);
}

/// nats-server takes SUB `>` where only `*` is allowed, and `a.>` for `a.*`: a
/// token `>` passes for any token. Here a pattern must be covered.
#[test]
fn an_allowed_star_does_not_cover_a_tail() {
    let star = subscriber(&["*", "a.*", "c.*.>"], &[]);
    says(&star, SubscribeVerdict::Refused, &[">", "a.>", "*.*", "*.>", "a.*.>", "c.>", "c.*"]);
    says(&star, SubscribeVerdict::Allowed, &["*", "x", "a.*", "c.*.>", "c.*.*", "c.x.>"]);
}

#[test]
fn denied_messages_are_kept_from_whom_the_rule_is_about() {
    let den = subscriber(&[], &["b.>", "c.*.d", "e q"]);
    assert!(den.denies_delivery(b"b.c", None) && den.denies_delivery(b"c.x.d", Some(b"any")));
    assert!(!den.denies_delivery(b"e", None) && !den.denies_delivery(b"e", Some(b"q2")));
    assert!(den.denies_delivery(b"e", Some(b"q")) && !den.denies_delivery(b"b", None));
}

#[test]
fn answering_closes_all_other_publishing() {
    let rules = PermissionRules { responses: Some(ResponseRule::default()), ..Default::default() };
    assert!(!Permissions::new(rules.clone()).allows_publish(b"x"));
    let publish = SubjectRules { allow: list(&["x"]), deny: Vec::new() };
    assert!(Permissions::new(PermissionRules { publish, ..rules }).allows_publish(b"x"));
}

#[test]
fn rules_are_checked_in_nats_servers_words() {
    let publish = |rule| PermissionRules::check_publish(rule).map_err(|error| error.to_string());
    let subscribe =
        |rule| PermissionRules::check_subscribe(rule).map_err(|error| error.to_string());
    assert_eq!(publish("a..b"), Err("subject \"a..b\" is not a valid subject".to_owned()));
    assert_eq!(publish("foo q"), Err("subject \"foo q\" is not a valid subject".to_owned()));
    assert_eq!(publish("a>.*b"), Ok(()));
    assert_eq!(subscribe("a b c"), Err("subject \"a b c\" is not a valid subject".to_owned()));
    assert_eq!(subscribe("a b..c"), Err("queue \"b..c\" is not a valid queue".to_owned()));
    assert_eq!(subscribe("a  b"), Ok(()));
}

fn pattern() -> impl Strategy<Value = String> {
    "(a|b|\\*)(\\.(a|b|\\*)){0,2}(\\.>)?|>"
}

/// Every subject of up to four tokens.
fn subjects() -> Vec<String> {
    let mut all: Vec<String> = vec!["a".to_owned(), "b".to_owned()];
    for _ in 0..3 {
        let longer: Vec<String> =
            all.iter().flat_map(|head| [format!("{head}.a"), format!("{head}.b")]).collect();
        all.extend(longer);
    }
    all
}

proptest! {
    #[test]
    fn no_message_reaches_a_subscription_that_the_rules_keep_it_from(
        allow in prop::collection::vec(pattern(), 0..3),
        deny in prop::collection::vec(pattern(), 0..3),
        subscription in pattern(),
    ) {
        let rules = PermissionRules {
            subscribe: SubjectRules { allow: allow.clone(), deny: deny.clone() },
            ..PermissionRules::default()
        };
        let permissions = Permissions::new(rules);
        let verdict = permissions.check_subscribe(subscription.as_bytes(), None);
        let any = |rules: &[String], subject: &str| {
            rules.iter().any(|rule| matches(rule.as_bytes(), subject.as_bytes()))
        };
        for subject in subjects() {
            let reached = verdict != SubscribeVerdict::Refused
                && matches(subscription.as_bytes(), subject.as_bytes())
                && !(verdict == SubscribeVerdict::Filtered
                    && permissions.denies_delivery(subject.as_bytes(), None));
            if reached {
                prop_assert!(allow.is_empty() || any(&allow, &subject), "{subject} not allowed");
                prop_assert!(!any(&deny, &subject), "{subject} denied");
            }
        }
    }

    #[test]
    fn a_pattern_covers_what_its_subjects_say(wider in pattern(), pattern in pattern()) {
        let all = subjects();
        let inside = |outer: &str, subject: &String| matches(outer.as_bytes(), subject.as_bytes());
        let subset = all.iter().all(|s| !inside(&pattern, s) || inside(&wider, s));
        prop_assert!(!covers(wider.as_bytes(), pattern.as_bytes()) || subset);
        let common = all.iter().any(|s| inside(&pattern, s) && inside(&wider, s));
        prop_assert!(!common || overlaps(wider.as_bytes(), pattern.as_bytes()));
    }
}
