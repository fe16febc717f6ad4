/* certificate: see certificate.h. */
#include "tests/lib/certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static X509 *build(EVP_PKEY *pkey, const char *name)
{
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	if (X509_sign(x, pkey, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

bool certificate_make(const char *cert_path, const char *key_path, const char *name)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = pkey ? build(pkey, name) : NULL;
	FILE *c = fopen(cert_path, "w"), *k = fopen(key_path, "w");
	bool ok = x && c && k && PEM_write_X509(c, x) && PEM_write_PrivateKey(k, pkey, NULL, NULL, 0, NULL, NULL);
	if (c)
		fclose(c);
	if (k)
		fclose(k);
	X509_free(x);
	EVP_PKEY_free(pkey);
	return ok;
}
