/* certificate: for tests of TLS: a certificate for 127.0.0.1 that signs itself. */
#ifndef TESTS_LIB_CERTIFICATE_H
#define TESTS_LIB_CERTIFICATE_H

#include <stdbool.h>

/* Write certificate and key in PEM. */
bool certificate_make(const char *cert_path, const char *key_path, const char *name);

#endif
