//! `offhook load`: thousands of simulated clients against a server.

mod bare;
mod conductor;
mod descriptions;
mod ledger;
mod person;
mod plan;
mod process;
mod report;
mod target;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use offhook_signaling::ApplicationKey;
use offhook_signaling::token::ApplicationSecret;
use tokio::sync::mpsc;

pub(crate) use self::bare::serve as serve_bare;
use self::conductor::Conductor;
use self::person::Crowd;
use self::plan::Plan;
use self::report::Report;
use self::target::Target;
pub(crate) use self::target::trust;
use crate::args::LoadArguments;
use crate::descriptors;
use crate::failure::{Exit, Failure};
use crate::stop::StopSignals;
use crate::terminal;

/// Runs the load and prints what came of it.
pub(crate) async fn run(arguments: &LoadArguments) -> Result<ExitCode, Failure> {
    let report = measure(arguments).await?;
    if arguments.json {
        terminal::print_json(&report);
    } else {
        terminal::print(&report.text());
    }
    if report.is_nobody_in() {
        let why = report.worst_error().unwrap_or("no answer").to_owned();
        let exit = if why.starts_with("register: token") { Exit::Refused } else { Exit::Unreachable };
        return Err(Failure::new(exit, format!("no client could register: {why}"))
            .advice("check --server and --application, and the limits of the server"));
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(arguments: &LoadArguments) -> Result<Report, Failure> {
    let plan = Plan {
        clients: arguments.clients,
        registrations_per_second: arguments.registrations_per_second,
        idle: arguments.idle,
        calls_per_second: arguments.calls_per_second,
        calling: Duration::from_secs(arguments.seconds),
        talk: arguments.talk,
    };
    plan.check()?;
    let (application, secret) = application(&arguments.application)?;
    descriptors::make_room(arguments.clients as u64)?;
    let mut targets = Vec::new();
    for server in &arguments.server {
        targets.push(Target::find(server, arguments.ca.as_deref()).await?);
    }
    let (sender, news) = mpsc::unbounded_channel();
    let crowd = Crowd {
        targets,
        application,
        secret,
        prefix: prefix()?,
        talk: plan.talk,
        news: sender,
        missed: AtomicU64::new(0),
        repeated: AtomicU64::new(0),
        heartbeats: AtomicU64::new(0),
    };
    let conductor = Conductor::new(plan, Arc::new(crowd), news, StopSignals::listen()?)
        .sources(arguments.source.clone())
        .server(arguments.server_pid)
        .loud(!arguments.json);
    // Before the crowd is there: its work would be in the figures.
    let bare = if arguments.beside_bare { Some(bare::measure(arguments.clients).await?) } else { None };
    Ok(conductor.run().await?.beside(bare))
}

fn application(text: &str) -> Result<(ApplicationKey, ApplicationSecret), Failure> {
    // The secret is not repeated: logs are read by more people than secrets should be.
    let wrong = |why: String| {
        Failure::usage(format!("--application: {why}")).advice(
            "KEY is a lower-case UUID, SECRET the base64 of 16 to 64 bytes, as `offhook serve` prints them",
        )
    };
    let (key, secret) = text.split_once(':').ok_or_else(|| wrong("it is not KEY:SECRET".to_owned()))?;
    let key = ApplicationKey::new(key).map_err(|error| wrong(error.to_string()))?;
    let secret = ApplicationSecret::from_base64(secret).map_err(|error| wrong(error.to_string()))?;
    Ok((key, secret))
}

fn prefix() -> Result<String, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the operating system gives no random bytes: {error}")))?;
    Ok(format!("load-{:08x}", u32::from_be_bytes(bytes)))
}

/// A number of clients.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("must be from 1 to 1000000".to_owned()),
    }
}

/// How many each second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let most = 100_000.0;
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= most => Ok(rate),
        _ => Err("must be over 0 and at most 100000".to_owned()),
    }
}

/// How many each second, or 0.
pub(crate) fn rate_or_none(text: &str) -> Result<f64, String> {
    if text.parse() == Ok(0.0) { Ok(0.0) } else { rate(text) }
}

