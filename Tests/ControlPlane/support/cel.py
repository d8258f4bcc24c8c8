"""The rules of the definition that are CEL (x-kubernetes-validations), evaluated as an API server from 1.25 on does it.

The API server of these tests may be older. Rules on the change of an object (with oldSelf) are evaluated where a former value is given.
"""
import functools

import celpy


@functools.cache
def program(rule: str, functions=()):
    """`functions` are pairs of name and function; one that is called as a method has its object as the first argument."""
    environment = celpy.Environment()
    return environment.program(environment.compile(rule), functions=dict(functions))


def refusals(schema, value, former=None, path="spec"):
    """(path, message) of every rule that `value` breaks."""
    for one in schema.get("x-kubernetes-validations", []):
        is_transition = "oldSelf" in one["rule"]
        if is_transition and former is None:
            continue
        known = {"self": celpy.json_to_cel(value)} | ({"oldSelf": celpy.json_to_cel(former)} if is_transition else {})
        if not program(one["rule"]).evaluate(known):
            yield path, one["message"]
    if isinstance(value, dict):
        children = [(name, schema.get("properties", {}).get(name, schema.get("additionalProperties")), f"{path}.{name}") for name in value]
        for name, child, where in children:
            if child is not None:
                yield from refusals(child, value[name], (former or {}).get(name), where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refusals(schema["items"], item, None, f"{path}[{index}]")
