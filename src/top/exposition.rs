//! `/metrics` as far as it tells of shards.

use std::collections::BTreeMap;

/// The figures of one shard by name, without `midge_` and `_total`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ShardFigures {
    pub(super) shard: u32,
    figures: BTreeMap<String, f64>,
}

impl ShardFigures {
    /// A figure; 0 if the page does not have it.
    pub(super) fn get(&self, name: &str) -> f64 {
        self.figures.get(name).copied().unwrap_or(0.0)
    }
}

/// The shards of a page, in their order. None if the page tells of none.
pub(super) fn shards(page: &str) -> Option<Vec<ShardFigures>> {
    let mut shards = BTreeMap::<u32, BTreeMap<String, f64>>::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Some((name, labels)) = series.split_once('{') else { continue };
        let Some(name) = name.strip_prefix("midge_") else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let name = name.strip_suffix("_total").unwrap_or(name);
        // What waits in the lanes of a shard is summed over its peers.
        let (label, is_sum) = match name {
            "lane_depth" => ("from", true),
            _ => ("shard", false),
        };
        let Some(shard) = self::label(labels, label).and_then(|shard| shard.parse().ok()) else {
            continue;
        };
        if name.ends_with("_bucket") {
            continue;
        }
        let figure = shards.entry(shard).or_default().entry(name.to_owned()).or_default();
        *figure = if is_sum { *figure + value } else { value };
    }
    let list: Vec<ShardFigures> =
        shards.into_iter().map(|(shard, figures)| ShardFigures { shard, figures }).collect();
    (!list.is_empty()).then_some(list)
}

/// The value of a label that needs no unescaping.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (found, after) = rest.split_once("=\"")?;
        let (value, next) = after.split_once('"')?;
        if found.trim_start_matches([',', ' ']) == name {
            return Some(value);
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_found_among_other_series() {
        let page =
            "# HELP midge_shards Shards.\nmidge_shards 2\nmidge_connections{shard=\"0\"} 3\n\
                    midge_connections{shard=\"1\"} 4\nmidge_stalls_total{shard=\"1\"} 5\n\
                    midge_lane_depth{from=\"0\",to=\"1\",kind=\"control\"} 1\n\
                    midge_lane_depth{from=\"0\",to=\"1\",kind=\"data\"} 2\n\
                    midge_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 9\n\
                    midge_turn_seconds_sum{shard=\"0\"} 0.5\nother{shard=\"7\"} 1\n\
                    midge_slow_consumers_by_name_total{name=\"a\",account=\"b\"} 1\n";
        let shards = shards(page).unwrap();
        assert_eq!(shards.len(), 2);
        assert_eq!((shards[0].shard, shards[0].get("connections")), (0, 3.0));
        assert_eq!((shards[0].get("lane_depth"), shards[0].get("turn_seconds_sum")), (3.0, 0.5));
        assert_eq!((shards[1].get("stalls"), shards[1].get("nothing")), (5.0, 0.0));
    }

    #[test]
    fn a_page_without_shards_is_none() {
        assert_eq!(shards("404 page not found\n"), None);
        assert_eq!(shards("midge_connections{shard=} 3\nmidge_x{shard=\"a\"} 1\nx{\n"), None);
    }
}
