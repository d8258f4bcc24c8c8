#include "preloadshim.h"
