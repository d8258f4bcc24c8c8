/*
 * CurlShim: libcurl for Swift, which cannot call variadic functions and macros. The types are libcurl's.
 *
 * - mc_curl_set_... and mc_curl_multi_set_long are setopt, one for each type of value.
 * - mc_curl_long, _number, _string, _private and _active_socket are getinfo: 0, NULL or -1 where libcurl knows nothing.
 * - mc_curl_set_open_socket lets the caller refuse an address; mc_curl_socket opens one as libcurl would.
 * - mc_curl_multi_finished gives one finished transfer after the other.
 * Invariants: no function keeps state; a new socket is closed on exec.
 * Left to others: that a value has the type its option wants (the compiler cannot see it), and which options are set
 * (RangeTransfer, ObjectStore).
 */
#ifndef MODELCACHE_CURLSHIM_H
#define MODELCACHE_CURLSHIM_H

#include <curl/curl.h>
#include <stdint.h>

typedef size_t (*mc_curl_bytes)(char *bytes, size_t size, size_t count, void *context);

CURLcode mc_curl_set_long(CURL *handle, CURLoption option, long value);
CURLcode mc_curl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode mc_curl_set_pointer(CURL *handle, CURLoption option, void *value);
CURLcode mc_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);
CURLcode mc_curl_set_bytes(CURL *handle, CURLoption option, mc_curl_bytes function);

/* libcurl calls the function for each address instead of socket(2); CURL_SOCKET_BAD (-1) refuses the address. */
CURLcode mc_curl_set_open_socket(CURL *handle, curl_opensocket_callback function, void *context);
/* The socket that libcurl would have opened, closed on exec. */
curl_socket_t mc_curl_socket(const struct curl_sockaddr *address);

long mc_curl_long(CURL *handle, CURLINFO info);
int64_t mc_curl_number(CURL *handle, CURLINFO info);
/* Valid until the next use of the handle; NULL when unknown. */
const char *mc_curl_string(CURL *handle, CURLINFO info);
void *mc_curl_private(CURL *handle);
/* The socket of a CONNECT_ONLY transfer while its handle is in the multi handle; -1 when there is none. */
int mc_curl_active_socket(CURL *handle);

CURLMcode mc_curl_multi_set_long(CURLM *multi, CURLMoption option, long value);
/* Writes the result of a finished transfer and returns its handle; NULL when there is none. */
CURL *mc_curl_multi_finished(CURLM *multi, CURLcode *result);

#endif
