//! Every row was asked of nats-server 2.15.1: the subject that a subscriber to `>` saw, or the
//! error of its configuration test.

use proptest::prelude::*;

use super::super::TransformError;
use super::*;

#[rustfmt::skip]
const RESULTS: &[(&str, &str, &str, &str)] = &[
    ("a.*", "b.$0", "a.x", "b.a"),
    ("a.*", "b.$x", "a.x", "b.$x"),
    ("a.*", "b.{{}}", "a.x", "b.{{}}"),
    ("a.*", "b.{{wildcard(1)", "a.x", "b.{{wildcard(1)"),
    ("a.*", "b.x{{wildcard(1)}}", "a.x", "b.x{{wildcard(1)}}"),
    ("a.*", "b.{{partition(3)}}", "a.x", "b.2"),
    ("a.*.*", "b.{{partition(5,2,1)}}.$2", "a.x.yy", "b.2.yy"),
    ("a.*", "b.{{partition(0,1)}}", "a.x", "b.0"),
    ("a.*", "b.{{partition(-1,1)}}", "a.x", "b.4245442695"),
    ("a.*", "b.{{random(0)}}", "a.x", "b.0"),
    ("a.*", "b.{{random(1)}}", "a.x", "b.0"),
    ("a.*", "b.{{random(-1)}}", "a.x", "b.0"),
    ("a.*", "b.{{split(1,-)}}", "a.x-y--z-", "b.x.y.z"),
    ("a.*", "b.{{split(1, )}}", "a.xy", "b.x.y"),
    ("a.*", "b.{{split(1,.)}}", "a.xy", "b.{{split(1,.)}}"),
    ("a.*", "b.{{split(1,--)}}", "a.x--y-z", "b.x.y-z"),
    ("a.*", "b.{{splitfromleft(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromleft(1,2)}}", "a.xyz", "b.xy.z"),
    ("a.*", "b.{{splitfromleft(1,3)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromleft(1,9)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromleft(1,-2)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromright(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromright(1,2)}}", "a.xyz", "b.x.yz"),
    ("a.*", "b.{{splitfromright(1,3)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{splitfromright(1,-2)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{slicefromleft(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{slicefromleft(1,2)}}", "a.xyzab", "b.xy.za.b"),
    ("a.*", "b.{{slicefromleft(1,5)}}", "a.xyzab", "b.xyzab"),
    ("a.*", "b.{{slicefromleft(1,-5)}}", "a.xyzab", "b.xyzab"),
    ("a.*", "b.{{slicefromright(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{slicefromright(1,2)}}", "a.xyzab", "b.x.yz.ab"),
    ("a.*", "b.{{slicefromright(1,5)}}", "a.xyzab", "b.xyzab"),
    ("a.*", "b.{{slicefromright(1,9)}}", "a.xyzab", "b.xyzab"),
    ("a.*", "b.{{left(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{left(1,2)}}", "a.xyz", "b.xy"),
    ("a.*", "b.{{left(1,3)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{left(1,9)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{left(1,-1)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{right(1,0)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{right(1,2)}}", "a.xyz", "b.yz"),
    ("a.*", "b.{{right(1,9)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{right(1,-1)}}", "a.xyz", "b.xyz"),
    ("a.*", "b.{{left(1,2)}}.c", "a.xyzäö", "b.xy.c"),
    ("a.*.*", "b.$2.$1", "a.x.y", "b.y.x"),
    ("a.*.*", "b.{{wildcard(2)}}.{{wildcard(1)}}", "a.x.y", "b.y.x"),
    ("a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"),
    ("a.*.>", ">", "a.x.y.z", "y.z"),
    (">", "pre.>", "a.x", "pre.a.x"),
    ("a", "b", "a", "b"),
    ("a.$1", "b", "a.$1", "b"),
    ("a.*", "b.$1x", "a.x", "b.$1x"),
    ("a.*", "b.$1$1", "a.x", "b.$1$1"),
    ("a.*", "b.{{wildcard( 1 )}}", "a.x", "b.x"),
    ("a.*", "b.{{wildcard(01)}}", "a.x", "b.x"),
    ("a.*", "b.{{wildcard(+1)}}", "a.x", "b.x"),
    ("a.*", "b.{{wildcard(0)}}", "a.x", "b.a"),
    ("a.*", "b.{{wildcard(-1)}}", "a.x", "b.a"),
    ("a.*", "b.{{left(0,1)}}", "a.x", "b.a"),
    ("a.*", "b.{{partition(3,0)}}", "a.x", "b.1"),
    ("a.*", "b.{{partition(3, 1)}}", "a.x", "b.0"),
    ("a.*", "b.{{partition(3,1,1)}}", "a.x", "b.0"),
    ("a.*.*", "b.{{partition(1000000,1,2)}}", "a.xy.z", "b.945248"),
    ("a.*.*", "b.{{partition(1000000)}}", "a.xy.z", "b.200925"),
    ("a.*", "b.{{partition(2147483647,1)}}", "a.xy", "b.1482915802"),
    ("a.*", "b.{{wildcard(1)}}x", "a.x", "b.{{wildcard(1)}}x"),
    ("a.*", "{{wildcard(1)}}", "a.x", "x"),
    ("a.*", "b.{{wildcard (1)}}", "a.x", "b.x"),
    ("a.*", "b.{{splitFromleft(1,1)}}", "a.xyz", "b.x.yz"),
    ("a.*", "b.{{SplitFromleft(1,1)}}", "a.xyz", "b.x.yz"),
    ("a.*", "b.{{Partition(3,1)}}", "a.x", "b.0"),
    ("a.*", "b.{{Random(1)}}", "a.x", "b.0"),
    ("a.*", "b.{{Left(1,1)}}", "a.x", "b.x"),
    ("a.*", "b.{{SliceFromleft(1,1)}}", "a.x", "b.x"),
    ("a.*", "b.{{sliceFromLeft(1,1)}}", "a.x", "b.x"),
    ("a.*", "b.{{slicefromright(1,1)}}", "a.x", "b.x"),
    ("a.*", "b.{{SliceFromRight(1,1)}}", "a.x", "b.x"),
    ("a.*", "b.{{SplitFromRight(1,1)}}", "a.xy", "b.x.y"),
    ("a.*", "b.{{splitFromRight(1,1)}}", "a.xy", "b.x.y"),
    ("a.*.b.*", "c.$2", "a.x.b.y", "c.y"),
    ("a.*", "b.{{split(1,a.b)}}", "a.x", "b.{{split(1,a.b)}}"),
    ("a.*", "b.{{split(1,>)}}", "a.x>y", "b.x.y"),
    ("a.*", "b.{{split(1,*)}}", "a.x*y", "b.x.y"),
    ("a.*.*", "b.{{split(2,_)}}.$1.{{split(1,_)}}", "a.p_q.r_s", "b.r.s.p_q.p.q"),
];

