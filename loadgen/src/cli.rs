//! The command line: what to run, on what, and what to do with the figures.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::assertion::{quantity, Assertion};
use crate::carrier::{self, Carrier};
use crate::compare::pairs::{Outcome, Plan, Side, Source};
use crate::connection::Access;
use crate::error::Error;
use crate::output::{report, text};
use crate::progress::Progress;
use crate::recorder::Span;
use crate::suite::{self, FloorPair, Row, RowOutcome};
use crate::sys::affinity::{parse_list, CpuMask};
use crate::sys::{clock, process};
use crate::workload::floor::Floor;
use crate::workload::idle::Idle;
use crate::workload::jetstream::consume::{Ack, Consume, Mode};
use crate::workload::jetstream::create::Create;
use crate::workload::jetstream::fleet::Fleet;
use crate::workload::jetstream::get::Get;
use crate::workload::jetstream::publisher::Publishing;
use crate::workload::jetstream::stream::Stream;
use crate::workload::jetstream::streams::{Shape, Storage};
use crate::workload::pubsub::PubSub;
use crate::workload::request::Request;
use crate::workload::subs::Subs;
use crate::workload::{calibrate, RunOptions, Target, Workload};

/// Load for servers that speak the NATS protocol, with every message checked.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Publishers and subscribers, as fast as possible or at a rate.
    #[command(name = "pubsub")]
    PubSub {
        /// Publisher connections.
        #[arg(long, default_value_t = 1)]
        pubs: usize,
        /// Subscriber connections (with --distinct: of each publisher).
        #[arg(long, default_value_t = 1)]
        subs: usize,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        /// A subject for each publisher instead of one for all.
        #[arg(long)]
        distinct: bool,
        /// The subscribers of a subject form a queue group.
        #[arg(long)]
        queue: bool,
        /// Idle connections opened after the subscribers and before the publishers: a server that
        /// places connections on its cores in turn places the publishers elsewhere then.
        #[arg(long, default_value_t = 0)]
        between: usize,
        /// Subscribers beside the others that never read: the server must get rid of them.
        #[arg(long, default_value_t = 0)]
        stuck: usize,
    },
    /// Requests and replies.
    Request {
        /// Requester connections.
        #[arg(long, default_value_t = 1)]
        requesters: usize,
        /// Responder connections; more than one form a queue group.
        #[arg(long, default_value_t = 1)]
        responders: usize,
        /// Requests in flight of each requester [default: 1, with --rate 1024].
        #[arg(long)]
        in_flight: Option<usize>,
        /// Payload bytes of request and reply.
        #[arg(long, default_value_t = 128)]
        size: usize,
    },
    /// One-way latency from publisher to subscriber at a rate [default rate: 50k].
    Latency {
        /// Publisher connections.
        #[arg(long, default_value_t = 1)]
        pubs: usize,
        /// Subscriber connections.
        #[arg(long, default_value_t = 1)]
        subs: usize,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        /// Subscribers beside the others that never read: the server must get rid of them.
        #[arg(long, default_value_t = 0)]
        stuck: usize,
    },
    /// Many subscriptions: SUB rate, memory of each, then random matching subjects at full speed.
    Subs {
        /// Subscriptions over all connections.
        #[arg(long, value_parser = quantity, default_value = "100k")]
        subscriptions: f64,
        /// Connections they are spread over.
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Percent with a `*`; the rest is literal.
        #[arg(long, default_value_t = 20)]
        star_percent: usize,
        /// Percent that end in `>`.
        #[arg(long, default_value_t = 2)]
        tail_percent: usize,
        /// Different messages published, with subjects drawn at random.
        #[arg(long, value_parser = quantity, default_value = "131072")]
        subjects: f64,
        /// Payload bytes.
        #[arg(long, default_value_t = 16)]
        size: usize,
    },
    /// Connections that do nothing: connect rate and memory of each.
    Idle {
        /// Connections to open.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Subscriptions of each.
        #[arg(long, default_value_t = 2)]
        subscriptions: usize,
        /// Seconds to hold them.
        #[arg(long, default_value_t = 0.0)]
        hold: f64,
    },
    /// Publish into JetStream streams; every acknowledgement and then the streams are checked.
    Stream {
        /// Publisher connections.
        #[arg(long, default_value_t = 1)]
        pubs: usize,
        /// Messages (or batches) of each publisher that wait for their acknowledgement.
        #[arg(long, default_value_t = 256)]
        in_flight: usize,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        /// Streams; publisher n publishes into stream n modulo this.
        #[arg(long, default_value_t = 1)]
        streams: usize,
        /// A random stream for each message.
        #[arg(long)]
        random: bool,
        /// Messages in an atomic batch; 1 means no batches.
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// A message id in each message.
        #[arg(long)]
        ids: bool,
        #[command(flatten)]
        shape: ShapeArgs,
        /// Messages read back and compared at the end, drawn at random if there are more.
        #[arg(long, value_parser = quantity, default_value = "10k")]
        read_back: f64,
    },
    /// Direct gets of stored messages at random.
    Get {
        /// Reader connections.
        #[arg(long, default_value_t = 1)]
        readers: usize,
        /// Gets in flight of each.
        #[arg(long, default_value_t = 16)]
        in_flight: usize,
        /// Messages published before.
        #[arg(long, value_parser = quantity, default_value = "100k")]
        messages: f64,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        /// The last message of a subject instead of a sequence.
        #[arg(long)]
        last: bool,
        #[command(flatten)]
        shape: ShapeArgs,
    },
    /// Consume a stream; with --rate, while messages are published.
    Consume {
        /// How messages come.
        #[arg(long, value_enum, default_value_t = Mode::Pull)]
        mode: Mode,
        /// Messages of a pull request.
        #[arg(long, default_value_t = 500)]
        batch: u64,
        /// What is acknowledged.
        #[arg(long, value_enum, default_value_t = Ack::Explicit)]
        ack: Ack,
        /// Flow control and heartbeats for push consumers.
        #[arg(long)]
        flow_control: bool,
        /// Messages that may wait for their acknowledgement [default: the server's].
        #[arg(long)]
        max_ack_pending: Option<u64>,
        /// Consumers, each of which gets every message.
        #[arg(long, default_value_t = 1)]
        consumers: usize,
        /// Messages published before.
        #[arg(long, value_parser = quantity, default_value = "200k")]
        messages: f64,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        #[command(flatten)]
        shape: ShapeArgs,
    },
    /// Many consumers on one stream, each with a subject of its own; without --rate they are idle.
    Fleet {
        /// Consumers.
        #[arg(long, default_value_t = 10_000)]
        consumers: usize,
        /// As watchers of a bucket: the last of each subject, flow control, heartbeats.
        #[arg(long)]
        watch: bool,
    },
    /// Make consumers with many filters on a stream with many subjects.
    Create {
        /// Subjects of the stream.
        #[arg(long, value_parser = quantity, default_value = "1M")]
        subjects: f64,
        /// Filters of a consumer; each matches one message in a hundred.
        #[arg(long, default_value_t = 100)]
        filters: usize,
    },
    /// The machine's own latency over a bare relay; without --rate, one message in flight.
    Floor {
        /// Request and reply instead of one way.
        #[arg(long)]
        request: bool,
        /// Message bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
        /// The relay never sleeps, as a server that waits awake.
        #[arg(long)]
        awake: bool,
    },
    /// What the generator itself spends on a message, in memory.
    Calibrate,
    /// A table of workloads, pairwise against --cmd and --vs-cmd, as Markdown.
    Suite {
        /// Rows whose name or command contains this, or one of several parted by `|`.
        #[arg(long, default_value = "")]
        only: String,
        /// A file of rows instead of the built-in ones: `name | command | figures`.
        #[arg(long)]
        rows: Option<PathBuf>,
        /// The built-in rows of JetStream instead of those of the core protocol.
        #[arg(long, conflicts_with = "rows")]
        jetstream: bool,
        /// Print the rows and run nothing.
        #[arg(long)]
        list: bool,
    },
}

