//! `/accountz` and `/accstatz`.

use serde::Serialize;

use super::account_card::{AccountCard, AccountsCard};
use super::facts::ServerFacts;
use super::query::{BadRequest, Query};
use super::snapshot::{AccountTotals, ShardTotals};
use super::subsz::SublistStats;
use super::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct Accountz<'a> {
    server_id: &'a str,
    now: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    system_account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_detail: Option<AccountDetail>,
}

#[derive(Debug, Serialize)]
pub(super) struct AccountDetail {
    account_name: String,
    update_time: String,
    #[serde(skip_serializing_if = "super::json::is_false")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: u64,
    #[serde(flatten)]
    card: AccountCard,
    sublist_stats: SublistStats,
}

/// The list of accounts, or one of them.
pub(super) fn accountz<'a>(
    facts: &'a ServerFacts,
    query: &Query,
    shards: &[ShardTotals],
    accounts: &[AccountTotals],
    known: AccountsCard,
    now: u64,
) -> Result<Accountz<'a>, BadRequest> {
    let name = query.text("acc");
    if known.account.is_none() && !name.is_empty() {
        return Err(BadRequest::Account(name.to_owned()));
    }
    let detail = known.account.map(|card| {
        let account = name.to_owned();
        let own = accounts.iter().filter(|totals| *totals.account == *account);
        let (clients, subscriptions) = own.fold((0, 0), |(count, sum), totals| {
            (count + totals.connections, sum + totals.subscriptions)
        });
        let is_system = account == facts.system_account;
        let card = card.with_builtin(&account, &facts.system_account, facts.jetstream);
        AccountDetail {
            update_time: rfc3339(facts.config_load_time),
            is_system,
            expired: card.expired,
            complete: true,
            jetstream_enabled: facts.jetstream_accounts.contains(&account)
                || facts.jetstream && card.jetstream,
            leafnode_connections: 0,
            client_connections: clients,
            subscriptions,
            account_name: account,
            card,
            sublist_stats: if is_system {
                SublistStats::default()
            } else {
                SublistStats::of(shards)
            },
        }
    });
    Ok(Accountz {
        server_id: &facts.server_id,
        now: rfc3339(now),
        system_account: &facts.system_account,
        accounts: detail.is_none().then_some(known.names),
        account_detail: detail,
    })
}

#[derive(Debug, Serialize)]
pub(super) struct Accstatz<'a> {
    server_id: &'a str,
    now: String,
    account_statz: Vec<AccountStat<'a>>,
}

/// The figures of one account, from the server's side of its connections.
#[derive(Debug, Serialize)]
pub(super) struct AccountStat<'a> {
    acc: &'a str,
    name: &'a str,
    conns: u64,
    leafnodes: u64,
    total_conns: u64,
    num_subscriptions: u64,
    sent: Traffic,
    received: Traffic,
    slow_consumers: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Traffic {
    msgs: u64,
    bytes: u64,
    gateways: Amount,
    routes: Amount,
    leafs: Amount,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Amount {
    msgs: u64,
    bytes: u64,
}

impl<'a> AccountStat<'a> {
    pub(super) fn of(totals: &'a AccountTotals) -> Self {
        let traffic = |msgs, bytes| Traffic { msgs, bytes, ..Traffic::default() };
        Self {
            acc: &totals.account,
            name: &totals.account,
            conns: totals.connections,
            leafnodes: 0,
            total_conns: totals.connections,
            num_subscriptions: totals.subscriptions,
            sent: traffic(totals.out_messages, totals.out_bytes),
            received: traffic(totals.in_messages, totals.in_bytes),
            slow_consumers: totals.slow_consumers,
        }
    }
}

/// Figures of the accounts that have connections; of all with `unused`.
pub(super) fn accstatz<'a>(
    facts: &'a ServerFacts,
    unused: bool,
    accounts: &'a [AccountTotals],
    now: u64,
) -> Accstatz<'a> {
    let shown = accounts.iter().filter(|totals| unused || totals.connections > 0);
    Accstatz {
        server_id: &facts.server_id,
        now: rfc3339(now),
        account_statz: shown.map(AccountStat::of).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServerFacts {
        ServerFacts { system_account: "$SYS".to_owned(), ..ServerFacts::default() }
    }

    fn totals(account: &str, connections: u64) -> AccountTotals {
        let account = account.into();
        AccountTotals {
            account,
            connections,
            subscriptions: 4,
            in_messages: 6,
            ..AccountTotals::default()
        }
    }

    #[test]
    fn an_account_is_listed_or_shown_or_unknown() {
        let (facts, accounts) = (facts(), [totals("$SYS", 0), totals("$G", 2)]);
        let page = |query| {
            let query = Query::parse(query);
            let card = Box::new(AccountCard { name_tag: "$G".to_owned(), ..Default::default() });
            let known = AccountsCard {
                names: vec!["$SYS".to_owned(), "$G".to_owned()],
                account: (query.text("acc") == "$G").then_some(card),
            };
            let page = accountz(&facts, &query, &[], &accounts, known, 0);
            page.map(|page| serde_json::to_value(page).unwrap())
        };
        let all = page("").unwrap();
        assert_eq!(all["accounts"], serde_json::json!(["$SYS", "$G"]));
        let one = page("acc=$G").unwrap();
        assert_eq!(one["account_detail"]["client_connections"], 2);
        assert_eq!(one["account_detail"]["subscriptions"], 4);
        assert!(one.get("accounts").is_none());
        let imports = one["account_detail"]["imports"].as_array().unwrap();
        let subjects: Vec<&str> =
            imports.iter().map(|import| import["subject"].as_str().unwrap()).collect();
        assert_eq!(
            subjects,
            [
                "$SYS.REQ.ACCOUNT.$G.CONNZ",
                "$SYS.REQ.ACCOUNT.$G.CONNZ",
                "$SYS.REQ.ACCOUNT.$G.STATZ",
                "$SYS.REQ.USER.$G.INFO"
            ]
        );
        assert_eq!(page("acc=NOPE").unwrap_err().to_string(), "Account NOPE does not exist");
    }

    #[test]
    fn accounts_without_connections_show_only_if_asked_for() {
        let (facts, accounts) = (facts(), [totals("$SYS", 0), totals("$G", 2)]);
        let page = |unused| {
            let page = accstatz(&facts, unused, &accounts, 0);
            serde_json::to_value(page).unwrap()["account_statz"].clone()
        };
        let used = page(false);
        assert_eq!(used.as_array().unwrap().len(), 1);
        assert_eq!((&used[0]["conns"], &used[0]["received"]["msgs"]), (&2.into(), &6.into()));
        assert_eq!(page(true).as_array().unwrap().len(), 2);
    }
}
