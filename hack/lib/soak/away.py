"""What kubectl says of an API server that does not answer. What it says of the command itself is told at once."""
# One that has just started does not know the kinds of definitions yet.
AWAY = ("was refused", "connection refused", "doesn't have a resource type", "no matches for kind", "Unable to connect", "connection reset", "EOF", "TLS handshake timeout", "i/o timeout", "the server is currently unable",
        "apiserver not ready", "etcdserver", "ServiceUnavailable", "failed calling webhook", "http2: ", "context deadline exceeded",
        "server was unable to return a response", "net/http: request canceled", "unexpected error when reading response body")


def is_away(said: str) -> bool:
    return any(part in said for part in AWAY)