#[derive(Args)]
struct ShapeArgs {
    /// Where streams keep their messages.
    #[arg(long, value_enum, default_value_t = Storage::File)]
    storage: Storage,
    /// Subjects of each stream; publishers go through them in turn.
    #[arg(long, value_parser = quantity, default_value = "1")]
    subjects: f64,
    /// Messages a stream keeps for each subject [default: all].
    #[arg(long)]
    keep: Option<usize>,
}

impl ShapeArgs {
    fn shape(&self, streams: usize) -> Shape {
        let (subjects, keep) = (self.subjects as usize, self.keep);
        Shape { streams, subjects, keep, storage: self.storage, consumers: None }
    }
}

#[derive(Args)]
#[command(next_help_heading = "Servers")]
struct ServerArgs {
    /// The server, if it runs already.
    #[arg(long, global = true, default_value = "127.0.0.1:4222")]
    server: String,
    /// Its process, to read processor time and memory [default: who listens there].
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Start the server for each run, as `midge -p {port} -a 127.0.0.1`; `{dir}` becomes a new
    /// directory, for servers that keep streams.
    #[arg(long, global = true, conflicts_with_all = ["server", "pid"])]
    cmd: Option<String>,
    /// Where the running server keeps its streams, to see what they take on disk.
    #[arg(long, global = true)]
    store_dir: Option<PathBuf>,
    /// A second server to compare with, in turn A B A B.
    #[arg(long, global = true)]
    vs: Option<String>,
    /// The second server's process.
    #[arg(long, global = true)]
    vs_pid: Option<u32>,
    /// Start the second server for each run.
    #[arg(long, global = true, conflicts_with_all = ["vs", "vs_pid"])]
    vs_cmd: Option<String>,
    /// Name of the server in figures.
    #[arg(long, global = true, default_value = "A")]
    label: String,
    /// Name of the second server.
    #[arg(long, global = true, default_value = "B")]
    vs_label: String,
    /// Runs of each server [default: 1, or 5 when comparing].
    #[arg(long, global = true)]
    pairs: Option<usize>,
    /// Processors for servers started by us, as `0` or `0,2-3`.
    #[arg(long, global = true)]
    server_cpus: Option<String>,
    /// Processors for the generator.
    #[arg(long, global = true)]
    cpus: Option<String>,
    /// User name.
    #[arg(long, global = true)]
    user: Option<String>,
    /// Password.
    #[arg(long, global = true)]
    password: Option<String>,
    /// Token.
    #[arg(long, global = true)]
    token: Option<String>,
    /// Use TLS, and trust the certificates in this file (PEM). No session is resumed.
    #[arg(long, global = true, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Use WebSocket without TLS, on this port of the server.
    #[arg(long, global = true, value_name = "PORT", conflicts_with = "tls_ca")]
    ws_port: Option<u16>,
}

