"""ModelCaches that are wrong in one or several places, made from the schema in config/crd by mutation."""
import copy
import random

TEXTS = [
    "", " ", "a" * 300, "ü" * 70, "\u0000", "\n", "\u202e", "😀" * 40, "null", "true", "-1", "../../etc/passwd", "$(id)", "`id`", "a,b", "[", "*" * 20,
    "oss://", "oss://ab/", "s3://Models/x", "file:///etc/passwd", "oss://models//x", "http://169.254.169.254", "127.0.0.1", "http://user:pw@host",
    "[::ffff:169.254.169.254]", "0x7f000001", "500Mi", "1e99", "-5Gi", "999999999999999999999", "Eager", "EAGER", "Memory ", "In", "\ud7ff",
]
NUMBERS = [-1, 0, 1, 51, 101, 1001, 2**31, 2**53, 2**63 - 1, -(2**63), 1.5, -0.5, 1e300]
ANYTHING = [None, True, False, [], {}, [None], [[]], {"": ""}, {"a": {"b": {"c": []}}}, *NUMBERS, *TEXTS]


def valid(schema, chance: random.Random):
    """A random value that the schema's types allow; patterns are met by luck or by hand in `documents`."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return chance.choice([1048576, "500Mi", "1G"])
    kind = schema.get("type")
    if kind == "object":
        if "additionalProperties" in schema:
            return {f"key{i}": "value" for i in range(chance.randrange(3))}
        required = schema.get("required", [])
        return {name: valid(child, chance) for name, child in schema.get("properties", {}).items()
                if name in required or chance.random() < 0.5}
    if kind == "array":
        return [valid(schema["items"], chance) for _ in range(chance.randrange(3))]
    if kind == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
        return chance.randint(low, min(high, low + 1000))
    if kind == "boolean":
        return chance.random() < 0.5
    return chance.choice(["abc", "zone", "cn-hangzhou"])


def places(value, path=()):
    """Every path in a value, containers included."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    copied = copy.copy(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


def documents(schema, seed, count):
    """`count` pairs of a malformed spec and the paths that were spoilt."""
    chance = random.Random(seed)
    for _ in range(count):
        spec = valid(schema, chance)
        spec["source"] = spec.get("source") or {}
        spec["source"]["uri"] = chance.choice(["oss://models/gemma/", "s3://bucket/a/b/"])
        if "credentials" in spec["source"] and chance.random() < 0.8:
            spec["source"]["credentials"] = chance.choice([
                {"secretRef": {"name": "keys"}}, {"node": {}}, {"anonymous": {}},
                {"serviceAccount": {"name": "warm", "roleARN": "acs:ram::1:role/r", "oidcProviderARN": "acs:ram::1:oidc-provider/p"}}])
        spoilt = []
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            path = chance.choice(list(places(spec)))
            at = spec
            for step in path:
                at = at[step]
            act = chance.randrange(4)
            if act == 0 and isinstance(at, dict):
                name = chance.choice(["unknown", "x" * 200, "ünïcode", "", "uri ", "__proto__", "a.b/c"])
                spec = changed(spec, path, {**at, name: chance.choice(ANYTHING)})
            elif act == 1 and isinstance(at, dict) and at:
                gone = chance.choice(list(at))
                spec = changed(spec, path, {key: child for key, child in at.items() if key != gone})
            elif act == 2 and isinstance(at, list):
                spec = changed(spec, path, at * 40 + [chance.choice(ANYTHING)] * chance.choice([1, 70, 300]))
            else:
                spec = changed(spec, path, chance.choice(ANYTHING))
            spoilt.append(path)
            if not isinstance(spec, dict):
                break
        yield spec, spoilt
