# A policy of the Nomad Autoscaler for the task group `replicas` of the job `llm`: a file in
# the agent's policy directory, or the same `policy` in the group's own `scaling` block.
#
# Prometheus scrapes the proxies and adds their shares of the demand up. The demand is in
# replicas already, so the strategy passes it through. Up at once; down by the most of the
# last five minutes. Without an answer the check fails, and the count stays.
scaling "llm" {
  enabled = true
  min     = 1
  max     = 64

  policy {
    cooldown            = "30s"
    evaluation_interval = "15s"

    check "demand" {
      source = "prometheus"
      query  = "ceil(max_over_time(sum(evenkeel_demand_replicas{upstream=\"llm\"})[5m:15s]))"

      strategy "pass-through" {}
    }

    target "nomad-target" {
      Job   = "llm"
      Group = "replicas"
    }
  }
}
