"""ValidatingAdmissionPolicies, evaluated as an API server from 1.30 on does it. The API server of these tests may be older.

A rule that cannot be evaluated counts as broken, as with `failurePolicy: Fail`. Type checks are left to a real API server.
"""
import re

import celpy

from .cel import program


def _asked(part):
    return part, lambda check, value: celpy.celtypes.MapType({**check, celpy.celtypes.StringType(part): value})


def _allowed(check):
    asked = " ".join(str(check.get(part, "")) for part in ("check", "group", "resource", "namespace"))
    return celpy.celtypes.BoolType(asked in check["rights"])


# The API server's library for `authorizer`: authorizer.group(..).resource(..).namespace(..).check(verb).allowed()
AUTHORIZER = (*(_asked(part) for part in ("group", "resource", "namespace", "check")), ("allowed", _allowed))


def refusals(policies, user, operation, resource, value, former=None, rights=()) -> list[str]:
    """The messages of all validations that refuse this request.

    `resource` is group/resource; `value` is None for a deletion; `rights` are the user's, each "verb group resource namespace".
    """
    namespace = (value or former)["metadata"].get("namespace", "")
    known = {"object": celpy.json_to_cel(value), "oldObject": celpy.json_to_cel(former),
             "request": celpy.json_to_cel({"operation": operation, "namespace": namespace, "userInfo": {"username": user}}),
             "authorizer": celpy.json_to_cel({"rights": list(rights)})}
    found = []
    for policy in policies:
        spec = policy["spec"]
        if not any(_matches(rule, operation, resource) for rule in spec["matchConstraints"]["resourceRules"]):
            continue
        if all(program(one["expression"]).evaluate(known) for one in spec.get("matchConditions", [])):
            variables = {one["name"]: one["expression"] for one in spec.get("variables", [])}
            found += [one["message"] for one in spec["validations"] if not _holds(one["expression"], known, variables)]
    return found


def _matches(rule, operation, resource) -> bool:
    group, _, plural = resource.rpartition("/")
    return group in rule["apiGroups"] and plural in rule["resources"] and operation in rule["operations"]


def _holds(expression, known, variables) -> bool:
    try:
        return bool(_evaluated(expression, known, variables))
    except celpy.CELEvalError:
        return False


def _evaluated(expression, known, variables):
    """Variables have their values when an expression asks for them."""
    names = re.findall(r"\bvariables\.(\w+)", expression)
    values = {celpy.celtypes.StringType(name): _evaluated(variables[name], known, variables) for name in names}
    value = program(expression, AUTHORIZER).evaluate(known | {"variables": celpy.celtypes.MapType(values)})
    if isinstance(value, celpy.CELEvalError):
        raise value
    return value