impl ServerArgs {
    fn access(&self) -> Result<Access, Error> {
        Ok(Access {
            carrier: match (&self.tls_ca, self.ws_port) {
                (Some(file), _) => Carrier::Tls(carrier::trusting(file)?),
                (None, Some(port)) => Carrier::WebSocket(port),
                (None, None) => Carrier::Plain,
            },
            user: self.user.clone(),
            password: self.password.clone(),
            token: self.token.clone(),
            headers: false,
        })
    }
}

#[derive(Args)]
#[command(next_help_heading = "Run")]
struct RunArgs {
    /// Length of the measured span in seconds.
    #[arg(long, global = true)]
    seconds: Option<f64>,
    /// Measure this many messages instead.
    #[arg(long, global = true, value_parser = quantity, conflicts_with = "seconds")]
    count: Option<f64>,
    /// Length of the warm-up in seconds.
    #[arg(long, global = true, default_value_t = 0.5)]
    warmup: f64,
    /// Open loop: messages a second over all connections, as `20k`.
    #[arg(long, global = true, value_parser = quantity)]
    rate: Option<f64>,
    /// Bytes in flight of a closed loop.
    #[arg(long, global = true, value_parser = quantity, default_value = "1MiB")]
    window: f64,
    /// Microseconds to spin before each message of an open loop [default: measured].
    #[arg(long, global = true)]
    spin_us: Option<f64>,
    /// Seconds to wait for outstanding messages when nothing more comes.
    #[arg(long, global = true, default_value_t = 3.0)]
    patience: f64,
}

