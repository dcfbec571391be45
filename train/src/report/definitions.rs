//! What every number of the report means.

use super::html::put;

/// Terms and their definitions, as HTML.
const DEFINITIONS: [(&str, &str); 13] = [
    (
        "Load",
        "Rate of arrivals as a share of the rate which the whole fleet can just serve. At \
         100&nbsp;% queues grow without end.",
    ),
    (
        "Latency",
        "Time from the arrival of a request at a balancer to its last token or byte. \
         <b>Mean</b>, <b>p50</b> (median) and <b>p99</b> (only one request in a hundred takes \
         longer) are taken over the requests of one seed, then averaged over seeds. A request \
         that fails counts as a slow one, so that failing fast never looks like being fast.",
    ),
    (
        "TTFT",
        "Time to first token: from the arrival of a request at a balancer to the first token of \
         its answer; for plain services, to the first byte.",
    ),
    (
        "Failed",
        "Share of the requests that got no complete answer: refused, lost in a crash, or timed \
         out.",
    ),
    (
        "Load-balancing efficiency (balance)",
        "How evenly the hosts are used, for what each can bear. With <i>u<sub>h</sub></i> the \
         work that host <i>h</i> did over its speed, and <i>n</i> hosts, it is \
         <span class=\"formula\">((1/n) Σ<sub>h</sub> u<sub>h</sub>) / max<sub>h</sub> \
         u<sub>h</sub></span> the mean over the maximum. At 100&nbsp;% all hosts bear the same \
         share of their capacity; at 1/<i>n</i> one does everything. It is a means, not an end: a \
         policy may rightly spare a host that is slowed down.",
    ),
    (
        "95&nbsp;% confidence interval",
        "Uncertainty of the mean over evaluation seeds. All policies see the same arrivals, \
         sizes and slowdowns for a seed. Two values are called different only if their intervals do not overlap, which is stricter \
         than a paired test.",
    ),
    (
        "Rules that NGINX and Envoy have",
        "Round robin; least request over all hosts (NGINX&rsquo;s <code>least_conn</code>); P2C, least \
         request of two at random (<code>random two least_conn</code>, Envoy&rsquo;s default); and, where \
         another number of hosts was best on the validation split, least request of that number \
         (Envoy&rsquo;s <code>choice_count</code>). Evenkeel is compared with whichever has the best value \
         of that metric at that load. Other rules stand in the tables and among the losses.",
    ),
    (
        "EXT",
        "Evenkeel&rsquo;s analytic estimate as a rule of its own, without the trained network: the \
         expected completion time at a host plus the delay that it causes to the requests there. No proxy \
         has it; it shows what the network adds.",
    ),
    (
        "Oracle",
        "A bound, not a competitor: it sees the simulator&rsquo;s true state, which no balancer \
         can.",
    ),
    (
        "WQL",
        "Weighted quantile loss: <span class=\"formula\">2 Σ<sub>q</sub> Σ<sub>t</sub> \
         max(q (y<sub>t</sub> − ŷ<sub>t,q</sub>), (q − 1)(y<sub>t</sub> − ŷ<sub>t,q</sub>)) / \
         (9 Σ<sub>t</sub> |y<sub>t</sub>|)</span> over the nine quantiles 0.1&nbsp;…&nbsp;0.9. \
         0 is perfect. <b>Against seasonal naive</b> divides it by the loss of repeating the \
         value of one season before; under 1 is better than that.",
    ),
    (
        "MASE",
        "Mean absolute scaled error: the absolute error of the median forecast over that of the \
         seasonal naive forecast in the training data.",
    ),
    (
        "Coverage",
        "Share of the actual values at or under a forecast quantile. A calibrated quantile 0.9 \
         covers 90&nbsp;%; the band from 0.1 to 0.9 holds 80&nbsp;%.",
    ),
    (
        "Parity",
        "The same network computed by burn (which trained it), by tract (from the ONNX file) and \
         by the runtime (from the artifact) must agree: \
         <span class=\"formula\">|a − b| / max(1, |a|, |b|) ≤ 10<sup>−5</sup></span>",
    ),
];

/// The list of definitions.
pub(super) fn section() -> String {
    let mut out = String::from("<section id=\"definitions\">\n<h2>Definitions</h2>\n<dl class=\"definitions\">\n");
    for (term, text) in DEFINITIONS {
        put!(out, "<div><dt>{term}</dt><dd>{text}</dd></div>\n");
    }
    out.push_str("</dl>\n</section>\n");
    out
}
