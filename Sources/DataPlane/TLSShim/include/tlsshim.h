/*
 * TLSShim: the client's end of TLS over a connected socket, for Swift, by OpenSSL, whose interface is macros in part.
 *
 * - mc_tls_context has the authorities. Threads share it.
 * - mc_tls is one connection. It belongs to one thread at a time.
 * - mc_tls_session lets a next connection to the same host resume.
 * Invariants: no call waits for the network, and none closes the socket; a handshake that resumes nothing verifies the
 * server's certificate; a session ends with the certificates that verified it, after MC_TLS_SESSION_SECONDS at the
 * latest; bytes that came before an end or a failure are returned before it is.
 * Left to others: connecting, polling and HTTP, the store of sessions, and when authorities are read again
 * (RangeTransfer).
 */
#ifndef MODELCACHE_TLSSHIM_H
#define MODELCACHE_TLSSHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* SSL_CTX, SSL_SESSION. */
typedef struct ssl_ctx_st mc_tls_context;
typedef struct ssl_session_st mc_tls_session;
typedef struct mc_tls mc_tls;

/* Results in place of a count. */
enum {
    MC_TLS_AGAIN = -1,
    /* The connection broke; mc_tls_problem says how. The next one may do better. */
    MC_TLS_FAILED = -2,
    /* The server's certificate is not trusted. */
    MC_TLS_UNTRUSTED = -3,
    /* The two ends have no version or cipher in common, or the server speaks no TLS: so it will be next time. */
    MC_TLS_MISMATCH = -4,
};

/* Sessions are resumed for this long after the handshake that verified the server: RFC 8446, 4.6.1 wants a limit for
 * chains of them. */
enum { MC_TLS_SESSION_SECONDS = 3600 };

/* A record has this many bytes at most (RFC 5246, 6.2.3). A connection that waits holds less than one. */
enum { MC_TLS_RECORD_BYTES = 5 + 16384 + 2048 };

/* TLS 1.2 or newer, ALPN http/1.1, certificates checked against the authorities of a PEM file and a folder that
 * `openssl rehash` prepared (several with colons between). Either may be NULL. NULL: one cannot be read. */
mc_tls_context *mc_tls_context_new(const char *file, const char *folder);
void mc_tls_context_free(mc_tls_context *context);

/* A connection to `host` (a name or an address, IPv6 without brackets), which resumes `session` where the server will;
 * NULL: a complete handshake. A session must be of the same host: its certificate is not checked again. `session_end`:
 * mc_tls_session_end of the connection that the session is from.
 * `verifies_host`: the certificate must name the host. NULL without memory. */
mc_tls *mc_tls_new(
    mc_tls_context *context, int socket, const char *host, bool verifies_host, mc_tls_session *session,
    time_t session_end);
/* Says goodbye to the server where the connection is whole, and frees it. */
void mc_tls_end(mc_tls *tls);

/* 0 when the connection stands, else MC_TLS_... */
ssize_t mc_tls_handshake(mc_tls *tls);
/* How many of the bytes were taken, or MC_TLS_... When the socket takes no more, what came before can be received. */
ssize_t mc_tls_send(mc_tls *tls, const void *bytes, size_t size);
/* Fills the buffer as far as bytes are there, and returns how many; 0: the server has ended its side in due form.
 * Bytes that came before an end or a failure are returned first. `ahead`: memory that is free again after the call. */
ssize_t mc_tls_receive(mc_tls *tls, void *buffer, size_t size, void *ahead, size_t ahead_size);

/* Whether mc_tls_receive has something to say although the socket may be silent: bytes that were read ahead, an end,
 * a failure. */
bool mc_tls_has_more(const mc_tls *tls);
/* Whether OpenSSL waits until the socket can be written. */
bool mc_tls_wants_output(const mc_tls *tls);
/* Frees the buffers of a connection that becomes idle; the next use makes new ones. */
void mc_tls_rest(mc_tls *tls);
/* Whether an idle connection is whole and has nothing to say. It stays without buffers. */
bool mc_tls_is_quiet(mc_tls *tls);
/* Why the last call failed, in libcurl's words. */
const char *mc_tls_problem(const mc_tls *tls);
/* A session that a next connection may resume, the caller's to free; NULL: none that was not taken yet. */
mc_tls_session *mc_tls_take_session(mc_tls *tls);
/* Until when such a session may be resumed, in seconds since 1970: as long as every certificate by which the server was
 * verified is valid, MC_TLS_SESSION_SECONDS at most. A connection that was resumed has the end of its session. */
time_t mc_tls_session_end(const mc_tls *tls);
void mc_tls_session_free(mc_tls_session *session);
/* Whether an error of OpenSSL means MC_TLS_MISMATCH. */
bool mc_tls_is_mismatch(unsigned long error);
/* The context that the connection was made with. */
const mc_tls_context *mc_tls_context_of(const mc_tls *tls);

#endif
