//! `evenkeel-testbed demo`

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use evenkeel_testbed::compare::run::Hosts;
use evenkeel_testbed::demo::foresight::Foresight;
use evenkeel_testbed::demo::recorder::FIGURES;
use evenkeel_testbed::demo::{self, Side, page};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::compare::setting;
use crate::cli::DemoArgs;

/// Between two points of the page's curves of latency.
const TICK: Duration = Duration::from_millis(500);

/// Ticks between two points of the demand.
const TICKS_OF_DEMAND: u32 = 4;

pub(crate) fn run(arguments: &DemoArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(show(arguments)))
}

async fn show(arguments: &DemoArgs) -> Result<()> {
    let setting = setting(&arguments.setting)?;
    let first_port = arguments.setting.first_port;
    let side = async |name: &str, authority: &str, first_port: u16| {
        let hosts = Hosts::start(&setting, first_port, arguments.setting.stream_head).await;
        let hosts = hosts.with_context(|| format!("hosts on ports from {first_port} on"))?;
        anyhow::Ok(Side {
            name: name.to_owned(),
            authority: authority.to_owned(),
            hosts,
            recorder: RefCell::default(),
            progress: RefCell::default(),
        })
    };
    let sides = Rc::new([
        side(&arguments.left_name, &arguments.left, first_port).await?,
        side(&arguments.right_name, &arguments.right, first_port + setting.speeds.len() as u16).await?,
    ]);
    let address = SocketAddr::from(([127, 0, 0, 1], arguments.port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("{address}: cannot listen there"))?;
    println!(
        "\nThe page:  http://{address}/\nCtrl-C ends it.\n\nWarming up: figures are compared once chance is ruled out."
    );
    let path = &arguments.model;
    let artifact = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let step_s = (TICK * TICKS_OF_DEMAND).as_secs_f64() * setting.time_scale;
    let demand = Rc::new(RefCell::new(Foresight::new(artifact, step_s).with_context(|| path.display().to_string())?));
    let about = Rc::new(page::about(&setting));
    tokio::task::spawn_local(page::serve(listener, Rc::clone(&sides), Rc::clone(&demand), about));
    tokio::task::spawn_local(tick(Rc::clone(&sides), demand));
    demo::run(&setting, sides, arguments.setting.seed).await?;
    Ok(())
}

/// Adds points to the page's curves, for ever.
async fn tick(sides: Rc<[Side; 2]>, demand: Rc<RefCell<Foresight>>) {
    // Requests that were due, whether or not they have ended: the same for both sides.
    let due = |now_s: f64| sides[1].progress.borrow().due(now_s);
    let (mut due_before, mut stepped_s) = (0, 0.0);
    let mut told = [false; FIGURES.len()];
    for ticks in 1_u32.. {
        tokio::time::sleep(TICK).await;
        for side in sides.iter() {
            side.recorder.borrow_mut().tick(side.hosts.clock().now_s());
        }
        if ticks.is_multiple_of(TICKS_OF_DEMAND) {
            let now_s = sides[1].hosts.clock().now_s();
            let due = due(now_s);
            demand.borrow_mut().step(now_s, (due - due_before) as f64 / (now_s - stepped_s).max(1e-9));
            (due_before, stepped_s) = (due, now_s);
            tell(&sides, &mut told);
        }
    }
}

/// Says on the terminal, once for each figure, what is decided.
fn tell(sides: &[Side; 2], told: &mut [bool; FIGURES.len()]) {
    const TITLES: [&str; FIGURES.len()] = ["99th percentile of latency", "mean latency", "mean time to first token"];
    for ((verdict, title), told) in page::verdicts(sides).into_iter().zip(TITLES).zip(told) {
        let Some(words) = verdict.in_words().filter(|_| !*told) else { continue };
        println!("{title}, {} against {}: {words}", sides[1].name, sides[0].name);
        *told = true;
    }
}