#[derive(Args)]
#[command(next_help_heading = "Output")]
struct OutputArgs {
    /// Write all figures as JSON to a file, or `-` for standard output.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Write a self-contained HTML report.
    #[arg(long, global = true)]
    report: Option<PathBuf>,
    /// A target such as `p99.9<1ms` or `rate>1M`; may be repeated. Exit code 3 if one fails.
    #[arg(long = "assert", global = true)]
    assertions: Vec<Assertion>,
    /// No progress bar.
    #[arg(long, global = true)]
    no_progress: bool,
}

/// Reads the command line and does what it says; returns the exit code.
pub fn run() -> Result<u8, Error> {
    let cli = Cli::parse();
    let server_mask = match &cli.servers.server_cpus {
        Some(list) => CpuMask::new(&parse_list(list).map_err(Error::Usage)?)?,
        None => CpuMask::current(),
    };
    if let Some(list) = &cli.servers.cpus {
        let mask = CpuMask::new(&parse_list(list).map_err(Error::Usage)?)?;
        mask.apply().map_err(|source| Error::Os { call: "sched_setaffinity", source })?;
    }
    clock::precise_timers();
    process::raise_open_files();
    if let Command::Suite { only, rows, jetstream, list } = &cli.command {
        let rows = match rows {
            Some(path) => suite::parse(&read_file(path)?)?,
            None => suite::built_in(*jetstream)?,
        };
        let rows = rows.iter().filter(|row| row.is_selected(only));
        if *list {
            rows.for_each(|row| println!("{:40} midge-load {}", row.name, row.words.join(" ")));
            return Ok(0);
        }
        return run_suite(&cli, rows, server_mask);
    }
    if matches!(cli.command, Command::Calibrate) {
        return calibrate();
    }
    let workload = workload(&cli.command, cli.run.rate)?;
    let outcome = cli.measure(&workload, &cli.run, 1, server_mask)?;
    if !cli.output.json_on_stdout() {
        text::print(&outcome);
    }
    cli.output.write_json(&outcome)?;
    cli.output.write_report(&[(workload.name().to_owned(), &outcome)])?;
    Ok(verdict(&[&outcome], &cli.output.assertions))
}

/// Prints the generator's own cost for a few sizes.
fn calibrate() -> Result<u8, Error> {
    for (size, messages) in [(16, 20_000_000), (128, 10_000_000), (1024, 2_000_000)] {
        let cost = calibrate::run(size, messages)?;
        println!(
            "{size:5} B: stamp {:.1} ns, check {:.1} ns a message",
            cost.stamp_ns, cost.check_ns
        );
    }
    Ok(0)
}

/// Runs the rows of a suite and prints the table as it grows.
fn run_suite<'a>(
    cli: &Cli,
    rows: impl Iterator<Item = &'a Row>,
    server_mask: CpuMask,
) -> Result<u8, Error> {
    let mut done: Vec<RowOutcome> = Vec::new();
    for row in rows {
        let words = std::iter::once("midge-load").chain(row.words.iter().map(String::as_str));
        let own = Cli::try_parse_from(words)
            .map_err(|error| Error::Usage(format!("row `{}`: {error}", row.name)))?;
        let workload = workload(&own.command, own.run.rate)?;
        let run = RunArgs { seconds: cli.run.seconds.or(own.run.seconds), ..own.run };
        let floor = floor_beside(&workload, &run.options(server_mask), &cli.output)?;
        let pairs = own.servers.pairs.unwrap_or(1);
        let outcome = cli.measure(&workload, &run, pairs, server_mask)?;
        let row =
            RowOutcome { name: row.name.clone(), figures: row.figures.clone(), outcome, floor };
        if !cli.output.json_on_stdout() {
            eprintln!("{}", suite::table::markdown(std::slice::from_ref(&row)));
        }
        done.push(row);
    }
    if !cli.output.json_on_stdout() {
        print!("{}", suite::table::markdown(&done));
    }
    cli.output.write_json(&done)?;
    let outcomes: Vec<&Outcome> = done.iter().map(|row| &row.outcome).collect();
    let sections: Vec<(String, &Outcome)> =
        done.iter().map(|row| (row.name.clone(), &row.outcome)).collect();
    cli.output.write_report(&sections)?;
    Ok(verdict(&outcomes, &cli.output.assertions))
}

