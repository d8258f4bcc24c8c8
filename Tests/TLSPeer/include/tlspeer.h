/* The server's end of TLS for tests, without a socket: the test carries the bytes, and decides when and how many. */
#ifndef MODELCACHE_TLSPEER_H
#define MODELCACHE_TLSPEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ssl_ctx_st tls_peer_context;
typedef struct tls_peer tls_peer;

/* `minor`: TLS 1.x alone. NULL: the files are no certificate and key. */
tls_peer_context *tls_peer_context_new(const char *certificate, const char *key, int minor);
tls_peer *tls_peer_new(tls_peer_context *context);
void tls_peer_free(tls_peer *peer);

/* Lets a certificate end in so many seconds, and signs it again with the key of its authority. PEM files. */
bool tls_peer_shorten(const char *certificate, const char *key, long seconds);

/* Takes what the client sent. */
void tls_peer_feed(tls_peer *peer, const void *bytes, size_t size);
/* The client's plain bytes; -1: none are there yet. */
ssize_t tls_peer_read(tls_peer *peer, void *buffer, size_t size);
/* One record, of 16 KiB at most. */
bool tls_peer_write(tls_peer *peer, const void *bytes, size_t size);
/* New keys, and a request for the client's. TLS 1.3 alone. */
bool tls_peer_update_keys(tls_peer *peer);
/* close_notify. */
void tls_peer_say_goodbye(tls_peer *peer);
/* The next bytes for the client; 0: none. */
size_t tls_peer_take(tls_peer *peer, void *buffer, size_t size);
bool tls_peer_was_resumed(const tls_peer *peer);
/* How much of the process's heap is in use. */
size_t tls_peer_heap_bytes(void);

#endif
