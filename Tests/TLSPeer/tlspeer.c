#include "tlspeer.h"

#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct tls_peer {
    SSL *ssl;
    BIO *from_client;
    BIO *to_client;
};

tls_peer_context *tls_peer_context_new(const char *certificate, const char *key, int minor)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int version = minor == 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (context == NULL) return NULL;
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_min_proto_version(context, version) != 1 || SSL_CTX_set_max_proto_version(context, version) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"test", 4);
    return context;
}

tls_peer *tls_peer_new(tls_peer_context *context)
{
    tls_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) return NULL;
    peer->ssl = SSL_new(context);
    peer->from_client = BIO_new(BIO_s_mem());
    peer->to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(peer->ssl, peer->from_client, peer->to_client);
    SSL_set_accept_state(peer->ssl);
    return peer;
}

void tls_peer_free(tls_peer *peer)
{
    SSL_free(peer->ssl);
    free(peer);
}

void tls_peer_feed(tls_peer *peer, const void *bytes, size_t size) { BIO_write(peer->from_client, bytes, (int)size); }

ssize_t tls_peer_read(tls_peer *peer, void *buffer, size_t size)
{
    size_t count = 0;
    return SSL_read_ex(peer->ssl, buffer, size, &count) == 1 ? (ssize_t)count : -1;
}

bool tls_peer_write(tls_peer *peer, const void *bytes, size_t size)
{
    size_t count = 0;
    return SSL_write_ex(peer->ssl, bytes, size, &count) == 1 && count == size;
}

bool tls_peer_update_keys(tls_peer *peer)
{
    return SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(peer->ssl) == 1;
}

void tls_peer_say_goodbye(tls_peer *peer) { SSL_shutdown(peer->ssl); }

size_t tls_peer_take(tls_peer *peer, void *buffer, size_t size)
{
    int count = BIO_read(peer->to_client, buffer, (int)size);
    return count > 0 ? (size_t)count : 0;
}

bool tls_peer_shorten(const char *certificate, const char *key, long seconds)
{
    BIO *file = BIO_new_file(certificate, "r");
    BIO *key_file = BIO_new_file(key, "r");
    X509 *read = file == NULL ? NULL : PEM_read_bio_X509(file, NULL, NULL, NULL);
    EVP_PKEY *signer = key_file == NULL ? NULL : PEM_read_bio_PrivateKey(key_file, NULL, NULL, NULL);
    BIO *written = NULL;
    bool done = read != NULL && signer != NULL && X509_gmtime_adj(X509_getm_notAfter(read), seconds) != NULL &&
        X509_sign(read, signer, EVP_sha256()) > 0 && (written = BIO_new_file(certificate, "w")) != NULL &&
        PEM_write_bio_X509(written, read) == 1;
    BIO_free(written);
    EVP_PKEY_free(signer);
    X509_free(read);
    BIO_free(key_file);
    BIO_free(file);
    return done;
}

size_t tls_peer_heap_bytes(void) { return mallinfo2().uordblks; }

bool tls_peer_was_resumed(const tls_peer *peer) { return SSL_session_reused(peer->ssl) == 1; }
