/* OpenSSL asks its socket for the 5 bytes of a record's head and then for the record: 130,000 calls a GB, after which
 * the kernel tells the server each time that a little space is free. OpenSSL's own read-ahead has a buffer for each
 * connection, and all of them together do not fit the processor's cache; every second read is the rest of one record.
 *
 * So a connection has a BIO of ours, which reads into memory that all connections of a thread share: as much as the
 * caller's buffer still holds, and little more. Bytes that OpenSSL has not taken when that buffer is full are kept. */
#include "tlsshim.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct mc_tls {
    SSL *ssl;
    int socket;
    /* Encrypted bytes that OpenSSL has not taken: in `ahead` within mc_tls_receive, else in `kept`. */
    const unsigned char *next;
    size_t left;
    unsigned char *kept;
    /* Memory to read into; NULL outside of mc_tls_receive. */
    unsigned char *ahead;
    size_t ahead_size;
    /* The most bytes that the caller can use. */
    size_t wanted;
    SSL_SESSION *session;
    /* mc_tls_session_end. */
    time_t session_end;
    /* The handshake may fail because of the session that it offered. */
    bool offers_session;
    /* MC_TLS_FAILED, ... once the connection is broken; OpenSSL must not be called again then. */
    int failure;
    /* The socket takes no more. The answer to an earlier part may still be there to be read. */
    bool cannot_send;
    /* OpenSSL's error of the last refusal, 0 without; and whether the socket refused. */
    unsigned long error;
    bool is_at_socket;
    /* The last read found that no complete record is there. */
    bool is_dry;
    bool has_ended;
    /* The server has closed the socket. */
    bool at_end;
    bool wants_output;
    char host[256];
    char problem[384];
};

static ssize_t receive(int socket, void *bytes, size_t size)
{
    ssize_t count;
    do count = recv(socket, bytes, size, 0);
    while (count < 0 && errno == EINTR);
    return count;
}

static int bio_read(BIO *bio, char *bytes, size_t size, size_t *count)
{
    mc_tls *tls = BIO_get_data(bio);
    bool reads_ahead = tls->ahead != NULL && size < tls->ahead_size;
    BIO_clear_retry_flags(bio);
    if (tls->left == 0) {
        size_t most = tls->wanted > size ? tls->wanted : size;
        ssize_t came = !reads_ahead ? receive(tls->socket, bytes, size)
            : receive(tls->socket, tls->ahead, most < tls->ahead_size ? most : tls->ahead_size);
        if (came <= 0) {
            if (came < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
            tls->at_end = came == 0;
            return 0;
        }
        *count = (size_t)came;
        if (!reads_ahead) return 1;
        tls->next = tls->ahead;
        tls->left = (size_t)came;
    }
    *count = size < tls->left ? size : tls->left;
    memcpy(bytes, tls->next, *count);
    tls->next += *count;
    tls->left -= *count;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *count)
{
    mc_tls *tls = BIO_get_data(bio);
    ssize_t went;
    BIO_clear_retry_flags(bio);
    do went = send(tls->socket, bytes, size, MSG_NOSIGNAL);
    while (went < 0 && errno == EINTR);
    if (went < 0) {
        if (errno == EAGAIN) BIO_set_retry_write(bio);
        return 0;
    }
    *count = (size_t)went;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    mc_tls *tls = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return tls->at_end;
    default: return 0;
    }
}

static BIO_METHOD *bio_method;

/* Lives as long as the process. */
static void make_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "modelcache");
    if (method == NULL) return;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    bio_method = method;
}

static bool set_bio(mc_tls *tls)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_bio_method);
    BIO *bio = bio_method != NULL ? BIO_new(bio_method) : NULL;
    if (bio == NULL) return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return true;
}

