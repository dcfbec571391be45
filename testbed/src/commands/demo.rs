//! `evenkeel-testbed demo`

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use evenkeel_testbed::compare::run::Hosts;
use evenkeel_testbed::demo::{self, Side, page};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::compare::setting;
use crate::cli::DemoArgs;

/// Between two points of the page's curves.
const TICK: Duration = Duration::from_millis(500);

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
    println!("open http://{address}/");
    tokio::task::spawn_local(page::serve(listener, Rc::clone(&sides), Rc::new(page::about(&setting))));
    let ticking = Rc::clone(&sides);
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(TICK).await;
            for side in ticking.iter() {
                let now_s = side.hosts.clock().now_s();
                side.recorder.borrow_mut().tick(now_s, side.progress.borrow().due(now_s));
            }
        }
    });
    demo::run(&setting, sides, arguments.setting.seed).await?;
    Ok(())
}
