#include "linuxshim.h"
