//! Which subject asks for what.

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service<'a> {
    /// The figures, not in an envelope.
    Statsz,
    /// Who the server is, not in an envelope.
    Idz,
    /// What the page of this path says.
    Page(&'static str),
    /// The configuration is read anew.
    Reload,
    /// A client is closed.
    Kick,
    /// A client is told to go elsewhere.
    LameDuck,
    /// Something of one account.
    Account(AccountService, &'a str),
    /// Something of the account that asks.
    OwnAccount(AccountService),
    /// Tokens of accounts are looked up, updated or deleted.
    Claims,
    /// Who asks.
    UserInfo,
    /// How many subscribers a subject has.
    Subscribers,
}

/// What is told of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountService {
    Info,
    Connz,
    Subsz,
    Leafz,
    Jsz,
    Statz,
    /// The figures of connections, not in an envelope.
    Conns,
}

/// Names below `$SYS.REQ.SERVER.PING` and `$SYS.REQ.SERVER.<id>`, with the pages they stand for.
const PAGES: [(&str, &str); 13] = [
    ("VARZ", "/varz"),
    ("SUBSZ", "/subsz"),
    ("CONNZ", "/connz"),
    ("ROUTEZ", "/routez"),
    ("GATEWAYZ", "/gatewayz"),
    ("LEAFZ", "/leafz"),
    ("ACCOUNTZ", "/accountz"),
    ("JSZ", "/jsz"),
    ("HEALTHZ", "/healthz"),
    ("EXPVARZ", "/debug/vars"),
    ("IPQUEUESZ", "/ipqueuesz"),
    ("RAFTZ", "/raftz"),
    ("PROFILEZ", "/profilez"),
];

/// Names below `$SYS.REQ.ACCOUNT.<account>`.
const ACCOUNT: [(&str, AccountService); 7] = [
    ("INFO", AccountService::Info),
    ("CONNZ", AccountService::Connz),
    ("SUBSZ", AccountService::Subsz),
    ("LEAFZ", AccountService::Leafz),
    ("JSZ", AccountService::Jsz),
    ("STATZ", AccountService::Statz),
    ("CONNS", AccountService::Conns),
];

/// Names below `$SYS.REQ.SERVER.<id>` only.
const ACTIONS: [(&str, Service<'static>); 3] =
    [("RELOAD", Service::Reload), ("KICK", Service::Kick), ("LDM", Service::LameDuck)];

/// What is asked of tokens of accounts, by servers that keep them.
const CLAIMS: [&str; 7] = [
    "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
    "$SYS.ACCOUNT.*.CLAIMS.UPDATE",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.CLAIMS.LIST",
    "$SYS.REQ.CLAIMS.PACK",
    "$SYS.REQ.CLAIMS.DELETE",
];

/// What the server subscribes to in the system account; `keeps_claims` if it keeps tokens of
/// accounts.
pub fn subscriptions(server_id: &str, keeps_claims: bool) -> Vec<String> {
    let mut list = vec!["$SYS.REQ.SERVER.PING".to_owned(), "$SYS.DEBUG.SUBSCRIBERS".to_owned()];
    let pages = PAGES.iter().map(|(name, _)| *name);
    for name in pages.chain(["STATSZ", "IDZ"]) {
        list.push(format!("$SYS.REQ.SERVER.PING.{name}"));
        list.push(format!("$SYS.REQ.SERVER.{server_id}.{name}"));
    }
    list.extend(ACTIONS.iter().map(|(name, _)| format!("$SYS.REQ.SERVER.{server_id}.{name}")));
    list.extend(ACCOUNT.iter().map(|(name, _)| format!("$SYS.REQ.ACCOUNT.*.{name}")));
    if keeps_claims {
        list.extend(CLAIMS.map(str::to_owned));
    }
    list
}

/// Whether clients of every account are answered, by the server they are connected to.
pub fn is_open_to_all(subject: &[u8]) -> bool {
    [
        b"$SYS.REQ.USER.INFO".as_slice(),
        b"$SYS.REQ.ACCOUNT.PING.CONNZ",
        b"$SYS.REQ.ACCOUNT.PING.STATZ",
        b"$SYS.REQ.SERVER.PING.CONNZ",
    ]
    .contains(&subject)
}

impl<'a> Service<'a> {
    /// What `subject` asks of the server `server_id`; `own` if a client asks from its account.
    pub(super) fn find(subject: &'a str, server_id: &str, own: bool) -> Option<Self> {
        let tokens: Vec<&str> = subject.split('.').collect();
        Some(match tokens[..] {
            ["$SYS", "REQ", "USER", "INFO"] => Self::UserInfo,
            ["$SYS", "REQ", _, "PING", "CONNZ"] if own => Self::OwnAccount(AccountService::Connz),
            ["$SYS", "REQ", "ACCOUNT", "PING", "STATZ"] if own => {
                Self::OwnAccount(AccountService::Statz)
            }
            ["$SYS", "REQ", "SERVER", "PING"] => Self::Statsz,
            ["$SYS", "REQ", "SERVER", who, name] if who == "PING" || who == server_id => {
                let action = ACTIONS.iter().find(|(known, _)| who != "PING" && *known == name);
                match (name, action) {
                    ("STATSZ", _) => Self::Statsz,
                    ("IDZ", _) => Self::Idz,
                    (_, Some((_, action))) => *action,
                    _ => Self::Page(PAGES.iter().find(|(known, _)| *known == name)?.1),
                }
            }
            ["$SYS", "REQ", "ACCOUNT", account, name] => {
                Self::Account(ACCOUNT.iter().find(|(known, _)| *known == name)?.1, account)
            }
            ["$SYS", "DEBUG", "SUBSCRIBERS"] => Self::Subscribers,
            ["$SYS", "REQ", "ACCOUNT", _, "CLAIMS", _]
            | ["$SYS", "ACCOUNT", _, "CLAIMS", "UPDATE"]
            | ["$SYS", "REQ", "CLAIMS", _] => Self::Claims,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscription_is_a_service() {
        for pattern in subscriptions("NID", true) {
            let subject = pattern.replace('*', "A");
            assert!(Service::find(&subject, "NID", false).is_some(), "{subject}");
        }
    }

    #[test]
    fn subjects_are_told_apart() {
        let find = |subject| Service::find(subject, "NID", false);
        assert_eq!(find("$SYS.REQ.SERVER.PING.VARZ"), Some(Service::Page("/varz")));
        assert_eq!(find("$SYS.REQ.SERVER.NID.KICK"), Some(Service::Kick));
        // Not everybody at once.
        assert_eq!(find("$SYS.REQ.SERVER.PING.KICK"), None);
        assert_eq!(find("$SYS.REQ.SERVER.OTHER.VARZ"), None);
        assert_eq!(
            find("$SYS.REQ.ACCOUNT.PING.STATZ"),
            Some(Service::Account(AccountService::Statz, "PING"))
        );
        assert_eq!(
            Service::find("$SYS.REQ.SERVER.PING.CONNZ", "NID", true),
            Some(Service::OwnAccount(AccountService::Connz))
        );
        assert!(is_open_to_all(b"$SYS.REQ.USER.INFO") && !is_open_to_all(b"$SYS.REQ.SERVER.PING"));
    }
}