/// Measures the floor to print beside a row that measures latency.
fn floor_beside(
    workload: &Workload,
    options: &RunOptions,
    output: &OutputArgs,
) -> Result<Option<FloorPair>, Error> {
    let (request, size, rate) = match workload {
        Workload::PubSub(spec) if spec.rate.is_some() => (false, spec.size, spec.rate),
        Workload::Request(spec) if spec.requesters == 1 => (true, spec.size, spec.rate),
        _ => return Ok(None),
    };
    let measure = |awake| {
        let spec = Floor { request, size: size.max(16), rate, awake };
        let progress = Progress::new("floor", !output.no_progress);
        let result = Workload::Floor(spec).run(&nowhere(), options, progress.clone());
        progress.finish();
        result
    };
    Ok(Some(FloorPair { asleep: measure(false)?, awake: measure(true)? }))
}

/// The target of workloads that need no server.
fn nowhere() -> Target {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let access = Access::default();
    Target { address, process: None, access, store: None, is_fresh: true }
}

impl Cli {
    /// Runs a workload against the servers of the command line; at least `pairs_min` times each.
    fn measure(
        &self,
        workload: &Workload,
        run: &RunArgs,
        pairs_min: usize,
        server_mask: CpuMask,
    ) -> Result<Outcome, Error> {
        let mut sides = self.servers.sides()?;
        if matches!(workload, Workload::Floor(_)) {
            sides = vec![Side { label: "floor".into(), source: Source::None }];
        }
        let access = self.servers.access()?;
        let default = if sides.len() > 1 { DEFAULT_PAIRS.max(pairs_min) } else { 1 };
        let plan = Plan {
            sides: &sides,
            pairs: self.servers.pairs.unwrap_or(default),
            server_mask,
            access: &access,
            progress: !self.output.no_progress,
        };
        plan.run(workload, &run.options(server_mask))
    }
}

fn workload(command: &Command, rate: Option<f64>) -> Result<Workload, Error> {
    if rate.is_some_and(|rate| rate <= 0.0) {
        return Err(Error::Usage("the rate must be above zero".into()));
    }
    Ok(match *command {
        Command::PubSub { pubs, subs, size, distinct, queue, between, stuck } => {
            Workload::PubSub(PubSub {
                publishers: pubs,
                subscribers: subs,
                size,
                distinct,
                queue,
                between,
                stuck,
                rate,
            })
        }
        Command::Latency { pubs, subs, size, stuck } => Workload::PubSub(PubSub {
            publishers: pubs,
            subscribers: subs,
            size,
            distinct: false,
            queue: false,
            between: 0,
            stuck,
            rate: Some(rate.unwrap_or(50_000.0)),
        }),
        Command::Request { requesters, responders, in_flight, size } => {
            let default = if rate.is_some() { 1024 } else { 1 };
            let in_flight = in_flight.unwrap_or(default);
            Workload::Request(Request { requesters, responders, in_flight, size, rate })
        }
        Command::Subs {
            subscriptions,
            connections,
            star_percent,
            tail_percent,
            subjects,
            size,
        } => Workload::Subs(Subs {
            subscriptions: subscriptions as usize,
            connections,
            star_percent,
            tail_percent,
            subjects: subjects as usize,
            size,
        }),
        Command::Idle { connections, subscriptions, hold } => {
            Workload::Idle(Idle { connections, subscriptions, hold_seconds: hold })
        }
        Command::Stream {
            pubs,
            in_flight,
            size,
            streams,
            random,
            batch,
            ids,
            ref shape,
            read_back,
        } => Workload::Stream(Stream {
            shape: shape.shape(streams),
            publishing: Publishing { publishers: pubs, in_flight, size, batch, random, ids },
            read_back: read_back as u64,
            rate,
        }),
        Command::Get { readers, in_flight, messages, size, last, ref shape } => {
            let (shape, messages) = (shape.shape(1), messages as u64);
            Workload::Get(Get { shape, messages, size, readers, in_flight, last, rate })
        }
        Command::Consume {
            mode,
            batch,
            ack,
            flow_control,
            max_ack_pending,
            consumers,
            messages,
            size,
            ref shape,
        } => Workload::Consume(Consume {
            shape: shape.shape(1),
            messages: messages as u64,
            size,
            mode,
            batch,
            ack,
            flow_control,
            max_ack_pending,
            consumers,
            rate,
        }),
        Command::Fleet { consumers, watch } => Workload::Fleet(Fleet { consumers, watch, rate }),
        Command::Create { subjects, filters } => {
            Workload::Create(Create { subjects: subjects as usize, filters })
        }
        Command::Floor { request, size, awake } => {
            Workload::Floor(Floor { request, size, rate, awake })
        }
        Command::Suite { .. } | Command::Calibrate => {
            return Err(Error::Usage("this command is not a workload".into()));
        }
    })
}

