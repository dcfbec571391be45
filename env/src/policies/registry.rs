//! Every policy that needs no model.

use super::{
    C3, CacheAware, Entry, Ext, ExtWeights, JoinIdleQueue, LeastRequest, LeastTime, MarginalCost, PeakEwma, PowerOfTwo,
    Prequal, PrequalOptions, QueueKv, QueueKvWeights, Random, RoundRobin, ShortestQueue, TokenAware,
    WeightedRoundRobin, c3, cache_aware, ext, join_idle_queue, least_request, least_time, oracle, peak_ewma, prequal,
    queue_kv, token_aware, weighted_round_robin,
};
use crate::sizes::Sizes;

/// Every policy that needs no model: the rules from the simplest on, then the oracles.
pub const REGISTRY: &[Entry] = &[
    Entry { name: "random", source: "uniform choice", is_oracle: false, parameters: &[], build: |_| Box::new(Random) },
    Entry {
        name: "round_robin",
        source: "NGINX's default without weights",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(RoundRobin::default()),
    },
    Entry {
        name: "weighted_round_robin",
        source: "NGINX's smooth order, Envoy's client_side_weighted_round_robin weights (gRFC A58)",
        is_oracle: false,
        parameters: weighted_round_robin::PARAMETERS,
        build: |p| {
            let options = weighted_round_robin::WeightedRoundRobinOptions::from_parameters(p);
            Box::new(WeightedRoundRobin::new(options))
        },
    },
    Entry {
        name: "p2c",
        source: "Mitzenmacher, IEEE TPDS 2001",
        is_oracle: false,
        parameters: &[],
        build: |_| Box::new(PowerOfTwo),
    },
    Entry {
        name: "least_request",
        source: "NGINX least_conn, Envoy least request over all hosts",
        is_oracle: false,
        parameters: least_request::PARAMETERS,
        build: |p| Box::new(LeastRequest::new(p[0] as usize)),
    },
    Entry {
        name: "peak_ewma",
        source: "Finagle's and Linkerd's Peak-EWMA over two choices",
        is_oracle: false,
        parameters: peak_ewma::PARAMETERS,
        build: |p| Box::new(PeakEwma::new(peak_ewma::PeakEwmaOptions::from_parameters(p))),
    },
    Entry {
        name: "least_time",
        source: "NGINX least_time",
        is_oracle: false,
        parameters: least_time::PARAMETERS,
        build: |p| Box::new(LeastTime::new(least_time::LeastTimeOptions::from_parameters(p))),
    },
    Entry {
        name: "join_idle_queue",
        source: "Lu et al., Join-Idle-Queue, Performance Evaluation 2011",
        is_oracle: false,
        parameters: join_idle_queue::PARAMETERS,
        build: |p| Box::new(JoinIdleQueue::new(join_idle_queue::JoinIdleQueueOptions::from_parameters(p))),
    },
    Entry {
        name: "c3",
        source: "Suresh et al., C3, NSDI 2015: the replica ranking",
        is_oracle: false,
        parameters: c3::PARAMETERS,
        build: |p| Box::new(C3::new(c3::C3Options::from_parameters(p))),
    },
    Entry {
        name: "prequal",
        source: "Wydrowski et al., Load is not what you should balance, NSDI 2024",
        is_oracle: false,
        parameters: prequal::PARAMETERS,
        build: |p| Box::new(Prequal::new(PrequalOptions::from_parameters(p))),
    },
    Entry {
        name: "queue_kv",
        source: "Gateway API Inference Extension and llm-d: queue, KV cache and prefix scorers",
        is_oracle: false,
        parameters: queue_kv::PARAMETERS,
        build: |p| Box::new(QueueKv::new(QueueKvWeights { queue: p[0], kv: p[1], prefix: p[2] })),
    },
    Entry {
        name: "token_aware",
        source: "llm-d: prefix affinity up to a TTFT gap, then fewest uncached tokens in flight",
        is_oracle: false,
        parameters: token_aware::PARAMETERS,
        build: |p| Box::new(TokenAware::new(token_aware::TokenAwareOptions::from_parameters(p))),
    },
    Entry {
        name: "cache_aware",
        source: "SGLang gateway, --policy cache_aware",
        is_oracle: false,
        parameters: cache_aware::PARAMETERS,
        build: |p| Box::new(CacheAware::new(cache_aware::CacheAwareOptions::from_parameters(p))),
    },
    Entry {
        name: "ext",
        source: "expected completion plus the delay inflicted: the runtime's analytic estimate",
        is_oracle: false,
        parameters: ext::PARAMETERS,
        build: |p| Box::new(Ext::new(ExtWeights { queue: p[0], kv: p[1], delay: p[2] })),
    },
    Entry {
        name: "oracle_shortest_queue",
        source: "join the shortest queue, on true state",
        is_oracle: true,
        parameters: &[],
        build: |_| Box::new(ShortestQueue),
    },
    Entry {
        name: "oracle_no_sizes",
        source: "least marginal cost under load, true state, expected sizes",
        is_oracle: true,
        parameters: oracle::NO_SIZES_PARAMETERS,
        build: |p| Box::new(MarginalCost::new(Sizes::Expected, p[0]).under_load(p[1]).guessing(p[2] as u32)),
    },
    Entry {
        name: "oracle",
        source: "least marginal cost under load, true state, true sizes",
        is_oracle: true,
        parameters: oracle::PARAMETERS,
        build: |p| Box::new(MarginalCost::new(Sizes::True, p[0]).under_load(p[1])),
    },
];