/// A time with its unit, at most a day.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let seconds = match &text[unit..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("needs a unit: 500ms, 30s, 5m, 1h".to_owned()),
    };
    match text[..unit].parse::<f64>() {
        Ok(number) if (0.0..=86_400.0).contains(&(number * seconds)) => {
            Ok(Duration::from_secs_f64(number * seconds))
        }
        _ => Err("must be from 0 to a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use offhook_server::{Application, Limits, Rate, RunningServer, Server, ServerConfig};

    use super::*;

    const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
    const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";

    async fn serve(limits: Limits) -> RunningServer {
        let application = Application::from_parts(KEY, SECRET).unwrap();
        let config = ServerConfig::default()
            .listen("127.0.0.1:0".parse().unwrap())
            .application(application)
            .limits(limits);
        Server::bind(config).await.unwrap()
    }

    fn arguments(server: &str, clients: usize, calls_per_second: f64) -> LoadArguments {
        LoadArguments {
            server: vec![server.to_owned()],
            application: format!("{KEY}:{SECRET}"),
            clients,
            calls_per_second,
            seconds: 2,
            registrations_per_second: 200.0,
            idle: Duration::ZERO,
            talk: Duration::from_millis(100),
            source: Vec::new(),
            ca: None,
            server_pid: None,
            beside_bare: false,
            json: true,
        }
    }

    async fn load(arguments: &LoadArguments) -> serde_json::Value {
        serde_json::to_value(measure(arguments).await.unwrap()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_of_a_server_that_goes_away_come_to_the_next_and_are_counted() {
        let (first, second) = (serve(Limits::default()).await, serve(Limits::default()).await);
        let arguments =
            LoadArguments { server: vec![first.url(), second.url()], seconds: 4, ..arguments("", 40, 0.0) };
        let (report, ()) = tokio::join!(load(&arguments), async {
            while second.connection_count() < 20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(first);
            while second.connection_count() < 40 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let (lost, back) = (&report["reconnect"]["lost"], &report["reconnect"]["back"]);
        assert!(lost.as_u64().is_some_and(|lost| lost > 0) && lost == back, "{report}");
        assert!(report["reconnect"]["back_ms"]["max"].as_f64().is_some_and(|ms| ms > 10.0), "{report}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_call_of_a_small_crowd_is_set_up_and_ended_and_nothing_is_lost() {
        let server = serve(Limits::default()).await;
        let report = load(&arguments(&server.url(), 40, 10.0)).await;
        assert_eq!(
            (&report["registered"], &report["errors"]),
            (&40.into(), &serde_json::json!({})),
            "{report}"
        );
        let calls = serde_json::json!({ "attempted": 20, "established": 20, "ended": 20, "failed": 0 });
        assert_eq!(report["calls"], calls, "{report}");
        assert_eq!((&report["lost_events"], &report["repeated_events"]), (&0.into(), &0.into()));
        for figure in [&report["register_ms"]["p99"], &report["setup_ms"]["p50"], &report["setup_ms"]["p99"]]
        {
            assert!(figure.as_f64().is_some_and(|ms| ms > 0.0), "{report}");
        }
        server.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_server_refuses_is_counted_and_named() {
        let once = Rate { interval: Duration::from_secs(3600), burst: 1 };
        let server = serve(Limits { calls_per_user: once, ..Limits::default() }).await;
        let report = load(&arguments(&server.url(), 8, 5.0)).await;
        let refused = report["errors"]["call: rate_limited"].as_u64().unwrap_or_default();
        assert!(refused > 0, "{report}");
        assert_eq!(report["calls"]["failed"].as_u64(), Some(refused), "{report}");
        assert_eq!(report["lost_events"], 0, "{report}");
        server.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crowd_that_is_not_let_in_says_why() {
        let server = serve(Limits { devices_per_application: 2, ..Limits::default() }).await;
        let report = load(&arguments(&server.url(), 4, 0.0)).await;
        assert_eq!(report["registered"], 2, "{report}");
        assert_eq!(report["errors"]["register: rate_limited"], 2, "{report}");
        server.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_server_uses_is_measured_at_the_borders_of_the_phases() {
        let server = serve(Limits::default()).await;
        let idle = Duration::from_millis(100);
        let here = Some(std::process::id());
        let report =
            load(&LoadArguments { server_pid: here, idle, ..arguments(&server.url(), 40, 10.0) }).await;
        // Server and load are one process here, and a tick of its clock is 10 ms: what is more than nothing is right.
        assert!(report["server"]["resident_kib_at_end"].as_u64().is_some_and(|kib| kib > 1000), "{report}");
        assert!(report["server"]["calling_cores"].as_f64().is_some_and(|cores| cores < 1000.0), "{report}");
        assert_eq!(report["server"]["heartbeat_cpu_us"], serde_json::Value::Null, "none was sent yet");
        server.shutdown().await;
    }

    #[test]
    fn times_have_units_and_rates_are_bounded() {
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!((time("0s"), time("1.5m")), (Ok(Duration::ZERO), Ok(Duration::from_secs(90))));
        for wrong in ["", "5", "s", "-1s", "NaNs", "2d", "25h", "5 s", "1é"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(
            rate("0").is_err()
                && rate("inf").is_err()
                && rate("NaN").is_err()
                && rate_or_none("0") == Ok(0.0)
        );
        assert!(count("0").is_err() && count("1000001").is_err() && count("20000") == Ok(20_000));
    }

    #[tokio::test]
    async fn wrong_options_are_told_and_no_secret_is_repeated() {
        let wrong =
            LoadArguments { application: "key:hush!".to_owned(), ..arguments("ws://127.0.0.1:9", 1, 0.0) };
        let told = measure(&wrong).await.unwrap_err().to_string();
        assert!(told.contains("--application") && !told.contains("hush"), "{told}");
        let few = measure(&arguments("ws://127.0.0.1:9", 2, 100.0)).await.unwrap_err();
        assert_eq!(few.exit(), Exit::Usage);
    }
}
