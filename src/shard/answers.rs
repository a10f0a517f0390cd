//! What the monitor asks a shard, answered between its turns' other work.

use super::accept::Port;
use super::task::ShardTask;
use crate::monitor::{Answer, Ask, Inquiry, LaneDepth, ShardTotals, SystemLine};
use crate::router::ShardId;

impl ShardTask {
    /// Answers the monitor: at most one slice.
    #[cold]
    pub(super) fn answer(&mut self, inquiry: &Inquiry) {
        let core = &mut self.core;
        inquiry.answer(match &inquiry.ask {
            Ask::Totals => Answer::Totals(Box::new(self.totals())),
            Ask::Accounts { from } => Answer::Accounts(core.accounts_from(*from)),
            Ask::Account(name) => Answer::Account(Box::new(core.accounts_card(name))),
            Ask::Publish { messages, seq } => {
                core.publish_system(messages, *seq);
                Answer::Done(true)
            }
            Ask::IsHeard(subjects) => {
                Answer::Done(subjects.iter().any(|subject| core.is_heard(subject)))
            }
            Ask::Kick(cid) => Answer::Done(core.kick(*cid)),
            Ask::SendAway(cid) => Answer::Done(core.send_away(*cid)),
            Ask::Connections { from } => Answer::Connections(core.connections_from(*from)),
            Ask::Closed { from, subscriptions } => {
                Answer::Connections(core.closed_from(*from, *subscriptions))
            }
            Ask::JetStream(ask) => Answer::JetStream(
                self.jetstream.as_mut().map(|jetstream| Box::new(jetstream.figures(ask, self.now))),
            ),
            Ask::Subscriptions { from, of } => {
                Answer::Subscriptions(core.subscriptions_from(*from, of.as_deref()))
            }
        });
    }

    fn totals(&self) -> ShardTotals {
        let lane = |to: ShardId| {
            let to = usize::from(to.0);
            LaneDepth {
                to,
                control: self.endpoint.control_depth(to) as u64,
                data: self.endpoint.data_depth(to) as u64,
            }
        };
        let acceptor = self.acceptor.as_ref();
        ShardTotals {
            lanes: self.core.peers().map(lane).collect(),
            turns: self.turn_times,
            slow: self.slow.clone(),
            notices_dropped: self.core.notices_dropped()
                + self.line.as_ref().map_or(0, SystemLine::dropped),
            log_lines_dropped: acceptor.map_or(0, |_| self.control.log.dropped_lines()),
            accepting: acceptor.is_some_and(|acceptor| acceptor.listener(Port::Clients).is_some()),
            ..self.core.totals()
        }
    }
}
