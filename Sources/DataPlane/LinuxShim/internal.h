#ifndef MODELCACHE_LINUXSHIM_INTERNAL_H
#define MODELCACHE_LINUXSHIM_INTERNAL_H
#include <errno.h>

/* Repeats the call while it is interrupted; returns its result or -errno. */
#define RETRY(call) (__extension__({ \
    __typeof__(call) result_; \
    do { result_ = (call); } while (result_ < 0 && errno == EINTR); \
    result_ < 0 ? (__typeof__(call))-errno : result_; }))

#endif