/* OpenSSL calls it for each session ticket, and again for the one of TLS 1.2. 1: we keep the reference. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    mc_tls *tls = SSL_get_app_data(ssl);
    if (tls == NULL) return 0;
    SSL_SESSION_free(tls->session);
    tls->session = session;
    return 1;
}

mc_tls_context *mc_tls_context_new(const char *file, const char *folder)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) return NULL;
    if (!SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) ||
        SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1) != 0 ||
        (file != NULL && !SSL_CTX_load_verify_file(context, file)) ||
        (folder != NULL && !SSL_CTX_load_verify_dir(context, folder))) {
        ERR_clear_error();
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    /* As libcurl: an intermediate authority in the file is trusted by itself. */
    X509_STORE_set_flags(SSL_CTX_get_cert_store(context), X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    return context;
}

void mc_tls_context_free(mc_tls_context *context) { SSL_CTX_free(context); }

/* Whom the certificate must name, and whom the server is asked for (RFC 6066, 3: an address is not named). */
static bool set_host(mc_tls *tls, bool verifies_host)
{
    unsigned char address[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *parameters = SSL_get0_param(tls->ssl);
    if (inet_pton(AF_INET, tls->host, address) == 1 || inet_pton(AF_INET6, tls->host, address) == 1)
        return !verifies_host || X509_VERIFY_PARAM_set1_ip_asc(parameters, tls->host);
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (!verifies_host || X509_VERIFY_PARAM_set1_host(parameters, tls->host, 0)) &&
        SSL_set_tlsext_host_name(tls->ssl, tls->host);
}

mc_tls *mc_tls_new(
    mc_tls_context *context, int socket, const char *host, bool verifies_host, mc_tls_session *session,
    time_t session_end)
{
    size_t length = strlen(host);
    /* The root's dot is no part of a certificate's name. */
    if (length > 0 && host[length - 1] == '.') length -= 1;
    mc_tls *tls = calloc(1, sizeof *tls);
    /* OpenSSL takes an empty name for any, and one with a dot before it for all below. */
    if (tls == NULL || length == 0 || length >= sizeof tls->host || host[0] == '.') {
        free(tls);
        return NULL;
    }
    /* SNI in lower case: some servers compare it byte by byte. */
    for (size_t i = 0; i < length; i++) tls->host[i] = (char)tolower((unsigned char)host[i]);
    tls->socket = socket;
    tls->ssl = SSL_new(context);
    if (tls->ssl == NULL || !set_host(tls, verifies_host) || !set_bio(tls)) {
        ERR_clear_error();
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_app_data(tls->ssl, tls);
    SSL_set_connect_state(tls->ssl);
    /* One that does not fit is no problem: the handshake is a complete one then. */
    tls->offers_session = session != NULL && SSL_set_session(tls->ssl, session) == 1;
    if (tls->offers_session) tls->session_end = session_end;
    ERR_clear_error();
    return tls;
}

void mc_tls_end(mc_tls *tls)
{
    if (tls->failure == 0 && !tls->cannot_send && SSL_is_init_finished(tls->ssl)) SSL_shutdown(tls->ssl);
    ERR_clear_error();
    SSL_free(tls->ssl);
    SSL_SESSION_free(tls->session);
    free(tls->kept);
    free(tls);
}

/* The meaning of OpenSSL's refusal of `call`. `number`: errno right after it. */
static int refused(mc_tls *tls, int result, const char *call, int number)
{
    int kind = SSL_get_error(tls->ssl, result);
    tls->wants_output = false;
    tls->error = 0;
    tls->is_at_socket = kind == SSL_ERROR_SYSCALL;
    switch (kind) {
    case SSL_ERROR_WANT_WRITE:
        tls->wants_output = true;
        return MC_TLS_AGAIN;
    case SSL_ERROR_WANT_READ: return MC_TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN: tls->has_ended = true; return 0;
    default: break;
    }
    tls->error = ERR_get_error();
    char words[256] = "the connection was closed";
    if (tls->error != 0) {
        ERR_error_string_n(tls->error, words, sizeof words);
    } else if (number != 0) {
        snprintf(words, sizeof words, "%s", strerror(number));
    }
    snprintf(tls->problem, sizeof tls->problem, "OpenSSL %s: %s", call, words);
    ERR_clear_error();
    return tls->failure = MC_TLS_FAILED;
}

bool mc_tls_is_mismatch(unsigned long error)
{
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return false;
    switch (ERR_GET_REASON(error)) {
    /* Another version, or no TLS at all. */
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
    /* No cipher, key or extension that both accept; servers of TLS 1.2 say it also for want of a certificate. */
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_DH_KEY_TOO_SMALL:
    case SSL_R_WRONG_SIGNATURE_TYPE:
    case SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED:
    /* The server is not the host that we name. */
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
    /* The server wants a certificate of ours. */
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED: return true;
    default: return false;
    }
}

/* Until when the handshake that is complete lets sessions of the connection be resumed. 0: not at all. */
static time_t end_of_sessions(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    time_t now = time(NULL);
    long long left = chain != NULL ? MC_TLS_SESSION_SECONDS : 0;
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        int days = 0, seconds = 0;
        if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(sk_X509_value(chain, i)))) return 0;
        long long valid = days * 86400LL + seconds;
        if (valid < left) left = valid;
    }
    return left > 0 ? now + (time_t)left : 0;
}

