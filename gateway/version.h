/* Which Sluice this is. */
#ifndef SLUICE_GATEWAY_VERSION_H
#define SLUICE_GATEWAY_VERSION_H

#define SLUICE_VERSION "0.1.0"

#endif
