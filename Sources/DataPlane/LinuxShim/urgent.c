#include "linuxshim.h"

#include <netinet/in.h>
#include <sys/socket.h>

void mc_mark_urgent(int socket)
{
    int class = MC_URGENT_TRAFFIC_CLASS, priority = MC_URGENT_PRIORITY;
    /* The packet's family decides which of the two applies, and one socket may send both families. */
    (void)setsockopt(socket, IPPROTO_IP, IP_TOS, &class, sizeof class);
    (void)setsockopt(socket, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
    (void)setsockopt(socket, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority);
}
