//! What every number of the benchmark's page means.

use crate::report::html::put;

/// Terms and their definitions, as HTML.
const DEFINITIONS: [(&str, &str); 10] = [
    (
        "Load",
        "Offered work as a share of the fleet&rsquo;s capacity: the hosts&rsquo; speeds, less what antagonists take \
         on average, over the mean work of a request. At 100&nbsp;% queues grow without end.",
    ),
    (
        "Latency",
        "From the arrival of a request at a balancer to its last token or byte, retries included. A request that \
         failed or was given up counts as having taken the timeout at least.",
    ),
    ("TTFT", "Time to first token: from the arrival to the first token; for plain services, to the first byte."),
    (
        "Timed out, failed",
        "Shares of the requests: given up after the timeout; answered with an error, or lost in a crash.",
    ),
    (
        "Goodput",
        "Requests a second that were answered within the limits on latency and TTFT, over the span of arrivals.",
    ),
    (
        "Balance, Jain",
        "With <i>u<sub>h</sub></i> the work that host <i>h</i> did over its speed and <i>n</i> hosts: \
         load-balancing efficiency is <span class=\"formula\">((1/n) Σ<sub>h</sub> u<sub>h</sub>) / max<sub>h</sub> \
         u<sub>h</sub></span> and Jain&rsquo;s index <span class=\"formula\">(Σ<sub>h</sub> u<sub>h</sub>)² / (n \
         Σ<sub>h</sub> u<sub>h</sub>²)</span> Both are means, not ends: a policy may rightly spare a slowed host.",
    ),
    (
        "Headroom closed",
        "The share of the way from least request to an oracle that a policy goes: <span class=\"formula\">(least \
         request − policy) / (least request − oracle)</span> towards the oracle that knows the true state and expected \
         sizes. Missing where that oracle is not better.",
    ),
    (
        "95&nbsp;% interval",
        "Student&rsquo;s, over seeds. All policies meet the same arrivals, sizes and slowdowns in a seed; differences \
         are taken seed by seed, so that what seeds have in common cancels. Ratios have the interval of the ratio \
         estimator. The trace is the same in all seeds: intervals say nothing of other traces.",
    ),
    (
        "Tuned, defaults",
        "Parameters found by a search on the validation part, with the same budget for every rule, and as published.",
    ),
    ("Oracle", "A bound, not a competitor: it sees the simulator&rsquo;s true state, which no balancer can."),
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