/* The meaning of OpenSSL's refusal of the handshake. */
static int refused_handshake(mc_tls *tls, int result, int number)
{
    int meaning = refused(tls, result, "SSL_connect", number);
    if (meaning == 0) {
        snprintf(tls->problem, sizeof tls->problem, "OpenSSL SSL_connect: the server ended the handshake");
        return MC_TLS_FAILED;
    }
    if (meaning != MC_TLS_FAILED) return meaning;
    long verdict = SSL_get_verify_result(tls->ssl);
    if (verdict == X509_V_OK)
        /* Without the session the next handshake may succeed. */
        return !tls->offers_session && mc_tls_is_mismatch(tls->error) ? MC_TLS_MISMATCH : MC_TLS_FAILED;
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        snprintf(
            tls->problem, sizeof tls->problem,
            "SSL: no alternative certificate subject name matches target host name '%s'", tls->host);
    } else {
        snprintf(
            tls->problem, sizeof tls->problem, "SSL certificate problem: %s", X509_verify_cert_error_string(verdict));
    }
    return MC_TLS_UNTRUSTED;
}

ssize_t mc_tls_handshake(mc_tls *tls)
{
    if (tls->failure != 0) return tls->failure;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        tls->wants_output = false;
        /* One that was resumed has verified nothing: its own sessions end when the first one does. */
        if (!SSL_session_reused(tls->ssl)) tls->session_end = end_of_sessions(tls->ssl);
        return 0;
    }
    int meaning = refused_handshake(tls, result, errno);
    if (meaning != MC_TLS_AGAIN) tls->failure = meaning;
    return meaning;
}

ssize_t mc_tls_send(mc_tls *tls, const void *bytes, size_t size)
{
    if (tls->failure != 0) return tls->failure;
    if (tls->cannot_send) return MC_TLS_FAILED;
    size_t count = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(tls->ssl, bytes, size, &count);
    if (result == 1) {
        tls->wants_output = false;
        return (ssize_t)count;
    }
    int meaning = refused(tls, result, "SSL_write", errno);
    if (meaning == MC_TLS_FAILED && tls->is_at_socket) {
        tls->failure = 0;
        tls->cannot_send = true;
    }
    if (meaning != 0) return meaning;
    snprintf(tls->problem, sizeof tls->problem, "OpenSSL SSL_write: the connection was closed");
    return tls->failure = MC_TLS_FAILED;
}