/// Says what failed; 1 for faults, 3 for a missed target, 0 otherwise.
fn verdict(outcomes: &[&Outcome], assertions: &[Assertion]) -> u8 {
    let mut code = 0;
    for outcome in outcomes {
        for assertion in assertions {
            match outcome.metric(&assertion.metric) {
                Some(value) if assertion.holds(value) => {}
                Some(value) => {
                    eprintln!("midge-load: target missed: {assertion}, measured {value}");
                    code = 3;
                }
                None => {
                    eprintln!("midge-load: target missed: {assertion}, not measured");
                    code = 3;
                }
            }
        }
    }
    for outcome in outcomes {
        if let Some((label, run)) = outcome.faulty() {
            let first = run.faults.first.as_deref().unwrap_or("not known");
            eprintln!("midge-load: verification failed on {label}: {first}");
            code = 1;
        }
    }
    code
}

impl ServerArgs {
    fn sides(&self) -> Result<Vec<Side>, Error> {
        let a = match &self.cmd {
            Some(command) => Source::Command(command.clone()),
            None => running(&self.server, self.pid, self.store_dir.clone())?,
        };
        let mut sides = vec![Side { label: self.label.clone(), source: a }];
        let b = match (&self.vs, &self.vs_cmd) {
            (_, Some(command)) => Some(Source::Command(command.clone())),
            (Some(address), None) => Some(running(address, self.vs_pid, None)?),
            (None, None) => None,
        };
        sides.extend(b.map(|source| Side { label: self.vs_label.clone(), source }));
        Ok(sides)
    }
}

impl RunArgs {
    fn options(&self, server_mask: CpuMask) -> RunOptions {
        let ns = |seconds: f64| (seconds.max(0.0) * 1e9) as u64;
        let measure_ns = match (self.seconds, self.count) {
            (Some(seconds), _) => ns(seconds),
            (None, Some(_)) => u64::MAX / 2,
            (None, None) => ns(DEFAULT_SECONDS),
        };
        let count = self.count.map(|count| count as u64);
        RunOptions {
            span: Span { warmup_ns: ns(self.warmup), measure_ns, count },
            window_bytes: self.window as usize,
            spin_ns: self.spin_us.map(|us| (us * 1e3) as u64),
            patience_ns: ns(self.patience),
            server_mask,
        }
    }
}

impl OutputArgs {
    fn json_on_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    fn write_json(&self, value: &impl serde::Serialize) -> Result<(), Error> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::Usage(format!("figures as JSON: {error}")))?;
        if self.json_on_stdout() {
            println!("{text}");
            return Ok(());
        }
        write_file(path, &text)
    }

    fn write_report(&self, sections: &[(String, &Outcome)]) -> Result<(), Error> {
        match &self.report {
            Some(path) => write_file(path, &report::html(sections)),
            None => Ok(()),
        }
    }
}

fn read_file(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}

fn running(address: &str, pid: Option<u32>, store: Option<PathBuf>) -> Result<Source, Error> {
    let address: SocketAddr = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| Error::Usage(format!("`{address}` is not host:port")))?;
    Ok(Source::Running { address, process: pid.map(|pid| process::Process { pid }), store })
}

const DEFAULT_SECONDS: f64 = 5.0;
const DEFAULT_PAIRS: usize = 5;
