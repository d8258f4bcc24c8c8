"""Writes charts/modelcache/files/dashboard.json: a Grafana dashboard of four rows (fleet, model, node, start).

usage: python3 hack/lib/dashboard.py [--check]     --check writes nothing and ends with 1 when the file is not what it would be
"""
import json
import sys

from made import REPOSITORY, settle

FILE = REPOSITORY / "charts/modelcache/files/dashboard.json"

OF_RESOURCE = 'namespace=~"$namespace",name=~"$name"'
OF_MODEL = 'model=~"$model"'
OF_NODE = 'instance=~"$node"'
OF_START = f"{OF_MODEL},{OF_NODE}"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    inner = f"rate({metric}{{{labels}}}[$__rate_interval])" if labels else f"rate({metric}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


# Row: panels as (title, kind, unit, [(query, legend)], what it tells).
ROWS = {
    "Fleet": [
        ("ModelCaches", "stat", "short", [("sum by (phase) (modelcache_modelcaches)", "{{phase}}")], "By phase."),
        ("Agents", "stat", "short", [("sum by (state) (modelcache_agents)", "{{state}}")], "By whether they respond to the operator."),
        ("Alerts", "stat", "short", [('count(ALERTS{alertname=~"ModelCache.*",alertstate="firing"}) or vector(0)', "firing")], "See docs/runbooks."),
        ("Missed pods", "stat", "short", [("max(modelcache_missed_pods)", "pods")], "They name a ModelCache and run without it."),
        ("Webhook certificate", "stat", "s", [("min(modelcache_webhook_certificate_expiry_timestamp_seconds > 0) - time()", "left")], "Time that is left."),
        ("Received", "timeseries", "Bps", [(rate("modelcache_origin_bytes_total"), "from stores"), (rate("modelcache_peer_received_bytes_total"), "from nodes"),
                                      (rate("modelcache_copied_bytes_total"), "copied on the node")],
         "All models on all nodes."),
        ("Cache", "timeseries", "bytes", [("sum(modelcache_cached_bytes)", "cached"), ("sum(modelcache_budget_bytes)", "budget")], "All nodes."),
        ("Ready", "table", "bool", [(f'max by (namespace, name) (modelcache_status_condition{{type="Ready",status="True"}})', "{{namespace}}/{{name}}")],
         "1: every node that should have the model has it."),
        ("Webhook", "timeseries", "s", [
            ("histogram_quantile(0.99, sum by (le) (rate(controller_runtime_webhook_latency_seconds_bucket[$__rate_interval])))", "99 % of reviews"),
            ("histogram_quantile(0.5, sum by (le) (rate(controller_runtime_webhook_latency_seconds_bucket[$__rate_interval])))", "median")],
         "Time of a review. The goal is 10 ms."),
        ("Injections", "timeseries", "ops", [(rate("modelcache_injections_total", by="outcome"), "{{outcome}}")], "Pods at the webhook."),
        ("Reconciles", "timeseries", "ops", [(rate("controller_runtime_reconcile_total", by="result"), "{{result}}")], "Of the operator."),
    ],
    "Model": [
        ("Copies", "timeseries", "short", [(f"sum by (state) (modelcache_status_copies{{{OF_RESOURCE}}})", "{{state}}")], "Nodes that should have the model, and what they have."),
        ("Conditions", "table", "bool", [(f'max by (namespace, name, type) (modelcache_status_condition{{{OF_RESOURCE},status="True"}})', "{{name}} {{type}}")], "1: True."),
        ("Complete", "timeseries", "percentunit", [(
            f"sum(modelcache_status_cached_bytes{{{OF_RESOURCE}}}) / sum(modelcache_status_model_bytes{{{OF_RESOURCE}}} * on (namespace, name) "
            f'modelcache_status_copies{{{OF_RESOURCE},state="desired"}})', "of all copies")], "Bytes on the nodes, of those that should be there."),
        ("Read from the store", "timeseries", "none", [(
            f"sum(modelcache_origin_bytes_total{{{OF_MODEL}}}) / max(modelcache_model_bytes{{{OF_MODEL}}})", "times the model")],
         "Nodes that start together read a model about once."),
        ("Credentials", "stat", "s", [(f"min(modelcache_credentials_expiry_timestamp_seconds{{{OF_RESOURCE}}}) - time()", "left")], "Where the Secret says when they end."),
        ("Throttled and repeated", "timeseries", "ops", [
            (rate("modelcache_origin_throttled_total", OF_MODEL), "throttled"), (rate("modelcache_origin_retries_total", OF_MODEL), "repeated")], "Requests to the store."),
    ],
    "Node": [
        ("Cache", "timeseries", "bytes", [(f"sum by (instance) (modelcache_cached_bytes{{{OF_NODE}}})", "{{instance}} cached"),
                                          (f"sum by (instance) (modelcache_budget_bytes{{{OF_NODE}}})", "{{instance}} budget")], "Bytes cached, and the budget."),
        ("In flight", "timeseries", "bytes", [(f"sum by (instance) (modelcache_in_flight_bytes{{{OF_NODE}}})", "{{instance}}")],
         "Bytes between network and cache. At its limit the cache is slower than the network."),
        ("Clients", "timeseries", "short", [(f"sum by (instance) (modelcache_sessions{{{OF_NODE}}})", "{{instance}}")], "Connections at the socket."),
        ("Other nodes", "timeseries", "Bps", [(rate("modelcache_peer_received_bytes_total", OF_NODE, "instance"), "{{instance}} received"),
                                              (rate("modelcache_peer_sent_bytes_total", OF_NODE, "instance"), "{{instance}} sent")], "Blocks of all models."),
        ("Wrong bytes", "timeseries", "short", [
            (f"sum by (instance) (increase(modelcache_peer_wrong_blocks_total{{{OF_NODE}}}[$__rate_interval]))", "{{instance}} blocks of nodes"),
            (f"sum by (instance) (increase(modelcache_refilled_files_total{{{OF_NODE}}}[$__rate_interval]))", "{{instance}} files read again")], "No reader saw one."),
        ("Since", "stat", "s", [(f"time() - max by (instance) (process_start_time_seconds{{{OF_NODE}}} and on (instance) modelcache_cached_bytes)", "{{instance}}")], "Age of the agent's process."),
    ],
    "Start": [
        ("Until ready", "timeseries", "s", [
            ('histogram_quantile(0.9, sum by (le) (rate(modelcache_pod_start_seconds_bucket{phase="total"}[$__rate_interval])))', "90 % of pods"),
            ('histogram_quantile(0.5, sum by (le) (rate(modelcache_pod_start_seconds_bucket{phase="total"}[$__rate_interval])))', "median")],
         "From a pod's creation, all models. `kubectl modelcache starts` has each pod."),
        ("Phases of starts", "timeseries", "s", [(
            'sum by (phase) (rate(modelcache_pod_start_seconds_sum{phase!="total"}[$__rate_interval])) / '
            'sum by (phase) (rate(modelcache_pod_start_seconds_count{phase!="total"}[$__rate_interval]))', "{{phase}}")], "The mean of each."),
        ("Present", "timeseries", "percentunit", [
            (f"sum by (instance) (modelcache_model_present_bytes{{{OF_START}}}) / sum by (instance) (modelcache_model_bytes{{{OF_START}}})", "{{instance}}")],
         "Share of the model on the node."),
        ("Received", "timeseries", "Bps", [(rate("modelcache_origin_bytes_total", OF_START, "instance"), "{{instance}} from the store"),
                                           (rate("modelcache_peer_received_bytes_total", OF_START, "instance"), "{{instance}} from nodes"),
                                           (rate("modelcache_copied_bytes_total", OF_START, "instance"), "{{instance}} copied")], "By where the bytes come from."),
        ("Time left", "timeseries", "s", [(
            f"(sum by (instance) (modelcache_model_bytes{{{OF_START}}}) - sum by (instance) (modelcache_model_present_bytes{{{OF_START}}})) / "
            f"({rate('modelcache_origin_bytes_total', OF_START, 'instance')} + {rate('modelcache_peer_received_bytes_total', OF_START, 'instance')} + "
            f"{rate('modelcache_copied_bytes_total', OF_START, 'instance')})", "{{instance}}")],
         "At the present rate."),
        ("Requests in flight", "timeseries", "short", [(f"sum by (instance) (modelcache_transfers_in_flight{{{OF_START}}})", "{{instance}}")], "Range requests."),
        ("Readers", "timeseries", "short", [(f"sum by (instance) (modelcache_model_users{{{OF_START}}})", "{{instance}}")], "Clients that hold the model, warm-up pods among them."),
        ("Files", "timeseries", "short", [(f"sum by (instance) (modelcache_model_complete_files{{{OF_START}}})", "{{instance}} complete"),
                                          (f"sum by (instance) (modelcache_model_files{{{OF_START}}})", "{{instance}} in all")], "Complete and verified, of all."),
    ],
}

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name: str, query: str, label: str, hide: int = 0) -> dict:
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, "includeAll": True, "multi": True,
            "allValue": ".*", "hide": hide, "sort": 1, "current": {"text": "All", "value": "$__all"}}


