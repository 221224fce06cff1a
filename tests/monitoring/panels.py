"""What the dashboard shows: rows of panels, each with its questions to Prometheus."""

from collections.abc import Sequence
from dataclasses import dataclass

GATEWAYS = 'namespace="$namespace",service="$release-gateway-operations"'
TRITONS = 'namespace="$namespace",service="$release-triton-headless"'
CALLS = f'{GATEWAYS},route="create_embeddings"'

Targets = dict[str, str]  # legend → expression


@dataclass(frozen=True)
class Panel:
    """One graph.

    unit     Grafana's word for it
    stacked  where the series are parts of a whole
    """

    title: str
    unit: str
    description: str
    targets: Targets
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


def rate(metric: str, selector: str) -> str:
    return f"rate({metric}{{{selector}}}[$__rate_interval])"


def quantiles(metric: str, selector: str, by: str, legend: str) -> Targets:
    """The median and the slowest of a hundred."""
    return {
        f"p{round(q * 100)} {legend}".strip(): (
            f"histogram_quantile({q}, sum by (le{by}) ({rate(f'{metric}_bucket', selector)}))"
        )
        for q in (0.5, 0.99)
    }


def of_each_request(metric: str) -> str:
    """Microseconds that a request of a step took, on average."""
    return (
        f"sum by (model) ({rate(metric, TRITONS)})"
        f" / sum by (model) ({rate('nv_inference_request_success', TRITONS)})"
    )


HITS = rate("gateway_cache_hits_total", GATEWAYS)
MISSES = rate("gateway_cache_misses_total", GATEWAYS)

