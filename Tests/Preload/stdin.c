/* A static program: eight bytes of standard input, or of the file `raw-open NAME OFFSET`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int c, char **v)
{
    unsigned char b[8];
    int fd = 0;
    if (c > 3 && !strcmp(v[1], "raw-open")) {
        fd = open(v[2], O_RDONLY);
        if (fd >= 0) lseek(fd, atol(v[3]), SEEK_SET);
    }
    if (fd < 0 || read(fd, b, 8) < 0) return printf("error %d\n", errno), 0;
    for (int i = 0; i < 8; i++) printf("%02x%s", b[i], i == 7 ? "\n" : "");
    return 0;
}
