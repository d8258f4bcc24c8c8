"""Kubernetes objects the tests use, as plain dictionaries."""


def pod(name, image, script, node=None, volumes=(), privileged=False, host_network=False):
    """A pod that runs a shell script; `volumes` are (host path, mount path, propagation)."""
    spec = {
        "containers": [{
            "name": "main", "image": image, "command": ["/bin/sh", "-c", script],
            "securityContext": {"privileged": privileged},
            "volumeMounts": [
                {"name": f"v{index}", "mountPath": mount, "mountPropagation": propagation}
                for index, (_, mount, propagation) in enumerate(volumes)
            ],
        }],
        "volumes": [{"name": f"v{index}", "hostPath": {"path": path}} for index, (path, _, _) in enumerate(volumes)],
        "terminationGracePeriodSeconds": 0,
        "hostNetwork": host_network,
    }
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def web(name, image, node, selector):
    """A pod that serves its own name on port 8080 and its node's on /node."""
    script = "mkdir -p /tmp/www && hostname >/tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    made = pod(name, image, script, node)
    made["metadata"]["labels"] |= {"service": selector}
    made["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return made


def service(name, selector, port=80, headless=False):
    spec = {"selector": {"service": selector}, "ports": [{"name": "http", "port": port, "targetPort": 8080, "protocol": "TCP"}]}
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def in_namespace(namespace, *objects):
    for one in objects:
        one["metadata"]["namespace"] = namespace
    return objects