ROWS = [
    Row("What callers see", [
        Panel("Calls", "reqps", "Answered calls for embeddings by HTTP status.",
              {"{{status}}": f"sum by (status) ({rate('gateway_requests_total', CALLS)})"},
              stacked=True),
        Panel("Latency of small calls", "s",
              "From the head of a call to the end of its answer, of interactive calls.",
              quantiles("gateway_call_seconds", f'{GATEWAYS},lane="interactive"', ",model",
                        "{{model}}")),
        Panel("Latency of big calls", "s", "The same of bulk calls, which wait for their turn.",
              quantiles("gateway_call_seconds", f'{GATEWAYS},lane="bulk"', ",model", "{{model}}")),
        Panel("Tokens", "short", "Tokens that were embedded, a second.",
              {"{{model}}": f"sum by (model) ({rate('gateway_tokens_total', GATEWAYS)})"},
              stacked=True),
        Panel("Texts", "short", "Texts that were embedded, a second.",
              {"{{model}}": f"sum by (model) ({rate('gateway_texts_total', GATEWAYS)})"},
              stacked=True),
        Panel("Texts of a call", "short", "How big calls are.",
              quantiles("gateway_texts_per_call", GATEWAYS, "", "")),
    ]),
    Row("Where the time goes", [
        Panel("A call by stage, on average", "s",
              "Seconds of a call: its body comes, chunks wait, Triton works, the answer is made.",
              {"{{stage}}": f"sum by (stage) ({rate('gateway_stage_seconds_sum', GATEWAYS)})"
                            f" / ignoring (stage) group_left sum"
                            f" ({rate('gateway_texts_per_call_count', GATEWAYS)})"},
              stacked=True),
        Panel("Stages, the slowest of a hundred", "s",
              "Which stage makes slow calls slow; not of the same calls, so they do not add up.",
              {"{{stage}}": "histogram_quantile(0.99, sum by (le,stage)"
                            f" ({rate('gateway_stage_seconds_bucket', GATEWAYS)}))"}),
        Panel("Steps in Triton", "µs",
              "What a request takes in each step, on average, its wait there included; of the"
              " encoder on a CPU only how long it takes to hand it over.",
              {"{{model}}": of_each_request("nv_inference_request_duration_us")}),
    ]),
    Row("Load and capacity", [
        Panel("Waiting tokens", "short", "Estimated tokens that wait for their turn, by lane.",
              {"{{lane}}": f"sum by (lane) (gateway_waiting_tokens{{{GATEWAYS}}})"}, stacked=True),
        Panel("Work that waits", "s", "The same as time, at the rate of late.",
              {"all lanes": f"sum(gateway_waiting_tokens{{{GATEWAYS}}})"
                            f" / sum({rate('gateway_tokens_total', GATEWAYS)})"}),
        Panel("Capacity left", "short", "Estimated tokens that Tritons would be given now.",
              {"{{lane}}": f"sum by (lane) (gateway_capacity_tokens{{{GATEWAYS}}})"}),
        Panel("Tokens at Triton", "short", "Estimated tokens that Tritons have, by lane.",
              {"{{lane}}": f"sum by (lane) (gateway_triton_tokens{{{GATEWAYS}}})"}, stacked=True),
        Panel("Calls in flight", "short", "Requests received and unanswered, by gateway.",
              {"{{pod}}": f"gateway_in_flight_requests{{{GATEWAYS}}}"}, stacked=True),
        Panel("Gateways that are ready", "short",
              "Of those that Prometheus reaches: a call of every known model would succeed.",
              {"ready": f"sum(gateway_ready{{{GATEWAYS}}})",
               "reached": f"sum(up{{{GATEWAYS}}})"}),
    ]),
    Row("Tritons", [
        Panel("Asked", "short", "1 while all gateways ask a Triton, for all of its models.",
              {"{{triton}}": f"min by (triton) (gateway_triton_up{{{GATEWAYS}}})"}),
        Panel("Outstanding tokens", "short", "Estimated tokens that each Triton has.",
              {"{{triton}}":
               f"sum by (triton) (gateway_triton_outstanding_tokens{{{GATEWAYS}}})"},
              stacked=True),
        Panel("Time of a chunk", "s", "From sending a chunk to its answer, by Triton.",
              quantiles("gateway_chunk_seconds", GATEWAYS, ",triton", "{{triton}}")),
        Panel("Failed requests", "reqps",
              "By what Triton says; CANCELED are callers who left, OTHER may be their mistakes.",
              {"{{pod}} {{model}} {{reason}}":
               f"sum by (pod,model,reason) ({rate('nv_inference_request_failure', TRITONS)}) > 0"}),
        Panel("Wait in Triton's queues", "µs", "Of a request, on average, by step.",
              {"{{model}}": of_each_request("nv_inference_queue_duration_us")}),
        Panel("Requests in Triton's queues", "short", "Those that wait for a step.",
              {"{{model}}":
               f"sum by (model) (nv_inference_pending_request_count{{{TRITONS}}})"}),
        Panel("Lost chunks", "short",
              "Chunks that a Triton has lost, a second: sent to another one, or refused.",
              {"{{reason}} {{result}}":
               f"sum by (reason,result) ({rate('gateway_retries_total', GATEWAYS)})"}),
        Panel("Tritons by revision", "short", "How many serve each revision of a model.",
              {"{{model}} {{revision}}":
               f"max by (model,revision) (gateway_model_tritons{{{GATEWAYS}}})"}),
        Panel("CPU of the nodes of Triton", "percentunit",
              "Of the whole machine that a Triton runs on.",
              {"{{pod}}": f"nv_cpu_utilization{{{TRITONS}}}"}),
        Panel("GPU at work", "percentunit",
              "Part of the time in which a kernel ran: not how full the GPU is. Empty without a GPU"
              " and on MIG.",
              {"{{pod}} {{gpu_uuid}}": f"nv_gpu_utilization{{{TRITONS}}}"}),
        Panel("GPU memory", "percentunit", "Part of it in use. Empty without a GPU and on MIG.",
              {"{{pod}} {{gpu_uuid}}": f"nv_gpu_memory_used_bytes{{{TRITONS}}}"
                                       f" / nv_gpu_memory_total_bytes{{{TRITONS}}}"}),
        Panel("GPU power", "watt", "Empty without a GPU and on MIG.",
              {"{{pod}} {{gpu_uuid}}": f"nv_gpu_power_usage{{{TRITONS}}}"}),
    ]),
    Row("Callers", [
        Panel("Tokens by key", "short", "The ten keys with most tokens a second.",
              {"{{key}}":
               f"topk(10, sum by (key) ({rate('gateway_usage_tokens_total', GATEWAYS)}))"}),
        Panel("Calls by key", "reqps", "The ten keys that call most.",
              {"{{key}}":
               f"topk(10, sum by (key) ({rate('gateway_key_requests_total', GATEWAYS)}))"}),
        Panel("Held tokens by key", "short", "Whose tokens wait, or are at Triton.",
              {"{{key}} {{stage}}":
               f"topk(10, sum by (key,stage) (gateway_held_tokens{{{GATEWAYS}}}))"}),
    ]),
    Row("Limits and refusals", [
        Panel("Refused", "reqps", "Requests answered with an error, by its code.",
              {"{{reason}}": f"sum by (reason) ({rate('gateway_rejected_total', GATEWAYS)}) > 0"}),
        Panel("Above the limits of their keys", "reqps", "By key and limit.",
              {"{{key}} {{limit}}":
               f"topk(10, sum by (key,limit) ({rate('gateway_rate_limited_total', GATEWAYS)}))"}),
        Panel("Failed at Triton", "reqps", "Or for want of capacity, by code.",
              {"{{code}}": f"sum by (code) ({rate('gateway_upstream_errors_total', GATEWAYS)})"}),
        Panel("Key file and shared limits", "short",
              "1 while the keys are those of the file, and while Redis counts for limits.",
              {"key file valid": f"min(gateway_key_file_valid{{{GATEWAYS}}})",
               "limits shared": f"min(gateway_rate_limits_shared{{{GATEWAYS}}})"}),
        Panel("Redis does not answer", "reqps", "Questions without an answer.",
              {"for limits": f"sum({rate('gateway_rate_limit_errors_total', GATEWAYS)})",
               "for the cache": f"sum({rate('gateway_cache_errors_total', GATEWAYS)})"}),
        Panel("Usage log", "short", "Records that are not on the disk; 0 where all is well.",
              {"wait": f"sum(gateway_usage_unwritten_records{{{GATEWAYS}}})",
               "lost": f"sum(gateway_usage_lost_records_total{{{GATEWAYS}}})",
               "not confirmed": f"sum(gateway_usage_sync_failures_total{{{GATEWAYS}}})"}),
    ]),
    Row("Cache", [
        Panel("Hit rate", "percentunit", "Part of the texts that were not computed again.",
              {"{{model}}": f"sum by (model) ({HITS})"
                            f" / (sum by (model) ({HITS}) + sum by (model) ({MISSES}))"}),
        Panel("Memory", "bytes", "Of a cache in the gateways; Redis has its own figures.",
              {"{{pod}}": f"gateway_cache_bytes{{{GATEWAYS}}}"}, stacked=True),
    ]),
    Row("Gateways", [
        Panel("Cores", "short", "A gateway works on one: near 1 it is full.",
              {"{{pod}}": rate("process_cpu_seconds_total", GATEWAYS)}),
        Panel("Memory", "bytes", "Resident.",
              {"{{pod}}": f"process_resident_memory_bytes{{{GATEWAYS}}}",
               "of calls, all": f"sum(gateway_held_bytes{{{GATEWAYS}}})"}),
        Panel("File descriptors", "percentunit", "Part of the limit in use.",
              {"{{pod}}": f"process_open_fds{{{GATEWAYS}}} / process_max_fds{{{GATEWAYS}}}"}),
    ]),
]  # fmt: skip