#[rustfmt::skip]
const ERRORS: &[(&str, &str, &str)] = &[
    ("a.*", "b.$2", "invalid mapping destination: wildcard index out of range in $2: [2]"),
    ("a.*", "b.{{WILDCARD(1)}}", "invalid mapping destination: unknown function in {{WILDCARD(1)}}"),
    ("a.*", "b.{{wildcard(2)}}", "invalid mapping destination: wildcard index out of range in {{wildcard(2)}}: [2]"),
    ("a.*", "b.{{wildcard()}}", "invalid mapping destination: not enough arguments passed to the function in {{wildcard()}}"),
    ("a.*", "b.{{wildcard(1,2)}}", "invalid mapping destination: too many arguments passed to the function in {{wildcard(1,2)}}"),
    ("a.*", "b.{{wildcard(x)}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(x)}}"),
    ("a.*", "b.{{partition(3,2)}}", "invalid mapping destination: wildcard index out of range in {{partition(3,2)}}: [2]"),
    ("a.*", "b.{{partition()}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{partition()}}"),
    ("a.*", "b.{{random()}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{random()}}"),
    ("a.*", "b.{{random(1,2)}}", "invalid mapping destination: not enough arguments passed to the function in {{random(1,2)}}"),
    ("a.*", "b.{{split(1)}}", "invalid mapping destination: not enough arguments passed to the function in {{split(1)}}"),
    ("a.*", "b.{{split(1,-,-)}}", "invalid mapping destination: too many arguments passed to the function in {{split(1,-,-)}}"),
    ("a.*", "b.{{split(2,-)}}", "invalid mapping destination: wildcard index out of range in {{split(2,-)}}: [2]"),
    ("a.*", "b.{{SplitFromLeft(1)}}", "invalid mapping destination: not enough arguments passed to the function in {{SplitFromLeft(1)}}"),
    ("a.*", "b.{{SplitFromLeft(1,x)}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{SplitFromLeft(1,x)}}"),
    ("a.*", "b c", "invalid mapping destination: invalid transform"),
    ("a.*", "b..c", "invalid mapping destination: invalid transform"),
    ("a.*", "", "invalid mapping destination: invalid transform"),
    ("a.*", "b.*", "invalid subject"),
    ("a.*", "b.>", "invalid subject"),
    ("a.>", "b", "invalid subject"),
    ("a", "b.>", "invalid subject"),
    ("a.*.*", "b.{{partition(4000000000,1,2)}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{partition(4000000000,1,2)}}"),
    ("a.*", "b.{{foo}}", "invalid mapping destination: unknown function in {{foo}}"),
    ("a.*", "b.{{wildcard}}", "invalid mapping destination: unknown function in {{wildcard}}"),
    ("a.*", "b.{{Split-From-Left(1,1)}}", "invalid mapping destination: unknown function in {{Split-From-Left(1,1)}}"),
    ("a.*", "b.{{SPLIT(1,-)}}", "invalid mapping destination: unknown function in {{SPLIT(1,-)}}"),
    ("a.*", "b.{{LEFT(1,1)}}", "invalid mapping destination: unknown function in {{LEFT(1,1)}}"),
    ("a.*.b.*", "c.$2.$3", "invalid mapping destination: wildcard index out of range in $3: [3]"),
    ("a.>", "b.{{wildcard(1)}}.>", "invalid mapping destination: wildcard index out of range in {{wildcard(1)}}: [1]"),
    ("a.*", "b.{{left(1,2,3)}}", "invalid mapping destination: too many arguments passed to the function in {{left(1,2,3)}}"),
    ("a.*", "b.{{partition(3,1),2}}", "invalid mapping destination: unknown function in {{partition(3,1),2}}"),
];

