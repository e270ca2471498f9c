//! A plain reverse proxy on Pingora: one thread, kept connections to the server, no filters.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::prelude::{HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: pingora-peer LISTEN_ADDRESS:PORT SERVER_ADDRESS:PORT";

struct Everything {
    server: String,
}

#[async_trait]
impl ProxyHttp for Everything {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.server, false, String::new())))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(server)) = (arguments.next(), arguments.next()) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 4096,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut process = Server::new_with_opt_and_conf(None, conf);
    process.bootstrap();
    let conf = Arc::clone(&process.configuration);
    let mut service = http_proxy_service(&conf, Everything { server });
    service.add_tcp(&listen);
    process.add_service(service);
    process.run_forever();
}