/* Moves what was read ahead and not taken out of the memory that is the caller's again. */
static void keep(mc_tls *tls)
{
    unsigned char *kept = NULL;
    if (tls->left > 0) {
        kept = malloc(tls->left);
        if (kept == NULL) {
            snprintf(tls->problem, sizeof tls->problem, "OpenSSL SSL_read: out of memory");
            tls->failure = MC_TLS_FAILED;
            tls->left = 0;
        } else {
            memcpy(kept, tls->next, tls->left);
        }
    }
    free(tls->kept);
    tls->kept = kept;
    tls->next = kept;
    tls->ahead = NULL;
}

ssize_t mc_tls_receive(mc_tls *tls, void *buffer, size_t size, void *ahead, size_t ahead_size)
{
    size_t done = 0;
    tls->is_dry = false;
    tls->wants_output = false;
    tls->ahead = ahead;
    tls->ahead_size = ahead_size;
    /* A read brings one record at most, 16 KiB. */
    while (done < size && tls->failure == 0 && !tls->has_ended && !tls->is_dry) {
        size_t count = 0;
        /* And the records' heads and tags; one more may end within them. */
        tls->wanted = size - done + (size - done) / 256 + 512;
        ERR_clear_error();
        errno = 0;
        int result = SSL_read_ex(tls->ssl, (char *)buffer + done, size - done, &count);
        if (result == 1) {
            done += count;
        } else {
            tls->is_dry = refused(tls, result, "SSL_read", errno) == MC_TLS_AGAIN;
        }
    }
    keep(tls);
    if (done > 0 || size == 0) return (ssize_t)done;
    return tls->failure != 0 ? tls->failure : tls->has_ended ? 0 : MC_TLS_AGAIN;
}

bool mc_tls_has_more(const mc_tls *tls)
{
    if (tls->failure != 0 || tls->has_ended) return true;
    /* Part of a record lies in the buffer nearly always: it says nothing. */
    return !tls->is_dry && SSL_is_init_finished(tls->ssl) && (tls->left > 0 || SSL_has_pending(tls->ssl));
}

bool mc_tls_wants_output(const mc_tls *tls) { return tls->wants_output; }

void mc_tls_rest(mc_tls *tls) { SSL_free_buffers(tls->ssl); }

bool mc_tls_is_quiet(mc_tls *tls)
{
    char byte;
    size_t count;
    if (tls->failure != 0 || tls->cannot_send || tls->has_ended) return false;
    /* OpenSSL would make a buffer of 17 KB to find that nothing came. */
    if (tls->left == 0 && !SSL_has_pending(tls->ssl)) {
        ssize_t came;
        do came = recv(tls->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        while (came < 0 && errno == EINTR);
        if (came <= 0) return came < 0 && errno == EAGAIN;
    }
    /* A session ticket perhaps, or new keys; or the server's goodbye. */
    ERR_clear_error();
    errno = 0;
    int result = SSL_peek_ex(tls->ssl, &byte, 1, &count);
    bool is_quiet = result != 1 && refused(tls, result, "SSL_peek", errno) == MC_TLS_AGAIN;
    keep(tls);
    mc_tls_rest(tls);
    return is_quiet && tls->failure == 0;
}

const char *mc_tls_problem(const mc_tls *tls) { return tls->problem; }

mc_tls_session *mc_tls_take_session(mc_tls *tls)
{
    SSL_SESSION *session = tls->session;
    tls->session = NULL;
    /* A session of TLS 1.2 is resumed again and again, and offered once. */
    if (session == NULL && SSL_version(tls->ssl) == TLS1_2_VERSION) session = SSL_get1_session(tls->ssl);
    /* A copy: OpenSSL marks the connection's own as useless when the connection fails. */
    SSL_SESSION *copy = session == NULL ? NULL : SSL_SESSION_dup(session);
    SSL_SESSION_free(session);
    ERR_clear_error();
    return copy;
}

time_t mc_tls_session_end(const mc_tls *tls) { return tls->session_end; }

const mc_tls_context *mc_tls_context_of(const mc_tls *tls) { return SSL_get_SSL_CTX(tls->ssl); }

void mc_tls_session_free(mc_tls_session *session) { SSL_SESSION_free(session); }