def dashboard() -> dict:
    panels, top, number = [], 0, 1
    for row, members in ROWS.items():
        panels.append({"id": number, "type": "row", "title": row, "collapsed": False, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}, "panels": []})
        number, top, left, height = number + 1, top + 1, 0, 0
        for title, kind, unit, queries, tells in members:
            width, tall = (4, 4) if kind == "stat" else (8, 7)
            if left + width > 24 or (height and tall != height):
                left, top = 0, top + height
            height = tall
            panels.append({
                "id": number, "type": kind, "title": title, "description": tells, "datasource": SOURCE, "gridPos": {"x": left, "y": top, "w": width, "h": tall},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0 if kind == "timeseries" else None}, "overrides": []},
                "targets": [{"refId": chr(65 + index), "expr": query, "legendFormat": legend, "datasource": SOURCE,
                             **({"instant": True, "format": "table"} if kind == "table" else {})} for index, (query, legend) in enumerate(queries)]})
            number, left = number + 1, left + width
        top += height
    return {
        "title": "ModelCache", "uid": "modelcache", "tags": ["modelcache"], "schemaVersion": 39, "version": 1, "editable": True, "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"}, "timezone": "browser", "annotations": {"list": []}, "links": [],
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0, "current": {}},
            variable("namespace", "label_values(modelcache_status_info, namespace)", "Namespace"),
            variable("name", 'label_values(modelcache_status_info{namespace=~"$namespace"}, name)', "ModelCache"),
            # Agents know a ModelCache by its uid.
            variable("model", f"label_values(modelcache_status_info{{{OF_RESOURCE}}}, model)", "Model", hide=2),
            variable("node", "label_values(modelcache_cached_bytes, instance)", "Node"),
        ]},
        "panels": panels}


def main() -> int:
    return settle("dashboard", {FILE: json.dumps(dashboard(), indent=1) + "\n"})


if __name__ == "__main__":
    sys.exit(main())