fn transformed(source: &str, destination: &str, subject: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let transform = Transform::new(source, destination).unwrap();
    transform.apply(subject, 7, &mut out).then_some(out)
}

#[test]
fn subjects_become_what_nats_server_makes_of_them() {
    for (source, destination, subject, expected) in RESULTS {
        let result = transformed(source, destination, subject.as_bytes()).unwrap();
        let result = String::from_utf8(result).unwrap();
        assert_eq!(&result, expected, "{source} -> {destination} of {subject}");
    }
}

#[test]
fn bad_destinations_are_refused_in_nats_servers_words() {
    for (source, destination, expected) in ERRORS {
        let error = Transform::new(source, destination).unwrap_err();
        assert_eq!(&error.to_string(), expected, "{source} -> {destination}");
    }
    assert_eq!(Transform::new("a..b", "c"), Err(TransformError::InvalidSubject));
}

#[test]
fn what_the_source_does_not_match_is_left_alone() {
    assert_eq!(transformed("a.*", "b.$1", b"a"), None);
    assert_eq!(transformed("a.*", "b.$1", b"a.b.c"), None);
    assert_eq!(transformed("a.>", "b.>", b"a..c"), None);
}

#[test]
fn bytes_that_are_no_characters_are_cut_as_bytes() {
    assert_eq!(transformed("a.*", "b.{{left(1,1)}}", "a.\u{e4}".as_bytes()).unwrap(), b"b.\xc3");
    assert_eq!(transformed("*", "{{split(1,)}}", b"x\xff\xc3\xa4y").unwrap(), b"x.\xff.\xc3\xa4.y");
}

#[test]
fn pieces_of_nothing_leave_a_malformed_subject() {
    assert_eq!(transformed("a.*", "b.{{split(1,-)}}", b"a.-").unwrap(), b"b.");
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_>*-]{1,9}"
}

proptest! {
    #[test]
    fn pieces_put_together_are_the_token(token in token(), length in -2_i32..12) {
        for function in ["sliceFromLeft", "sliceFromRight", "splitFromLeft", "splitFromRight"] {
            let destination = format!("{{{{{function}(1,{length})}}}}");
            let out = transformed("*", &destination, token.as_bytes()).unwrap();
            let joined: Vec<u8> = out.iter().copied().filter(|byte| *byte != b'.').collect();
            prop_assert_eq!(joined, token.as_bytes());
        }
    }

    #[test]
    fn partitions_are_below_their_count_and_stay(
        tokens in prop::collection::vec(token(), 2..5),
        count in 1_u32..50,
    ) {
        let subject = tokens.join(".");
        let source = vec!["*"; tokens.len()].join(".");
        let destination = format!("{{{{partition({count},1,2)}}}}");
        let one = transformed(&source, &destination, subject.as_bytes()).unwrap();
        prop_assert_eq!(&one, &transformed(&source, &destination, subject.as_bytes()).unwrap());
        let number: u32 = String::from_utf8(one).unwrap().parse().unwrap();
        prop_assert!(number < count);
    }

    #[test]
    fn naming_every_wildcard_gives_the_subject_back(tokens in prop::collection::vec(token(), 1..6)) {
        let subject = tokens.join(".");
        let source = vec!["*"; tokens.len()].join(".");
        let places = (1..=tokens.len()).map(|place| format!("${place}"));
        let destination = places.collect::<Vec<_>>().join(".");
        let out = transformed(&source, &destination, subject.as_bytes()).unwrap();
        prop_assert_eq!(out, subject.as_bytes());
    }

    #[test]
    fn no_text_and_no_subject_are_beyond_it(
        source in "[a*>.$]{0,8}",
        destination in "([a$1-9*>.]|\\{\\{(left|right|split|partition|random|wildcard|sliceFromRight)\\([0-9a,. -]{0,6}\\)\\}\\}){0,5}",
        subject in prop::collection::vec(any::<u8>(), 0..20),
        random: u64,
    ) {
        if let Ok(transform) = Transform::new(&source, &destination) {
            let mut out = Vec::new();
            transform.apply(&subject, random, &mut out);
            transform.apply_matched(&subject, random, &mut out);
        }
    }
}
